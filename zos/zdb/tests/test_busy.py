"""Commands that need a namespace whole, while writes to it are on their way to the disk; and a disk that is full."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path
from typing import Any

import pytest

from zos.zdb import files
from zos.zdb.namespace import Namespace
from zos.zdb.tests.replay import Client, running
from zos.zdb.tests.test_namespace import content, opened, reopened


async def _writer(port: int, name: bytes, turns: int) -> bytes:
    """Write newer versions of one key until told otherwise; returns the last answer."""
    client = await Client.to(port)
    answer = await client.command(b"SELECT", name, b"pw")
    for turn in range(turns):
        answer = await client.command(b"SET", b"key", b"%d" % turn)
        if not answer.startswith(b"$"):
            break
    await client.close()
    return answer


@pytest.mark.parametrize(
    "command", [(b"FLUSH",), (b"RELOAD", b"n"), (b"NSDEL", b"n")], ids=lambda words: words[0].decode()
)
async def test_a_namespace_is_emptied_reloaded_and_removed_while_others_write_to_it(
    tmp_path: Path, command: tuple[bytes, ...]
) -> None:
    async with running(tmp_path) as port:
        admin = await Client.to(port)
        for words in ((b"NSNEW", b"n"), (b"NSSET", b"n", b"password", b"pw"), (b"NSSET", b"n", b"public", b"0")):
            assert await admin.command(*words) == b"+OK\r\n"
        if command[0] == b"FLUSH":
            assert await admin.command(b"SELECT", b"n", b"pw") == b"+OK\r\n"
        writers = [asyncio.ensure_future(_writer(port, b"n", 150)) for _ in range(4)]
        for _ in range(1 if command[0] == b"NSDEL" else 30):
            await asyncio.sleep(0.005)
            assert await admin.command(*command) == b"+OK\r\n"
        answers = await asyncio.gather(*writers)
        assert all(one.startswith(b"-Your active" if command[0] == b"NSDEL" else b"$") for one in answers)
        assert await admin.command(b"PING") == b"+PONG\r\n"
        await admin.close()


@pytest.mark.parametrize("sequential", [False, True], ids=["user", "sequential"])
def test_what_a_full_disk_cut_short_is_refused_and_never_seen_again(
    tmp_path: Path, sequential: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = 10_000
    whole = files.os.pwrite

    def pwrite(descriptor: int, raw: Any, at: int) -> int:
        nonlocal room
        if not room:
            raise OSError(errno.ENOSPC, "no space")
        written = whole(descriptor, raw[:room], at)
        room -= written
        return written

    space: Namespace = opened(tmp_path / "live", sequential=sequential)
    monkeypatch.setattr(files.os, "pwrite", pwrite)
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
