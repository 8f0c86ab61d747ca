"""What guests are started from: whatever a release changes in the classes, guests of an earlier one go on."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from zos.runtime.ledger import Ledger
from zos.vmd import digest as module
from zos.vmd.api import Machine, Nic
from zos.vmd.digest import FIRST, LATER, digest
from zos.vmd.model import MachineRecord, RunState

MACHINE, IMAGE = "26-7-vm", "26-8-image"
WRITTEN = {MACHINE: "770bd2f2c54e88d96f04a8d9a579e102", IMAGE: "3aa8281ba1827ee3c312b67ad535a8cf"}
"""What the first release wrote into the domains of the machines in ledger/v1.json; never changed."""


@pytest.fixture
def records(tmp_path: Path) -> Ledger[MachineRecord]:
    _lay(tmp_path)
    return Ledger(tmp_path / "wishes", MachineRecord)


def _lay(folder: Path) -> None:
    for name, records in json.loads((Path(__file__).parent / "ledger/v1.json").read_text()).items():
        (folder / name).mkdir()
        for record in records:
            (folder / name / f"{record['key']}.json").write_text(json.dumps(record))


def test_ledgers_of_version_1_are_read(tmp_path: Path, records: Ledger[MachineRecord]):
    machine, image = (records.get(name) for name in (MACHINE, IMAGE))
    assert machine is not None
    assert image is not None
    assert [nic.tap for nic in machine.machine.nics] == ["t-1", "t-2"]
    assert machine.machine.nics[0].routes[1].via == "fe80::1"
    assert (machine.machine.env, machine.dropping) == ({"A": "1", "B": "2"}, False)
    assert (image.machine.paused, image.machine.root, image.dropping) == (True, None, True)
    assert Ledger(tmp_path / "runs", RunState).get(MACHINE) == RunState(
        1700000040.0, 1700000041.0, 1700000041.0, 2, 1, 1700000045.0, "no memory", 4096
    )


def test_guests_of_the_first_release_keep_their_digest(records: Ledger[MachineRecord]):
    assert {name: digest(record.machine) for name, record in records.items()} == WRITTEN


def test_the_digest_is_of_what_a_guest_is_started_from(records: Ledger[MachineRecord]):
    machine = dict(records.items())[MACHINE].machine
    assert digest(machine) == digest(dataclasses.replace(machine, paused=True))
    assert digest(machine) == digest(dataclasses.replace(machine, env={"A": "1", "B": "2"}))
    assert digest(machine) != digest(dataclasses.replace(machine, cpu=1))
    assert digest(machine) != digest(dataclasses.replace(machine, env={"A": "1"}))
    assert digest(machine) != digest(dataclasses.replace(machine, nics=machine.nics[:1]))


def test_each_field_of_a_machine_is_of_the_first_release_or_has_a_neutral_value():
    for kind, names in FIRST.items():
        assert {field.name for field in dataclasses.fields(kind)} == {*names, *LATER.get(kind, {})}, kind


def test_a_field_that_came_later_restarts_only_the_guests_that_use_it(
    records: Ledger[MachineRecord], monkeypatch: pytest.MonkeyPatch
):
    @dataclasses.dataclass(frozen=True, slots=True)
    class NewNic(Nic):
        rate: int = 0

    nic = NewNic("t-9", "02:00:00:00:00:09")
    machine: Machine = dataclasses.replace(dict(records.items())[MACHINE].machine, nics=(nic,))
    before = digest(dataclasses.replace(machine, nics=(Nic(nic.tap, nic.mac),)))
    monkeypatch.setattr(module, "FIRST", {**FIRST, NewNic: FIRST[Nic]})
    monkeypatch.setattr(module, "LATER", {NewNic: {"rate": 0}})
    assert digest(machine) == before
    limited = dataclasses.replace(machine, nics=(dataclasses.replace(nic, rate=5),))
    assert digest(limited) != before
