"""The relay with real peers on loopback: who gets in, what goes where, what is refused."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import Counter

import aiohttp
import pytest

from zos.relay import metrics
from zos.relay.federation import Outcome
from zos.relay.quota import Limit
from zos.relay.tests.world import FAR, NODE, USER, World, echo, message, raw, received, world
from zos.rmb import envelope as env
from zos.rmb import token
from zos.rmb.envelope import TwinRecord
from zos.rmb.errors import NoAnswer, Refused
from zos.rmb.testing import Twin, joined
from zos.rmb.twins import TwinCache
from zos.rmb.wire_pb2 import Address, Envelope
from zos.runtime.clock import FakeClock, SystemClock


@pytest.mark.parametrize("encrypts", [True, False])
async def test_a_request_is_answered_through_the_relay(encrypts: bool) -> None:
    user = Twin(1, encrypts=encrypts)
    async with world() as w:
        w.chain.add(user)
        async with joined(NODE, w.chain, w.ws, handler=echo), joined(user, w.chain, w.ws, session="s") as me:
            assert await me.call(3, "zos.system.version", b'{"a":1}') == b'{"from": 1, "body": {"a":1}}'


async def status(w: World, query: str) -> int:
    async with aiohttp.ClientSession() as http, http.get(f"{w.url}/{query}") as answer:
        return answer.status


async def test_only_a_good_token_of_a_known_twin_gets_in() -> None:
    now = SystemClock().time()
    async with world() as w:
        assert await status(w, "") == 400
        assert await status(w, "?noise") == 401
        assert await status(w, "?" + await token.make(1, USER.key, now - 1000)) == 401
        assert await status(w, "?" + await token.make(1, NODE.key, now)) == 401
        assert await status(w, "?" + await token.make(99, USER.key, now)) == 401
        assert await status(w, "?" + await token.make(1, USER.key, now)) == 400, "no WebSocket"
        assert await status(w, "any/path?" + await token.make(1, USER.key, now)) == 400, "clients keep a URL's path"


async def test_who_is_known_gets_in_and_is_served_while_the_chain_is_silent() -> None:
    clock = FakeClock(SystemClock().time())

    async def silent(id: int) -> TwinRecord | None:
        raise NoAnswer(twin=id, command="twins", deadline=1)

    async with world() as w:
        w.relay._twins = cache = TwinCache(w.chain.twin, clock, 60.0)
        async with raw(w, USER), raw(w, NODE):
            pass
        cache._look = silent
        clock.advance(3600)
        async with raw(w, USER) as user, raw(w, NODE) as node:
            await user.send_bytes(message(USER, 3).SerializeToString())
            assert (await received(node)).uid == "u1"
            await user.send_bytes(message(USER, 4).SerializeToString())
            assert (await received(user)).error.message == "twins cannot be looked up at the moment"
        assert await status(w, "?" + await token.make(4, FAR.key, SystemClock().time())) == 500


async def test_a_newer_connection_takes_the_place_of_the_older() -> None:
    async with world() as w, raw(w, USER) as old, raw(w, USER, "other") as other, raw(w, USER) as new:
        assert (await asyncio.wait_for(old.receive(), 5)).type is aiohttp.WSMsgType.CLOSE
        await new.send_bytes(message(USER, 3, "").SerializeToString())
        assert not other.closed


async def test_of_many_connections_at_once_one_is_left() -> None:
    async with world() as w, aiohttp.ClientSession() as http:
        text = await token.make(1, USER.key, SystemClock().time())
        sockets = await asyncio.gather(*(http.ws_connect(f"{w.url}/?{text}") for _ in range(20)))
        reading = [asyncio.create_task(socket.receive()) for socket in sockets]
        async with asyncio.timeout(5):
            while sum(task.done() for task in reading) < 19:
                await asyncio.sleep(0.01)
        assert len(w.relay.sessions) == 1
        (left,) = (socket for socket, task in zip(sockets, reading, strict=True) if not task.done())
        await left.send_bytes(message(USER, 99).SerializeToString())
        async with asyncio.timeout(5):
            told = Envelope.FromString(next(iter(await asyncio.gather(*(t for t in reading if not t.done())))).data)
        assert told.error.message == "unknown twin destination"


async def test_nobody_speaks_for_another_twin_or_session() -> None:
    async with world() as w, raw(w, USER, "mine") as socket:
        for forged in (message(NODE, 1), message(USER, 3), message(USER, 3, "yours")):
            await socket.send_bytes(forged.SerializeToString())
            assert (await received(socket)).error.message == "message wrong source"


async def test_a_ping_comes_back_as_a_pong() -> None:
    async with world() as w, raw(w, USER, "s") as socket:
        ping = Envelope(uid="p", source=Address(twin=1, connection="s"), destination=Address(twin=0), expiration=40)
        ping.ping.SetInParent()
        await socket.send_bytes(ping.SerializeToString())
        back = await received(socket)
        assert back.WhichOneof("message") == "pong"
        assert (back.uid, back.plain, back.destination.twin, back.destination.connection) == (
            "p",
            b"hello world",
            1,
            "s",
        )


async def test_a_client_that_missed_its_pong_hears_another_unasked() -> None:
    async with world() as w, aiohttp.ClientSession() as http:
        w.relay.pongs = 0.01
        text = await token.make(USER.id, USER.key, SystemClock().time())
        async with http.ws_connect(f"{w.url}/?{text}", autoping=False) as socket:
            for _ in range(2):
                assert (await socket.receive(timeout=5)).type is aiohttp.WSMsgType.PONG


async def test_bytes_arrive_as_they_were_sent() -> None:
    async with world() as w, raw(w, USER) as one, raw(w, NODE) as other:
        sent = message(USER, 3)
        sent.tags = ""
        frame = sent.SerializeToString() + b"\xfa\x01\x03new"  # a field that we do not know
        await one.send_bytes(frame)
        assert await asyncio.wait_for(other.receive_bytes(), 5) == frame


async def test_what_cannot_be_delivered_is_said_to_who_asked() -> None:
    async with world() as w, raw(w, USER) as socket:
        w.others.says = Outcome.REFUSED
        for to, text in (
            (99, "unknown twin destination"),
            (5, "relay info is not set for this twin"),
            (4, "destination offline"),
        ):
            await socket.send_bytes(message(USER, to).SerializeToString())
            told = await received(socket)
            assert (told.error.message, told.uid, told.source.twin) == (text, "u1", 0)
        assert w.others.sent[0][0] == ["relay.far"]


async def test_a_peer_hears_what_the_relay_says() -> None:
    async with world() as w, joined(USER, w.chain, w.ws) as me:
        w.others.says = Outcome.REFUSED
        with pytest.raises(Refused, match="destination offline"):
            await me.call(4, "zos.system.version")


async def test_a_message_waits_for_a_twin_that_is_away() -> None:
    async with world() as w, raw(w, USER) as socket:
        await socket.send_bytes(message(USER, 3).SerializeToString())
        await socket.send_bytes(message(USER, 3, tags="one, fail-fast").SerializeToString())
        assert (await received(socket)).error.message == "destination offline"
        async with raw(w, NODE) as late:
            assert (await received(late)).uid == "u1"
        assert w.relay.sessions.waiting == 0


@pytest.mark.parametrize("frame", [b"\xff" * 40, b"", b"\x0a\x02"])
async def test_noise_is_counted_and_the_connection_lives(frame: bytes) -> None:
    async with world() as w, raw(w, USER) as socket:
        await socket.send_bytes(frame)
        await socket.send_bytes(message(USER, 99).SerializeToString())
        seen = [await received(socket)]
        while seen[-1].error.message == "message wrong source":
            seen.append(await received(socket))
        assert seen[-1].error.message == "unknown twin destination"


async def test_text_and_oversized_frames_end_the_connection() -> None:
    async with world() as w:
        async with raw(w, USER) as socket:
            await socket.send_str("hello")
            assert (await asyncio.wait_for(socket.receive(), 5)).type is aiohttp.WSMsgType.CLOSE
        async with raw(w, USER) as socket:
            with contextlib.suppress(ConnectionError):
                await socket.send_bytes(bytes(env.FRAME + 10))
            assert (await asyncio.wait_for(socket.receive(), 5)).type in (
                aiohttp.WSMsgType.CLOSE,
                aiohttp.WSMsgType.CLOSED,
                aiohttp.WSMsgType.ERROR,
            )


async def test_a_twin_over_its_limit_is_told_and_others_are_served() -> None:
    async with world(Limit(3, 10_000)) as w, raw(w, USER) as socket, raw(w, NODE) as other:
        for _ in range(3):
            await socket.send_bytes(message(USER, 99).SerializeToString())
            assert (await received(socket)).error.message == "unknown twin destination"
        await socket.send_bytes(message(USER, 99).SerializeToString())
        assert "exceeded rate limits" in (await received(socket)).error.message
        await other.send_bytes(message(NODE, 99).SerializeToString())
        assert (await received(other)).error.message == "unknown twin destination"


async def test_what_it_does_is_counted_in_the_words_of_prometheus() -> None:
    async with world() as w, raw(w, USER) as socket, aiohttp.ClientSession() as http:
        frame = message(USER, 99).SerializeToString()
        await socket.send_bytes(frame)
        await received(socket)
        async with http.get(f"{w.url}/metrics") as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            lines = (await answer.text()).splitlines()
    found = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert found["relay_message_rx"] == "1"
    assert found["relay_message_rx_bytes"] == f"{len(frame)}"
    assert found["relay_message_tx"] == "1"
    assert found['relay_worker_connections{worker="0"}'] == "1"
    assert found['relay_messages_total{what="refused"}'] == "1"
    assert found["relay_waiting_bytes"] == "0"
    named = {line.split("{")[0].split(" ")[0] for line in lines if not line.startswith("#")}
    assert named <= {line.split(" ")[2] for line in lines if line.startswith("# TYPE")}
    assert all(re.fullmatch(r'[a-z_]+(\{[a-z]+="[^"]*"\})? \d+(\.\d+)?', line) for line in lines if line[0] != "#")


def test_a_label_cannot_break_out_of_its_quotes() -> None:
    counts: Counter[str] = Counter({'a"} 1\nb\\': 1})
    assert 'relay="a\\"} 1\\nb\\\\"} 1' in metrics.relay_values(Counter(), Counter(), 0, 0, 0, {"error": counts})
