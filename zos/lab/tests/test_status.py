"""What is said of a lab that is not as it should be: hidden, half built, half removed, out of space."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from zos.lab import record as records
from zos.lab.errors import DiskFull, HalfGone, Hidden, NoLab
from zos.lab.manager import Lab
from zos.lab.plan import Observed, ObservedBox
from zos.lab.record import Record
from zos.lab.topology import Layout
from zos.model.units import Bytes, MiB


class FakeHost:
    def __init__(self, *boxes: str) -> None:
        self.boxes = {name: ObservedBox(7, True) for name in boxes}
        self.free = MiB(1000)

    def observe(self) -> Observed:
        return Observed(boxes=self.boxes)

    def room(self) -> tuple[Bytes, Bytes]:
        return self.free, MiB(9000)


def lab(tmp_path: Path, host: FakeHost) -> Lab:
    made = Lab(Layout(tmp_path / "lab", tmp_path / "run"))
    made.layout.state.mkdir()
    made.host = host  # type: ignore[assignment]
    return made


async def test_a_lab_whose_building_was_cut_off_shows_what_runs_and_what_does_not(tmp_path: Path) -> None:
    made = lab(tmp_path, FakeHost("internet", "chain"))
    records.write(made.layout, Record(1))
    found = {one.name: one for one in await made.status()}
    assert (found["chain"].pid, found["chain"].detail) == (7, "")
    assert (found["node-1"].pid, found["node-1"].detail) == (0, "it does not run: zos lab up")


async def test_a_lab_whose_removal_was_cut_off_says_what_still_runs(tmp_path: Path) -> None:
    with pytest.raises(HalfGone, match="still running: chain, hub"):
        await lab(tmp_path, FakeHost("hub", "chain")).status()
    with pytest.raises(NoLab):
        await Lab(Layout(tmp_path / "none", tmp_path / "run")).status()


async def test_who_may_not_read_the_record_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = lab(tmp_path, FakeHost())
    records.write(made.layout, Record(1))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert records.read(made.layout) is None
    with pytest.raises(Hidden):
        await made.status()


def test_waiting_on_a_full_disk_ends_at_once(tmp_path: Path) -> None:
    host = FakeHost()
    made = lab(tmp_path, host)
    made._refuse_full()
    host.free = MiB(3)
    with pytest.raises(DiskFull, match="3 MiB are free"):
        made._refuse_full()
