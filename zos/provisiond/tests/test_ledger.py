"""Records that earlier releases wrote, and the log beside them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from zos.model.deployment import ResultState, decode
from zos.provisiond import lifecycle
from zos.provisiond.log import DeploymentLog
from zos.provisiond.model import Phase, Record, item_of, upgrade_1
from zos.provisiond.store import DeploymentStore
from zos.provisiond.tests import users as u
from zos.runtime.clock import FakeClock
from zos.runtime.ledger import Ledger

CONTRACT = 5


def opened(folder: Path, version: int) -> tuple[Ledger[Record], DeploymentStore]:
    recorded = json.loads((Path(__file__).parent / f"ledger/v{version}.json").read_text())
    (folder / "deployments").mkdir()
    for record in recorded["deployments"]:
        (folder / "deployments" / f"{record['key']}.json").write_text(json.dumps(record))
    ledger = Ledger(folder / "deployments", Record, 2, {1: upgrade_1})
    assert not ledger.corrupt
    return ledger, DeploymentStore(ledger, DeploymentLog(folder / "log"), FakeClock())


@pytest.mark.parametrize("version", [1, 2])
def test_records_of_every_release_are_read(tmp_path: Path, version: int) -> None:
    _, store = opened(tmp_path, version)
    phases = {record.contract: record.phase.value for record in store.all()}
    assert phases == {5: "active", 6: "waiting", 7: "refused", 8: "paused", 9: "ending"}
    assert [item.leaving for item in store.record(5).items] == [False, False, False, False, False, True]
    assert [record.contract for record in store.all() if record.incoming] == [5, 6]
    assert store.record(7).refusal == "contract hash does not match deployment hash"
    assert store.record(5).history[0].what == "admission"
    ending = store.record(9).ending
    assert ending is not None
    assert ending.block == 170
    assert (store.record(8).items[0].result, store.record(8).items[0].applied_version) == ({"id": "26-8-net8"}, 0)


def test_the_log_of_a_first_release_moves_into_its_own_file(tmp_path: Path) -> None:
    old = json.loads((Path(__file__).parent / "ledger/v1.json").read_text())["deployments"][0]["body"]["log"]
    _, store = opened(tmp_path, 1)
    assert store.changes(5) == old
    again = Ledger(tmp_path / "deployments", Record, 2, {1: upgrade_1})
    assert again.get("5") == store.record(5)
    assert not store.record(5).log
    assert DeploymentStore(again, DeploymentLog(tmp_path / "log"), FakeClock()).changes(5) == old


def test_the_file_of_a_log_of_version_1_is_read(tmp_path: Path) -> None:
    kept = (Path(__file__).parent / "ledger/log-v1.jsonl").read_bytes()
    (tmp_path / "5.jsonl").write_bytes(kept)
    log = DeploymentLog(tmp_path)
    assert [one["result"]["state"] for one in log.entries(CONTRACT)] == ["init", "ok"]
    # What happens once more after an upgrade is not told once more.
    item = item_of(decode(u.document(5, u.zmount())).workloads[0], 1700000003)
    log.append(CONTRACT, item.settled(ResultState.OK, 1700000003))
    assert (tmp_path / "5.jsonl").read_bytes() == kept


def test_a_long_log_keeps_what_is_live_and_the_newest(tmp_path: Path) -> None:
    log = DeploymentLog(tmp_path, limit=20_000)
    still, busy = lifecycle.submitted(decode(u.document(5, u.zmount("still"), u.zmount("busy"))), 1).log
    gone = dataclasses.replace(still, name="gone", state=ResultState.DELETED)
    log.append(CONTRACT, still, busy, gone)
    for version in range(1, 500):
        log.append(CONTRACT, dataclasses.replace(busy, version=version))
        assert (tmp_path / "5.jsonl").stat().st_size <= 20_000
    entries = log.entries(CONTRACT)
    assert [one["name"] for one in entries if one["name"] != "busy"] == ["still"]
    assert [one["version"] for one in entries[-3:]] == [497, 498, 499]
    assert list(DeploymentLog(tmp_path).entries(CONTRACT)) == list(entries)


def test_a_transition_that_a_crash_makes_happen_twice_is_logged_once(tmp_path: Path) -> None:
    log = DeploymentLog(tmp_path)
    item = item_of(decode(u.document(5, u.zmount())).workloads[0], 1)
    log.append(CONTRACT, item)
    DeploymentLog(tmp_path).append(CONTRACT, dataclasses.replace(item, created=2))
    assert len(DeploymentLog(tmp_path).entries(CONTRACT)) == 1


def test_a_torn_line_is_passed_over_and_what_follows_it_is_read(tmp_path: Path) -> None:
    log = DeploymentLog(tmp_path)
    item = item_of(decode(u.document(5, u.zmount())).workloads[0], 1)
    log.append(CONTRACT, item)
    with (tmp_path / "5.jsonl").open("ab") as file:
        file.write(b'{"version": 0, "na')
    DeploymentLog(tmp_path).append(CONTRACT, item.settled(ResultState.OK, 2))
    states = [one["result"]["state"] for one in DeploymentLog(tmp_path).entries(CONTRACT)]
    assert states == ["init", "ok"]


def test_a_version_that_was_refused_is_taken_out(tmp_path: Path) -> None:
    log = DeploymentLog(tmp_path)
    item = item_of(decode(u.document(5, u.zmount())).workloads[0], 1)
    log.append(CONTRACT, item, dataclasses.replace(item, version=1, state=ResultState.UNCHANGED))
    log.forget(CONTRACT, 1)
    assert [one["version"] for one in DeploymentLog(tmp_path).entries(CONTRACT)] == [0]


def test_the_phase_of_a_record_of_version_1_follows_from_its_five_fields() -> None:
    body = {"incoming": {"version": 0}, "block": 0, "paused": True}
    assert upgrade_1(body)["phase"] == Phase.WAITING
    assert upgrade_1({**body, "block": 7})["phase"] == Phase.PAUSED
    assert upgrade_1({**body, "ending": {"kind": "x"}})["incoming"] is None
