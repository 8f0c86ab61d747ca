"""A flush that a kill cuts short: what was acknowledged meanwhile is there, under its key, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from zos.zdb.files import BEGINS
from zos.zdb.namespace import Namespace
from zos.zdb.tests.test_namespace import content, opened, reopened


def filled(folder: Path, *, sequential: bool) -> Namespace:
    """More than is flushed in place."""
    space = opened(folder, sequential=sequential)
    for number in range(1500):
        space.set(b"" if sequential else b"key%d" % number, b"old%d" % number, 1)
    space.commit()
    return space


@pytest.mark.parametrize("sequential", [False, True], ids=["user", "sequential"])
@pytest.mark.parametrize("flushes", [1, 2])
def test_a_kill_at_any_step_leaves_what_was_acknowledged(tmp_path: Path, sequential: bool, flushes: int) -> None:
    space = filled(tmp_path / "live", sequential=sequential)
    wanted: dict[bytes, bytes] = {}
    for number in range(flushes):
        if number:
            for _ in range(1500):
                space.set(b"" if sequential else b"again", b"x", 1)
        space.erase()
        key = space.set(b"" if sequential else b"new", b"acknowledged", 2) or b""
        space.commit()
        wanted = {key: b"acknowledged"}
        steps = 0
        while True:
            found = reopened(tmp_path / "live", tmp_path / "copy", sequential=sequential)
            assert content(found) == wanted
            assert found.find(key) is not None
            found.close()
            steps += 1
            if not space.files.leftovers:
                break
            space.files.leftovers._work.popleft()()
        assert steps > 2
        space.files.left()
        space.commit()
    assert len(list((tmp_path / "live/i").glob(f"{BEGINS}*"))) == 1
    space.close()
    assert content(opened(tmp_path / "live", sequential=sequential)) == wanted


def test_a_mode_that_changes_after_a_flush_begins_with_the_first_file(tmp_path: Path) -> None:
    space = filled(tmp_path / "live", sequential=True)
    space.flush()
    space.is_sequential = False
    space.files.close()
    space.begin()
    space.set(b"a", b"b", 1)
    space.commit()
    found = reopened(tmp_path / "live", tmp_path / "copy")
    assert (content(found), found.is_sequential, found.files.index.numbers()) == ({b"a": b"b"}, False, [0])
