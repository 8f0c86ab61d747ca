"""The user's records: what an earlier version wrote is still of use. The files in records/ are never edited."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from zos.cli.client.network import NetworkPlan
from zos.cli.commands.wg import NoAccess, WhichNetwork, configuration
from zos.cli.context import RECORD_VERSION, Context
from zos.cli.out import Out
from zos.lab.topology import Layout
from zos.model.deployment import decode

FILES = sorted((Path(__file__).parent / "records").glob("*.json"))


def context(folder: Path) -> Context:
    return Context(
        Out(), "ws://x", folder / "key", state_given=str(folder), layout=Layout(folder / "lab", folder / "run")
    )


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_record_of_an_earlier_version_is_read_and_written_as_todays(file: Path, tmp_path: Path) -> None:
    (tmp_path / "demo.json").write_text(file.read_text())
    ctx = context(tmp_path)
    record = ctx.record_of(12)
    assert record is not None
    (plan,) = (msgspec.convert(one, NetworkPlan) for one in record["networks"].values())
    assert plan.member(2).subnet == "10.20.4.0/24"
    assert decode(record["deployments"]["1"]).twin_id == 7
    assert "PrivateKey = cJtpbWmaW8DlsVr+QqsHx1iFhARGX1uPimZ43Mg37GY=" in configuration(ctx, 11)
    ctx.remember(record)
    assert [path.name for path in tmp_path.glob("*.json")] == ["demo@7.json"]
    assert json.loads((tmp_path / "demo@7.json").read_text())["version"] == RECORD_VERSION
    assert ctx.records() == (record,)


def test_a_record_is_its_twins_and_nobody_elses(tmp_path: Path) -> None:
    (tmp_path / "demo.json").write_text(FILES[0].read_text())
    ctx = context(tmp_path)
    assert ctx.record_named("demo", 8) == {}
    ctx.remember({**ctx.record_named("demo", 7), "twin": 8, "contracts": {"1": 99}})
    assert ctx.record_named("demo", 7)["contracts"] != ctx.record_named("demo", 8)["contracts"]
    ctx.forget(ctx.record_named("demo", 8))
    assert ctx.record_of(99) is None
    assert ctx.record_of(12) is not None


def test_a_file_that_is_no_record_is_left_alone(tmp_path: Path) -> None:
    for name, text in (("list", "[]"), ("text", "x"), ("other", "{}")):
        (tmp_path / f"{name}.json").write_text(text)
    assert context(tmp_path).records() == ()


def test_each_of_several_networks_has_its_own_tunnel_and_is_named(tmp_path: Path) -> None:
    record = json.loads(FILES[0].read_text())
    (name, plan), other = next(iter(record["meshes"].items())), "other"
    record["meshes"][other] = {**plan, "name": other}
    (tmp_path / "demo.json").write_text(json.dumps(record))
    ctx = context(tmp_path)
    with pytest.raises(WhichNetwork, match=f"{plan['name']}, {other}"):
        configuration(ctx, 11)
    for wanted in (plan["name"], other):
        assert "PrivateKey" in configuration(ctx, 11, wanted)
    with pytest.raises(NoAccess):
        configuration(ctx, 11, name + "x")
