"""A namespace on real files: what is acknowledged outlives every cut of power, and nothing wrong is ever read."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zos.zdb import format as fmt
from zos.zdb.files import At
from zos.zdb.format import Located
from zos.zdb.namespace import Namespace
from zos.zdb.parts import RECORD, Refused, write_settings
from zos.zdb.recovery import open_namespace
from zos.zdb.store import InUse, Store

SMALL = 512 << 10


def opened(folder: Path, *, sequential: bool = False, data_size: int = SMALL) -> Namespace:
    return open_namespace(b"n", folder / "i", folder / "d", is_sequential=sequential, data_size=data_size)


def scanned(space: Namespace, *, is_backwards: bool = False) -> list[Located]:
    """All live items, read in pages as clients read them."""
    found: list[Located] = []
    cursor = None
    while True:
        page: list[Located] = []
        at: At | None = (space.before if is_backwards else space.behind)(cursor)
        while at is not None:
            at = space.scan(at, page, is_backwards=is_backwards)
        if not page:
            return found
        found += page
        file, offset, item = page[-1]
        cursor = fmt.Cursor(len(item.key), file, item.length, offset, item.crc)


def content(space: Namespace) -> dict[bytes, bytes]:
    return {at.item.key: space.payload(at) for at in scanned(space)}


def reopened(folder: Path, copy: Path, **options: Any) -> Namespace:
    """The namespace as it is on the disk now, as after a cut of power."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    return opened(copy, **options)


@pytest.mark.parametrize("sequential", [False, True], ids=["user", "sequential"])
def test_a_tail_torn_at_any_byte_loses_only_what_was_not_acknowledged(tmp_path: Path, sequential: bool) -> None:
    live = tmp_path / "live"
    space = opened(live, sequential=sequential)
    keys = [space.set(b"" if sequential else b"key%d" % number, b"value %d" % number, 1) for number in range(4)]
    space.delete(keys[1] or b"", 2)
    space.commit()
    safe = content(space)
    ends = {"i": space.files.index_end, "d": space.files.data_end}
    space.set(b"" if sequential else b"new", b"not acknowledged", 3)
    space.set(keys[2] or b"", b"a newer version", 4)
    for letter, start in ends.items():
        size = (live / letter / f"{letter}0").stat().st_size
        for cut in range(start, size):
            shutil.rmtree(tmp_path / "cut", ignore_errors=True)
            shutil.copytree(live, tmp_path / "cut")
            with (tmp_path / "cut" / letter / f"{letter}0").open("r+b") as file:
                file.truncate(cut)
            after = opened(tmp_path / "cut", sequential=sequential)
            found = content(after)
            assert {key: value for key, value in found.items() if key != keys[2]}.items() >= {
                key: value for key, value in safe.items() if key != keys[2]
            }.items()
            assert found[keys[2] or b""] in (b"value 2", b"a newer version")
            written = after.set(b"" if sequential else b"later", b"written after", 5)
            after.close()
            again = opened(tmp_path / "cut", sequential=sequential)
            assert again.get(written or b"") == b"written after"
            assert again.entries == len(content(again))
            again.files.close()
    space.files.close()


@pytest.mark.parametrize("sequential", [False, True], ids=["user", "sequential"])
def test_power_may_go_between_any_two_writes_of_an_update(tmp_path: Path, sequential: bool) -> None:
    live, copy = tmp_path / "live", tmp_path / "copy"
    space = opened(live, sequential=sequential)
    key = space.set(b"" if sequential else b"key", b"old", 1) or b""
    space.commit()
    space.set(key, b"new", 2)
    for _ in range(2):
        after = reopened(live, copy, sequential=sequential)
        assert after.get(key) in (b"old", b"new")
        assert (after.entries, after.live_bytes) == (1, 3)
        after.files.close()
        batch = space.take_batch() if space.is_unsynced else None
        if batch is not None:
            space.settle(batch)
    space.commit()
    after = reopened(live, copy, sequential=sequential)
    assert after.get(key) == b"new"
    after.files.close()
    space.files.close()


def test_a_lost_index_is_made_again_from_the_data(tmp_path: Path) -> None:
    space = opened(tmp_path)
    for number in range(50):
        space.set(b"key%d" % (number % 20), b"value %d" % number, 1)
    space.delete(b"key3", 2)
    before = content(space)
    space.close()
    (tmp_path / "i" / "i0").unlink()
    space = opened(tmp_path)
    assert content(space) == before
    space.close()


def test_a_changed_byte_is_never_served(tmp_path: Path) -> None:
    space = opened(tmp_path)
    space.set(b"key", b"value", 1)
    space.close()
    raw = bytearray((tmp_path / "d" / "d0").read_bytes())
    raw[-1] ^= 1
    (tmp_path / "d" / "d0").write_bytes(raw)
    space = opened(tmp_path)
    with pytest.raises(Refused, match="Internal Error"):
        space.get(b"key")
    at = space.find(b"key")
    assert at is not None
    assert space.is_intact(at) is False
    space.close()


def test_an_index_of_another_program_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "i").mkdir()
    (tmp_path / "i" / "i0").write_bytes(b"something else entirely, longer than a header")
    with pytest.raises(fmt.BadFile, match="i0"):
        opened(tmp_path)
    assert (tmp_path / "i" / "i0").read_bytes().startswith(b"something else")


def test_two_servers_cannot_write_to_one_folder(tmp_path: Path) -> None:
    first, second = (Store(tmp_path / "i", tmp_path / "d") for _ in range(2))
    first.open()
    with pytest.raises(InUse):
        second.open()
    second.close()
    first.close()


def test_a_frozen_namespace_is_frozen_after_a_restart(tmp_path: Path) -> None:
    space = opened(tmp_path)
    space.change(is_frozen=True)
    space.close()
    space = opened(tmp_path)
    assert space.settings.is_frozen
    space.close()


KEYS = st.sampled_from([b"a", b"b", b"c" * 255, b"\0\xff"])
VALUES = st.binary(max_size=40) | st.just(b"x" * 100_000)
STEPS = st.lists(
    st.tuples(st.sampled_from(["set", "set", "set", "delete", "jump", "commit", "reopen", "flush"]), KEYS, VALUES),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(steps=STEPS, sequential=st.booleans())
def test_a_namespace_is_a_dictionary(tmp_path_factory: pytest.TempPathFactory, steps: Any, sequential: bool) -> None:
    folder = tmp_path_factory.mktemp("zdb")
    space = opened(folder, sequential=sequential)
    wanted: dict[bytes, bytes] = {}
    ids: list[bytes] = []
    for action, name, value in steps:
        key = name
        if sequential:
            key = ids[len(name + value) % len(ids)] if ids and action != "set" else b""
        match action:
            case "set":
                stored = space.set(key, value, 1)
                if stored is not None:
                    wanted[stored] = value
                    ids.append(stored)
            case "delete":
                assert space.delete(key, 1) == (wanted.pop(key, None) is not None)
            case "jump":
                space.jump()
            case "commit":
                space.commit()
            case "flush":
                space.flush()
                wanted.clear()
                ids.clear()
            case "reopen":
                space.close()
                space = opened(folder, sequential=sequential)
        assert space.entries == len(wanted)
        assert space.live_bytes == sum(map(len, wanted.values()))
    assert content(space) == wanted
    assert scanned(space, is_backwards=True) == scanned(space)[::-1]
    assert {key: space.get(key) for key in wanted} == wanted
    space.close()


@pytest.mark.parametrize("left", ["nothing", "an empty record", "a draft"])
def test_a_kill_while_a_namespace_is_made_leaves_one_that_can_be_made(tmp_path: Path, left: str) -> None:
    (tmp_path / "i").mkdir()
    if left == "an empty record":
        (tmp_path / "i" / RECORD).touch()
    elif left == "a draft":
        (tmp_path / "i" / f".{RECORD}.tmp").touch()
    space = opened(tmp_path)
    space.change(password=b"secret")
    space.set(b"key", b"value", 1)
    space.close()
    space = opened(tmp_path)
    assert (space.get(b"key"), space.settings.password) == (b"value", b"secret")
    space.close()
    # A record that was lost later is no reason to serve what is there without its password.
    (tmp_path / "i" / RECORD).write_bytes(b"")
    with pytest.raises(fmt.BadFile):
        opened(tmp_path)


def test_a_new_record_is_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def kill(*_: object) -> None:
        raise Killed

    for name in ("write", "pwrite", "fsync", "fdatasync"):
        with monkeypatch.context() as patched:
            patched.setattr(os, name, kill)
            with contextlib.suppress(Killed):
                write_settings(tmp_path / name, fmt.Settings(b"n"))
        assert not (tmp_path / name / RECORD).exists() or (tmp_path / name / RECORD).stat().st_size
