"""The ledger keeps what was decided, through kills, damage and new versions."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zos.runtime.ledger import Ledger, RecordFromTheFuture


@dataclass(frozen=True, slots=True)
class Disk:
    size: int
    label: str = ""


def test_a_record_is_there_after_a_restart(tmp_path: Path):
    Ledger(tmp_path, Disk).put("a", Disk(5))
    again = Ledger(tmp_path, Disk)
    assert again.items() == (("a", Disk(5)),)
    assert again.generation("a") == 1


def test_an_unchanged_body_writes_nothing(tmp_path: Path):
    ledger = Ledger(tmp_path, Disk)
    ledger.put("a", Disk(5))
    before = next(tmp_path.glob("*.json")).stat().st_mtime_ns
    assert ledger.put("a", Disk(5)) == 1
    assert next(tmp_path.glob("*.json")).stat().st_mtime_ns == before
    assert ledger.put("a", Disk(6)) == 2


def test_a_dropped_record_is_gone_and_dropping_twice_is_fine(tmp_path: Path):
    ledger = Ledger(tmp_path, Disk)
    ledger.put("a", Disk(5))
    ledger.drop("a")
    ledger.drop("a")
    assert "a" not in Ledger(tmp_path, Disk)


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff\x00", b'{"version":1}', b"[]"])
def test_a_damaged_record_is_set_aside_and_the_others_live(tmp_path: Path, damage: bytes):
    ledger = Ledger(tmp_path, Disk)
    ledger.put("a", Disk(5))
    ledger.put("b", Disk(6))
    (tmp_path / "a.json").write_bytes(damage)
    again = Ledger(tmp_path, Disk)
    assert again.keys() == ("b",)
    assert [path.read_bytes() for path in again.corrupt] == [damage]


def test_an_older_record_is_brought_up_by_its_upgrade(tmp_path: Path):
    Ledger(tmp_path, Disk).put("a", Disk(5))

    def name_it(body: Any) -> Any:
        return body | {"label": "old"}

    assert Ledger(tmp_path, Disk, version=2, upgrades={1: name_it}).get("a") == Disk(5, "old")


def test_a_record_of_a_newer_release_is_neither_read_nor_touched(tmp_path: Path):
    Ledger(tmp_path, Disk, version=3).put("a", Disk(5))
    before = (tmp_path / "a.json").read_bytes()
    with pytest.raises(RecordFromTheFuture, match="version 3"):
        Ledger(tmp_path, Disk, version=2)
    assert (tmp_path / "a.json").read_bytes() == before


def test_history_keeps_each_generation_and_survives_a_torn_line(tmp_path: Path):
    ledger = Ledger(tmp_path, Disk, keep_history=True)
    ledger.put("a", Disk(1))
    ledger.put("a", Disk(2))
    with (tmp_path / "a.history").open("ab") as file:
        file.write(b'{"version":1,"gener')
    assert list(Ledger(tmp_path, Disk, keep_history=True).history("a")) == [Disk(1), Disk(2)]


def test_records_are_private(tmp_path: Path):
    ledger = Ledger(tmp_path / "new", Disk, keep_history=True)
    ledger.put("a", Disk(1))
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "new").iterdir()} == {0o600}
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


keys = st.text(min_size=1, max_size=40).filter(lambda text: text.isprintable())


@settings(deadline=None)  # each change waits for the disk, which others use too
@given(st.lists(st.tuples(keys, st.one_of(st.none(), st.integers(0, 2**63))), max_size=30))
def test_the_disk_always_says_what_memory_says(changes: list[tuple[str, int | None]]):
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder), Disk)
        for key, size in changes:
            if size is None:
                ledger.drop(key)
            else:
                ledger.put(key, Disk(size))
        assert dict(Ledger(Path(folder), Disk).items()) == dict(ledger.items())
