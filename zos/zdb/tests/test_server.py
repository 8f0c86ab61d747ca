"""The server among hostile clients: lengths are bounded, answers wait for the disk, a connection costs only itself."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zos.zdb import resp, server
from zos.zdb.tests.replay import Client, running


@given(data=st.lists(st.binary(max_size=60), max_size=20))
def test_any_bytes_are_requests_or_end_the_connection(data: list[bytes]) -> None:
    parser = resp.Parser()
    with contextlib.suppress(resp.Malformed):
        for piece in data:
            parser.feed(piece)
            while (words := parser.next()) is not None:
                assert words


@given(words=st.lists(st.binary(max_size=300), min_size=1, max_size=20), cut=st.integers(1, 50))
def test_a_request_is_read_whole_however_it_is_cut(words: list[bytes], cut: int) -> None:
    raw = resp.array([resp.bulk(word) for word in words]) * 2
    parser, found = resp.Parser(), []
    for at in range(0, len(raw), cut):
        parser.feed(raw[at : at + cut])
        while (request := parser.next()) is not None:
            found.append(request)
    assert found == [words, words]


@pytest.mark.parametrize("head", [b"*-1\r\n", b"*1025\r\n", b"*1\r\n$-1\r\n", b"*1\r\n$99999999999\r\n", b"x" * 40])
def test_a_length_outside_of_the_bounds_is_refused_before_anything_is_kept(head: bytes) -> None:
    parser = resp.Parser()
    parser.feed(head)
    with pytest.raises(resp.Malformed):
        parser.next()


def test_many_large_arguments_are_bounded_together() -> None:
    parser = resp.Parser()
    parser.feed(b"*3\r\n" + resp.bulk(b"x" * (8 << 20)) + b"$2000000\r\n")
    with pytest.raises(resp.Malformed, match="too big"):
        parser.next()


async def test_writes_of_many_connections_are_acknowledged_together_and_are_there(tmp_path: Path) -> None:
    async with running(tmp_path) as port:
        clients = [await Client.to(port) for _ in range(20)]

        async def write(number: int, client: Client) -> None:
            for turn in range(20):
                key = b"%d-%d" % (number, turn)
                assert await client.command(b"SET", key, b"v" * turn) == resp.bulk(key)
                assert await client.command(b"GET", key) == resp.bulk(b"v" * turn)

        await asyncio.gather(*(write(number, client) for number, client in enumerate(clients)))
        for client in clients:
            await client.close()
    async with running(tmp_path) as port:
        client = await Client.to(port)
        assert await client.command(b"DBSIZE") == b":400\r\n"
        await client.close()


async def test_answers_keep_their_order_when_reads_follow_writes_in_one_go(tmp_path: Path) -> None:
    async with running(tmp_path) as port:
        client = await Client.to(port)
        for words in ([b"PING"], [b"SET", b"k", b"1"], [b"GET", b"k"], [b"SET", b"k", b"2"], [b"GET", b"k"]):
            await client.send(words)
        answers = [await client.reply() for _ in range(5)]
        assert answers == [b"+PONG\r\n", b"$1\r\nk\r\n", b"$1\r\n1\r\n", b"$1\r\nk\r\n", b"$1\r\n2\r\n"]
        await client.close()


async def test_a_client_that_never_reads_is_held_up_alone(tmp_path: Path) -> None:
    async with running(tmp_path, sync=False) as port:
        good, deaf = await Client.to(port), await Client.to(port)
        assert await good.command(b"SET", b"big", b"x" * (1 << 20)) == b"$3\r\nbig\r\n"
        for _ in range(200):
            await deaf.send([b"GET", b"big"])
        async with asyncio.timeout(5):
            assert await good.command(b"PING") == b"+PONG\r\n"
        await deaf.close()
        await good.close()


async def test_a_stranger_who_takes_every_connection_leaves_half_of_them_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MOST_CONNECTIONS", 16)
    async with running(tmp_path, "--socket " + str(tmp_path / "s")) as port:
        greedy = [await Client.to(port) for _ in range(12)]
        answers = [await client.command(b"PING") for client in greedy]
        assert answers == [b"+PONG\r\n"] * 8 + [b"-Too many clients\r\n"] * 4
        other = Client(*await asyncio.open_unix_connection(str(tmp_path / "s")))
        assert await other.command(b"PING") == b"+PONG\r\n"
        for client in (*greedy, other):
            await client.close()
