"""Readers that wait for a store: those that were killed are let go, and what cannot be read is told."""

from __future__ import annotations

import threading
from pathlib import Path

from zos.flistd.fuse import wire
from zos.flistd.fuse.readers import Readers, Trouble, is_killed


def message(unique: int, pid: int) -> bytes:
    return wire.IN.pack(wire.IN.size, wire.READ, unique, 1, 0, 0, pid, 0, 0)


def test_who_was_killed_while_it_waits_is_refused_once_and_who_lives_waits_on():
    refused: list[int] = []
    killed, over = threading.Event(), threading.Event()

    def refuse(unique: int) -> None:
        refused.append(unique)
        over.set()

    readers = Readers(refuse, lambda pid: pid == 71 and killed.is_set())
    began, end = threading.Barrier(3), threading.Event()

    def wait(unique: int, pid: int) -> None:
        readers.asked(message(unique, pid))
        with readers.waiting():
            began.wait(5)
            end.wait(5)

    threads = [threading.Thread(target=wait, args=one) for one in ((1, 71), (2, 72))]
    for thread in threads:
        thread.start()
    began.wait(5)
    assert not over.wait(0.6)
    killed.set()
    assert over.wait(5)
    over.clear()
    assert not over.wait(0.6), "once"
    end.set()
    for thread in threads:
        thread.join()
    assert refused == [1]


def test_a_thread_that_lives_or_cannot_be_seen_was_not_killed():
    assert not is_killed(threading.get_native_id())
    assert not is_killed(0)


def test_what_cannot_be_read_is_told_until_it_can(tmp_path: Path):
    one = Trouble(tmp_path, f"{'f' * 64}-1")
    one.note("no block store of the flist has block 00")
    assert Trouble.told(tmp_path) == {"f" * 64: "no block store of the flist has block 00"}
    one.note("")
    assert Trouble.told(tmp_path) == {}
