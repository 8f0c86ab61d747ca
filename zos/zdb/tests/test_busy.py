"""Commands that need a namespace whole, while writes to it are on their way to the disk; and a disk that is full."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path
from typing import Any

import pytest

from zos.zdb.namespace import Namespace
from zos.zdb.tests.replay import Client, running
from zos.zdb.tests.test_namespace import content, opened, reopened


async def _write(client: Client, turns: int, begun: asyncio.Event) -> bytes:
    """Write newer versions of one key until one is refused; returns the last answer."""
    answer = b""
    for turn in range(turns):
        answer = await client.command(b"SET", b"key", b"%d" % turn)
        begun.set()
        if not answer.startswith(b"$"):
            break
    return answer


@pytest.mark.parametrize("words", [b"FLUSH", b"RELOAD n", b"NSDEL n"], ids=["flush", "reload", "nsdel"])
async def test_a_namespace_is_emptied_reloaded_and_removed_while_others_write_to_it(
    tmp_path: Path, words: bytes
) -> None:
    async with running(tmp_path) as port:
        admin, *others = [await Client.to(port) for _ in range(5)]
        for made in (b"NSNEW n", b"NSSET n password pw", b"NSSET n public 0"):
            assert await admin.command(*made.split()) == b"+OK\r\n"
        for client in others if words.startswith(b"NSDEL") else (admin, *others):
            assert await client.command(b"SELECT", b"n", b"pw") == b"+OK\r\n"
        begun = [asyncio.Event() for _ in others]
        writers = [asyncio.ensure_future(_write(client, 150, one)) for client, one in zip(others, begun, strict=True)]
        await asyncio.gather(*(one.wait() for one in begun))
        for _ in range(1 if words.startswith(b"NSDEL") else 30):
            assert await admin.command(*words.split()) == b"+OK\r\n"
            await asyncio.sleep(0.003)
        answers = await asyncio.gather(*writers)
        assert all(one.startswith(b"-Your active" if words.startswith(b"NSDEL") else b"$") for one in answers)
        assert await admin.command(b"PING") == b"+PONG\r\n"
        for client in (admin, *others):
            await client.close()


@pytest.mark.parametrize("sequential", [False, True], ids=["user", "sequential"])
def test_what_a_full_disk_cut_short_is_refused_and_never_seen_again(
    tmp_path: Path, sequential: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = 10_000
    whole = os.pwrite

    def pwrite(descriptor: int, raw: Any, at: int) -> int:
        nonlocal room
        if not room:
            raise OSError(errno.ENOSPC, "no space")
        written: int = whole(descriptor, raw[:room], at)
        room -= written
        return written

    space: Namespace = opened(tmp_path / "live", sequential=sequential)
    monkeypatch.setattr(os, "pwrite", pwrite)
    stored: dict[bytes, bytes] = {}
    refused = 0
    for number in range(60):
        value = b"value" * (1 + number % 50)
        if not room and number % 7 == 0:
            room = 333 * number % 400
        try:
            key = space.set(b"" if sequential else b"key%d" % (number % 20), value, 1)
        except OSError:
            refused += 1
        else:
            assert key is not None
            stored[key] = value
    assert refused > 2
    monkeypatch.undo()
    space.commit()
    assert content(space) == stored
    after = reopened(tmp_path / "live", tmp_path / "copy", sequential=sequential)
    assert content(after) == stored
    after.close()
    space.close()
