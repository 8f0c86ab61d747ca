"""The relay with real peers on loopback: who gets in, what goes where, what waits, what is refused."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import pytest

from zos.relay.federation import Federation
from zos.relay.server import Limit, Relay, serving
from zos.relay.sessions import PER_ADDRESS, Sessions
from zos.rmb import envelope as env
from zos.rmb import token
from zos.rmb.errors import Refused
from zos.rmb.testing import Chain, Twin, joined
from zos.rmb.wire_pb2 import Address, Envelope
from zos.runtime.clock import FakeClock, SystemClock
from zos.substrate.keys import KeyKind

USER, NODE, FAR, MUTE = Twin(1), Twin(3, KeyKind.ED25519), Twin(4, relay="relay.far"), Twin(5, relay="")


@dataclass
class Others:
    """Other relays that take what they are told to take."""

    takes: bool = True
    sent: list[tuple[list[str], bytes]] = field(default_factory=list)

    async def send(self, domains: list[str], frame: bytes) -> bool:
        self.sent.append((domains, frame))
        return self.takes


@dataclass
class World:
    relay: Relay
    url: str
    chain: Chain
    others: Others

    @property
    def ws(self) -> str:
        return self.url.replace("http://", "ws://")


@asynccontextmanager
async def world(limit: Limit | None = None) -> AsyncIterator[World]:
    chain, others = Chain(), Others()
    chain.add(USER, NODE, FAR, MUTE)
    relay = Relay(chain, "relay.lab", SystemClock(), others, limit)
    async with serving(relay, "127.0.0.1", 0) as port:
        yield World(relay, f"http://127.0.0.1:{port}", chain, others)


async def echo(twin: int, command: str, body: bytes) -> bytes:
    return b'{"from": %d, "body": %s}' % (twin, body or b"null")


@asynccontextmanager
async def raw(world: World, twin: Twin, session: str = "") -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A bare connection, which sends whatever it likes."""
    text = await token.make(twin.id, twin.key, SystemClock().time(), session)
    async with aiohttp.ClientSession() as http, http.ws_connect(f"{world.url}/?{text}") as socket:
        yield socket


async def heard(socket: aiohttp.ClientWebSocketResponse) -> Envelope:
    return Envelope.FromString(await asyncio.wait_for(socket.receive_bytes(), 5))


def message(frm: Twin, to: int, session: str = "", **more: str) -> Envelope:
    me = Address(twin=frm.id, connection=session) if session else Address(twin=frm.id)
    made = env.request("u1", me, to, "zos.system.version", SystemClock().time(), 20)
    if tags := more.get("tags"):
        made.tags = tags
    return made


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
        assert await status(w, "nowhere") == 404


async def test_a_newer_connection_takes_the_place_of_the_older() -> None:
    async with world() as w, raw(w, USER) as old, raw(w, USER, "other") as other, raw(w, USER) as new:
        assert (await asyncio.wait_for(old.receive(), 5)).type is aiohttp.WSMsgType.CLOSE
        await new.send_bytes(message(USER, 3, "").SerializeToString())
        assert not other.closed


async def test_nobody_speaks_for_another_twin_or_session() -> None:
    async with world() as w, raw(w, USER, "mine") as socket:
        for forged in (message(NODE, 1), message(USER, 3), message(USER, 3, "yours")):
            await socket.send_bytes(forged.SerializeToString())
            assert (await heard(socket)).error.message == "message wrong source"


async def test_a_ping_comes_back_as_a_pong() -> None:
    async with world() as w, raw(w, USER, "s") as socket:
        ping = Envelope(uid="p", source=Address(twin=1, connection="s"), destination=Address(twin=0), expiration=40)
        ping.ping.SetInParent()
        await socket.send_bytes(ping.SerializeToString())
        back = await heard(socket)
        assert back.WhichOneof("message") == "pong"
        assert (back.uid, back.plain, back.destination.twin, back.destination.connection) == (
            "p",
            b"hello world",
            1,
            "s",
        )


async def test_bytes_arrive_as_they_were_sent() -> None:
    async with world() as w, raw(w, USER) as one, raw(w, NODE) as other:
        sent = message(USER, 3)
        sent.tags = ""
        frame = sent.SerializeToString() + b"\xfa\x01\x03new"  # a field that we do not know
        await one.send_bytes(frame)
        assert await asyncio.wait_for(other.receive_bytes(), 5) == frame


async def test_what_cannot_be_delivered_is_said_to_who_asked() -> None:
    async with world() as w, raw(w, USER) as socket:
        w.others.takes = False
        for to, text in (
            (99, "unknown twin destination"),
            (5, "relay info is not set for this twin"),
            (4, "destination offline"),
        ):
            await socket.send_bytes(message(USER, to).SerializeToString())
            told = await heard(socket)
            assert (told.error.message, told.uid, told.source.twin) == (text, "u1", 0)
        assert w.others.sent[0][0] == ["relay.far"]


async def test_a_peer_hears_what_the_relay_says() -> None:
    async with world() as w, joined(USER, w.chain, w.ws) as me:
        w.others.takes = False
        with pytest.raises(Refused, match="destination offline"):
            await me.call(4, "zos.system.version")


async def test_a_message_waits_for_a_twin_that_is_away() -> None:
    async with world() as w, raw(w, USER) as socket:
        await socket.send_bytes(message(USER, 3).SerializeToString())
        await socket.send_bytes(message(USER, 3, tags="one, fail-fast").SerializeToString())
        assert (await heard(socket)).error.message == "destination twin is not connected"
        async with raw(w, NODE) as late:
            assert (await heard(late)).uid == "u1"
        assert w.relay.sessions.waiting == 0


async def test_other_relays_post_envelopes_for_our_twins() -> None:
    async with world() as w, raw(w, NODE) as node, aiohttp.ClientSession() as http:

        async def post(data: bytes) -> int:
            async with http.post(f"{w.url}/", data=io.BytesIO(data)) as answer:
                return answer.status

        assert await post(message(USER, 3).SerializeToString()) == 202
        assert (await heard(node)).uid == "u1"
        assert await post(message(USER, 99).SerializeToString()) == 404
        assert await post(message(USER, 4).SerializeToString()) == 404, "not one of its relays"
        assert await post(b"\xff\xff\xff") == 400
        assert await post(bytes(env.LARGEST + 1)) == 400


async def test_two_relays_carry_a_request_and_its_answer() -> None:
    async with world() as one, world() as other, Federation(SystemClock(), "http") as federation:
        far = other.url.removeprefix("http://")
        near = one.url.removeprefix("http://")
        for w, domain in ((one, near), (other, far)):
            w.relay._domain = domain
            w.relay._away = federation
            w.chain.add(Twin(1, relay=near), Twin(3, KeyKind.ED25519, relay=far))
        async with joined(NODE, other.chain, other.ws, handler=echo), joined(USER, one.chain, one.ws) as me:
            assert await me.call(3, "x", b"1") == b'{"from": 1, "body": 1}'


async def test_a_relay_that_fails_is_asked_last() -> None:
    async with world() as w, Federation(FakeClock(), "http") as federation:
        good = w.url.removeprefix("http://")
        assert await federation.send(["127.0.0.1:1", good], message(USER, 3).SerializeToString())
        assert federation.ranked(["127.0.0.1:1", good]) == [good, "127.0.0.1:1"]
        assert not await federation.send([good], message(USER, 99).SerializeToString())


@pytest.mark.parametrize("frame", [b"\xff" * 40, b"", b"\x0a\x02"])
async def test_noise_is_counted_and_the_connection_lives(frame: bytes) -> None:
    async with world() as w, raw(w, USER) as socket:
        await socket.send_bytes(frame)
        await socket.send_bytes(message(USER, 99).SerializeToString())
        seen = [await heard(socket)]
        while seen[-1].error.message == "message wrong source":
            seen.append(await heard(socket))
        assert seen[-1].error.message == "unknown twin destination"


async def test_text_and_oversized_frames_end_the_connection() -> None:
    async with world() as w:
        async with raw(w, USER) as socket:
            await socket.send_str("hello")
            assert (await asyncio.wait_for(socket.receive(), 5)).type is aiohttp.WSMsgType.CLOSE
        async with raw(w, USER) as socket:
            await socket.send_bytes(bytes(env.LARGEST + 10))
            assert (await asyncio.wait_for(socket.receive(), 5)).type in (
                aiohttp.WSMsgType.CLOSE,
                aiohttp.WSMsgType.CLOSED,
                aiohttp.WSMsgType.ERROR,
            )


async def test_a_twin_over_its_limit_is_told_and_others_are_served() -> None:
    async with world(Limit(3, 10_000)) as w, raw(w, USER) as socket, raw(w, NODE) as other:
        for _ in range(3):
            await socket.send_bytes(message(USER, 99).SerializeToString())
            assert (await heard(socket)).error.message == "unknown twin destination"
        await socket.send_bytes(message(USER, 99).SerializeToString())
        assert "exceeded rate limits" in (await heard(socket)).error.message
        await other.send_bytes(message(NODE, 99).SerializeToString())
        assert (await heard(other)).error.message == "unknown twin destination"


async def test_what_it_does_is_counted() -> None:
    async with world() as w, raw(w, USER) as socket, aiohttp.ClientSession() as http:
        await socket.send_bytes(message(USER, 99).SerializeToString())
        await heard(socket)
        async with http.get(f"{w.url}/metrics") as answer:
            text = await answer.text()
        assert 'relay_messages{what="received"} 1' in text
        assert "relay_sessions 1" in text


async def test_a_reader_that_stalls_holds_up_nobody_else() -> None:
    """The stalled one's window fills; a polite pair's requests go on meanwhile."""
    async with world() as w, raw(w, MUTE) as flood, raw(w, FAR):
        w.chain.add(Twin(5), Twin(4))
        async with joined(NODE, w.chain, w.ws, handler=echo), joined(USER, w.chain, w.ws) as me:
            big = message(MUTE, 4)
            big.plain = bytes(64_000)
            frame = big.SerializeToString()

            async def send() -> None:
                for _ in range(600):
                    await flood.send_bytes(frame)

            sending = asyncio.create_task(send())
            for _ in range(20):
                assert await me.call(3, "x", b"1", deadline=5)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)


def test_the_queue_of_an_absent_twin_is_bounded_and_forgets_what_expired() -> None:
    clock = FakeClock()
    sessions = Sessions(clock)
    for number in range(PER_ADDRESS):
        assert sessions.keep((1, ""), b"x", clock.time() + (10 if number % 2 else 1000))
    assert not sessions.keep((1, ""), b"x", clock.time() + 10)
    clock.advance(20)
    assert sessions.keep((2, ""), b"x", clock.time() + 10)
    assert sessions.waiting == PER_ADDRESS // 2 + 1
    _, waiting = sessions.join((1, ""))
    assert len(waiting) == PER_ADDRESS // 2
    assert sessions.waiting == 1
