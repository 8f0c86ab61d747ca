"""One connection among others: what it asks for costs itself time, and nobody memory."""

from __future__ import annotations

import asyncio
import socket
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from zos.zdb import format as fmt
from zos.zdb import resp, server
from zos.zdb.namespace import FLUSHED_IN_PLACE
from zos.zdb.tests.replay import Client, running
from zos.zdb.tests.test_namespace import opened, scanned

MIB = 1 << 20


async def answered_first(port: int, greedy: Client, requests: list[tuple[bytes, ...]]) -> tuple[bytes, bool]:
    """What a stranger's PING is answered, sent behind all of these requests; and whether they took longer."""
    other = await Client.to(port)
    assert await other.command(b"PING") == b"+PONG\r\n"
    await greedy.raw(b"".join(resp.array([resp.bulk(word) for word in words]) for words in requests))
    rest = asyncio.ensure_future(_all(greedy, len(requests)))
    answer = await other.command(b"PING")
    is_first = not rest.done()
    rest.cancel()
    await other.close()
    await greedy.close()
    return answer, is_first


async def _all(client: Client, count: int) -> None:
    for _ in range(count):
        await client.reply()


async def test_who_checks_large_values_without_end_waits_alone(tmp_path: Path) -> None:
    async with running(tmp_path, sync=False) as port:
        greedy = await Client.to(port)
        await greedy.command(b"SET", b"large", bytes(8 * MIB))
        assert await answered_first(port, greedy, [(b"CHECK", b"large")] * 500) == (b"+PONG\r\n", True)


@pytest.mark.parametrize("command", [b"SCAN", b"RSCAN"])
async def test_a_scan_over_what_was_deleted_gives_others_their_turn(tmp_path: Path, command: bytes) -> None:
    for folder in ("index", "data"):
        (tmp_path / folder).mkdir()
    space = opened(tmp_path / "made")
    for number in range(8000):
        space.set(b"%d" % number, b"", 1)
        space.delete(b"%d" % number, 1)
    space.close()
    (tmp_path / "made" / "i").rename(tmp_path / "index" / "default")
    (tmp_path / "made" / "d").rename(tmp_path / "data" / "default")
    async with running(tmp_path) as port:
        greedy = await Client.to(port)
        assert await greedy.command(command) == b"-No more data\r\n"
        assert await answered_first(port, greedy, [(command,)] * 100) == (b"+PONG\r\n", True)


async def test_who_flushes_without_end_waits_alone(tmp_path: Path) -> None:
    async with running(tmp_path) as port:
        greedy = await Client.to(port)
        for words in (b"NSNEW n", b"NSSET n password pw", b"NSSET n public 0", b"SELECT n pw"):
            assert await greedy.command(*words.split()) == b"+OK\r\n"
        for number in range(FLUSHED_IN_PLACE // 2):
            await greedy.send([b"SET", b"%d" % number, b"value"])
        await _all(greedy, FLUSHED_IN_PLACE // 2)
        # Where nothing was written since, nothing is done.
        for _ in range(3):
            assert await greedy.command(b"FLUSH") == b"+OK\r\n"
        requests: list[tuple[bytes, ...]] = [(b"SET", b"key", b"value"), (b"FLUSH",)]
        assert await answered_first(port, greedy, requests * 20) == (b"+PONG\r\n", True)


@contextmanager
def traced() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("first", [[b"PING"], [b"SET", b"key", b"value"]], ids=["sent", "held"])
@pytest.mark.parametrize("asked", [b"MGET", b"GET"])
async def test_answers_that_nobody_reads_are_not_made(tmp_path: Path, first: list[bytes], asked: bytes) -> None:
    async with running(tmp_path) as port:
        client, other = await Client.to(port), await Client.to(port)
        await client.command(b"SET", b"large", bytes(4 * MIB))
        words = [asked, *([b"large"] * (2 if asked == b"MGET" else 1))]
        with traced():
            for request in (first, *([words] * 40)):
                await client.send(request)
            await client.reply()
            for _ in range(20):
                assert await other.command(b"PING") == b"+PONG\r\n"
            assert tracemalloc.get_traced_memory()[1] < 60 * MIB
        # They are, as they are read.
        for _ in range(40):
            assert len(await client.reply()) > 4 * MIB
        for one in (client, other):
            await one.close()


async def test_a_network_with_many_unread_answers_waits_and_the_largest_goes_when_all_are_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "EACH_ANSWERS", 24 * MIB, raising=False)
    monkeypatch.setattr(server, "MOST_ANSWERS", 40 * MIB, raising=False)
    async with running(tmp_path, "--socket " + str(tmp_path / "s")) as port:
        other = Client(*await asyncio.open_unix_connection(str(tmp_path / "s"), limit=1 << 24))
        await other.command(b"SET", b"large", bytes(8 * MIB))
        with traced():
            clients = [deaf(port) for _ in range(20)]
            for client in clients:
                client.sendall(resp.array([resp.bulk(b"GET"), resp.bulk(b"large")]))
            for _ in range(20):
                assert len(await other.command(b"GET", b"large")) > 8 * MIB
            assert tracemalloc.get_traced_memory()[1] < 90 * MIB
        async with asyncio.timeout(20):
            await asyncio.gather(*(read_whole(client, 8 * MIB) for client in clients))
        for client in clients:
            client.close()
        await other.close()


def deaf(port: int) -> socket.socket:
    """A client that does not read, of which the kernel keeps little."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.connect(("127.0.0.1", port))
    made.setblocking(False)
    return made


async def read_whole(client: socket.socket, least: int) -> None:
    while least > 0:
        got = len(await asyncio.get_running_loop().sock_recv(client, 1 << 20))
        assert got
        least -= got


async def test_half_sent_requests_of_all_are_bounded_and_the_largest_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MOST_REQUESTS", "MOST_BUFFERED"):
        monkeypatch.setattr(server, name, 4 * MIB, raising=False)
    async with running(tmp_path, "--socket " + str(tmp_path / "s")) as port:
        other = Client(*await asyncio.open_unix_connection(str(tmp_path / "s")))
        await other.raw(b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$2000000\r\n" + bytes(1_000_000))
        many = [await Client.to(port) for _ in range(24)]
        for number, client in enumerate(many):
            await client.raw(b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$500000\r\n" + bytes(480_000 + number))
        ends = [asyncio.ensure_future(client.reply()) for client in many]
        done, rest = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        assert all(end.result() in (b"", b"-Too much is being sent, try again\r\n") for end in done)
        await other.raw(bytes(1_000_000) + b"\r\n")
        assert await other.reply() == b"$3\r\nkey\r\n"
        for end in rest:
            end.cancel()
        for client in (*many, other):
            await client.close()


async def test_only_places_of_items_are_cursors(tmp_path: Path) -> None:
    async with running(tmp_path) as port:
        client = await Client.to(port)
        at = fmt.INDEX_HEADER + fmt.ITEM
        # A key that looks like an item which names itself as the one before.
        key = fmt.pack_item(fmt.Item(b"k", 0, 0, at, 1, 0, 0, 0))
        assert await client.command(b"SET", key, b"value") == resp.bulk(key)
        for offset in (at, 0, at - 1, 1 << 31):
            cursor = fmt.pack_cursor(fmt.Cursor(1, 0, 0, offset, 0))
            for command in (b"RSCAN", b"SCAN"):
                assert await client.command(command, cursor) == b"-Invalid key format\r\n"
        assert await client.command(b"HISTORY", b"k", fmt.pack_cookie(0, at)) == (
            b"-Invalid arguments (invalid key)\r\n"
        )
        await client.close()


def test_a_scan_finds_all_items_in_order_over_many_blocks_and_files(tmp_path: Path) -> None:
    space = opened(tmp_path)
    keys = [b"%d" % number + b"k" * (number * 7 % 250) for number in range(3000)]
    for number, key in enumerate(keys):
        space.set(key, b"", 1)
        if number % 1000 == 999:
            space.jump()
            space.jump()
    for _ in range(2):
        assert [at.item.key for at in scanned(space)] == keys
        assert [at.item.key for at in scanned(space, is_backwards=True)] == keys[::-1]
        space.close()
        space = opened(tmp_path)
    space.close()
