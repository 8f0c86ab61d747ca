"""A relay among twins that flood, stall and babble: others are served, and memory has its bound. And behind TLS."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime
import ipaddress
import os
import socket
import ssl
import struct
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from statistics import median
from time import thread_time

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from zos.relay.federation import Outcome
from zos.relay.server import ROUTING_BYTES, ROUTING_EACH, Relay, serving
from zos.relay.sessions import PER_TWIN
from zos.relay.tests.world import FAR, NODE, USER, Others, World, echo, message, raw, received, world
from zos.rmb import token
from zos.rmb.limits import RateLimiter
from zos.rmb.peer import Peer
from zos.rmb.testing import Chain, Twin, joined
from zos.rmb.twins import TwinCache
from zos.runtime.clock import SystemClock

LOUD = Twin(7)
MIB = 1024 * 1024


def masked(frame: bytes) -> bytes:
    """As a client writes it, masked with zeros."""
    assert len(frame) > 125
    size = b"\xfe" + struct.pack(">H", len(frame)) if len(frame) < 65536 else b"\xff" + struct.pack(">Q", len(frame))
    return b"\x82" + size + bytes(4) + frame


class Wire:
    """A client that writes bytes and reads nothing unless asked."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def join(cls, w: World, twin: Twin, session: str = "") -> Wire:
        host, _, port = w.url.removeprefix("http://").partition(":")
        # A window as small as it gets, so that what is not read is soon felt.
        reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
        text = await token.make(twin.id, twin.key, SystemClock().time(), session)
        key = base64.b64encode(os.urandom(16)).decode()
        writer.write(
            f"GET /?{text} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        assert b"101" in await reader.readuntil(b"\r\n\r\n")
        return cls(reader, writer)

    def close(self) -> None:
        self.writer.transport.abort()


def flood_of(to: int, size: int = 100, twin: Twin = LOUD, session: str = "") -> bytes:
    made = message(twin, to, session)
    made.plain = bytes(size)
    return masked(made.SerializeToString())


@contextlib.asynccontextmanager
async def flooding(loud: Wire, batch: bytes) -> AsyncIterator[None]:
    """Meanwhile a client writes as fast as it is read, and reads what comes back."""

    async def flood() -> None:
        while True:
            loud.writer.write(batch)
            await loud.writer.drain()
            await asyncio.sleep(0)

    async def listen() -> None:
        while await loud.reader.read(65536):
            pass

    tasks = [asyncio.create_task(flood()), asyncio.create_task(listen())]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        loud.close()


class Computed(SystemClock):
    """Goes on while this thread computes."""

    def monotonic(self) -> float:
        return thread_time()


async def latency(me: Peer, calls: int = 30) -> float:
    found = []
    for _ in range(calls):
        await asyncio.sleep(0.005)
        began = thread_time()
        await me.call(3, "x", b"1", deadline=10)
        found.append(thread_time() - began)
    return median(found)


@pytest.mark.parametrize("to", [3, 99, 5])
async def test_a_polite_twin_is_served_while_another_floods(to: int) -> None:
    """Its latency stays below twice what it is alone: the flood goes to the same node, to nobody, or to who is away.

    All is in this thread, and goes by the time that the thread computes: other processes of the machine do not count.
    The loud one writes as fast as it is read.
    """
    async with world(pace=RateLimiter(Computed(), 1000.0, 200.0)) as w:
        w.chain.add(LOUD, Twin(5))
        async with joined(NODE, w.chain, w.ws, handler=echo), joined(USER, w.chain, w.ws, session="s") as me:
            alone = await latency(me)
            async with flooding(await Wire.join(w, LOUD), flood_of(to) * 10):
                before = w.relay.counts["relay_message_rx"]
                await latency(me, 10)
                beside = await latency(me)
                taken = w.relay.counts["relay_message_rx"] - before
        assert taken > 200, "it was read"
        assert beside < 3 * alone, f"{1000 * alone:.2f} ms alone, {1000 * beside:.2f} ms beside the flood"


async def test_many_sessions_of_one_twin_are_read_no_faster_than_one() -> None:
    clock = SystemClock()
    async with world(pace=RateLimiter(clock, 100.0, 100.0)) as w:
        w.chain.add(LOUD)
        wires = [await Wire.join(w, LOUD, f"{number}") for number in range(10)]
        began = clock.monotonic()
        for number, wire in enumerate(wires):
            wire.writer.write(flood_of(3, session=f"{number}") * 500)
        while (spent := clock.monotonic() - began) < 1.0:
            await asyncio.sleep(0.01)
        # Each connection takes one more than it may before it waits.
        assert 100 <= w.relay.counts["relay_message_rx"] <= 100 + 100 * spent + 2 * len(wires)
        for wire in wires:
            wire.close()


async def test_a_sender_that_fills_a_twins_queue_is_told_and_others_get_in() -> None:
    async with world() as w, raw(w, USER) as polite:
        w.chain.add(LOUD)
        async with raw(w, LOUD) as loud:
            large = message(LOUD, 3)
            large.plain = bytes(MIB)
            for _ in range(PER_TWIN // MIB + 2):
                await loud.send_bytes(large.SerializeToString())
            assert (await received(loud)).error.message == "the queue of this twin is full"
            assert w.relay.sessions.waiting < PER_TWIN // 2 + 64 * 1024
        await polite.send_bytes(message(USER, 3).SerializeToString())
        async with raw(w, NODE) as node:
            sources = {(await received(node)).source.twin for _ in range(2)}
        assert sources == {LOUD.id, USER.id}, "it is given in turn, not after all the others"


async def test_who_reads_nothing_takes_no_more_memory_than_it_is_given() -> None:
    """A hundred MB are sent to a twin that is connected and does not read; errors to a sender that does not either."""
    async with world(pace=RateLimiter(SystemClock(), 1e6, 1e6)) as w:
        w.chain.add(LOUD)
        deaf, loud = await Wire.join(w, FAR), await Wire.join(w, LOUD)
        frame = flood_of(FAR.id, 100_000)
        tracemalloc.start()
        try:
            for _ in range(1000):
                loud.writer.write(frame)
                await loud.writer.drain()
            async with asyncio.timeout(20):
                while w.relay.counts["relay_message_rx"] < 1000:
                    await asyncio.sleep(0.01)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert w.relay.counts["full"] > 800
        assert w.relay.sessions.waiting <= 2 * PER_TWIN // 2
        assert peak < PER_TWIN + 8 * MIB, f"{peak / 1e6:.0f} MB"
        deaf.close()
        loud.close()


async def test_a_reader_that_stalls_is_let_go_and_finds_its_messages_when_it_comes_back() -> None:
    async with world() as w, raw(w, USER) as sender:
        w.relay.stalled = 0.2
        deaf = await Wire.join(w, NODE)
        large = message(USER, 3)
        for number in range(14):  # the kernel takes up to ten of them
            large.uid, large.plain = f"{number}", bytes(MIB // 2)
            await sender.send_bytes(large.SerializeToString())
        async with asyncio.timeout(10):
            while not w.relay.ended["back_pressure_timeout"]:
                await asyncio.sleep(0.01)
        deaf.close()
        async with raw(w, NODE) as back:
            uids = [int((await received(back)).uid) for _ in range(3)]
        assert uids == list(range(uids[0], uids[0] + 3)), "in order, from the first that it had not got"
        assert uids[0] < 12


async def test_a_newer_connection_gets_at_once_what_the_older_one_does_not_read() -> None:
    """As after a node lost its way to the relay: the old connection is dead, and nobody has told us."""
    async with world() as w, raw(w, USER) as sender:
        dead = await Wire.join(w, NODE)
        large = message(USER, 3)
        for number in range(12):
            large.uid, large.plain = f"{number}", bytes(MIB // 2)
            await sender.send_bytes(large.SerializeToString())
        async with asyncio.timeout(5):
            while w.relay.counts["relay_message_rx"] < 12:
                await asyncio.sleep(0.01)
        async with raw(w, NODE) as back:
            uids = [int((await received(back)).uid) for _ in range(2)]
            async with asyncio.timeout(5):
                while not w.relay.ended["cancelled"]:
                    await asyncio.sleep(0.01)
            while uids[-1] != 11:
                uids.append(int((await received(back)).uid))
        assert sorted(uids) == list(range(min(uids), 12)), "none is lost but what the dead one had taken"
        dead.close()


async def test_lookups_for_one_sender_are_few_and_another_is_served() -> None:
    async with world(pace=RateLimiter(SystemClock(), 1e6, 1e6)) as w, raw(w, USER) as polite:
        w.chain.add(LOUD)
        loud = await Wire.join(w, LOUD)
        asked = w.chain.asked
        for twin in range(10_000, 13_000):
            loud.writer.write(flood_of(twin))
        async with asyncio.timeout(20):
            while w.relay.counts["relay_message_rx"] < 3000:
                await asyncio.sleep(0.01)
        assert w.chain.asked - asked < 1500
        await polite.send_bytes(message(USER, 99).SerializeToString())
        assert (await received(polite)).error.message == "unknown twin destination"
        loud.close()


async def test_who_is_unknown_does_not_make_us_ask_the_chain_for_ever_and_who_is_known_gets_in() -> None:
    async with world() as w, aiohttp.ClientSession() as http:
        async with raw(w, USER):
            pass
        made = await token.make(1, USER.key, SystemClock().time())
        head, _, tail = made.split(".")
        statuses = []
        for twin in range(1000, 1300):
            claims = base64.urlsafe_b64encode(b'{"sub":%d,"iat":1,"exp":9999999999}' % twin).decode().rstrip("=")
            async with http.get(f"{w.url}/?{head}.{claims}.{tail}") as answer:
                statuses.append(answer.status)
        assert set(statuses) == {401, 500}
        assert w.chain.asked < 250
        async with raw(w, USER) as socket:
            await socket.send_bytes(message(USER, 3, tags="fail-fast").SerializeToString())
            assert (await received(socket)).error.message == "destination offline"


class Never(Others):
    """Relays that never answer."""

    async def send(self, domains: Sequence[str], frame: bytes, span: float, sender: int = 0) -> Outcome:
        self.sent.append((domains, frame))
        await asyncio.Event().wait()
        return Outcome.EXPIRED


async def test_messages_that_wait_for_other_relays_are_bounded_by_sender() -> None:
    async with world(pace=RateLimiter(SystemClock(), 1e6, 1e6)) as w:
        w.relay._away = w.others = away = Never()
        w.chain.add(LOUD)
        async with raw(w, LOUD) as loud, raw(w, USER) as polite:
            frame = message(LOUD, FAR.id).SerializeToString()
            for _ in range(ROUTING_EACH + 1):
                await loud.send_bytes(frame)
            assert "too many messages to other relays" in (await received(loud)).error.message
            assert len(away.sent) == ROUTING_EACH
            assert w.relay._may_route(LOUD.id, 999, len(frame)), "another destination of the same sender has places"
            large = message(USER, FAR.id)
            large.plain = bytes(2_000_000)
            for _ in range(20):
                await polite.send_bytes(large.SerializeToString())
            assert "too many messages to other relays" in (await received(polite)).error.message
            assert w.relay._routing_bytes.used < ROUTING_BYTES * 3 // 4
    assert not w.relay._tasks, "what waits ends with the relay"


async def test_the_relay_works_behind_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "relay.lab")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )
    certificate, private = tmp_path / "cert.pem", tmp_path / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, private)
    chain = Chain()
    chain.add(USER, NODE)
    relay = Relay(TwinCache(chain.twin, SystemClock()), "relay.lab", SystemClock(), Others())
    # Only the listed authorities are trusted: first none, then the lab's.
    with socket.create_server(("127.0.0.1", 0)) as free:
        secure = free.getsockname()[1]
    async with serving(relay, "127.0.0.1", 0, ("127.0.0.1", secure, context)):
        url = f"wss://127.0.0.1:{secure}"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5), joined(USER, chain, url):
                pass
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        async with joined(NODE, chain, url, handler=echo), joined(USER, chain, url, session="s") as me:
            assert await me.call(3, "x", b"1") == b'{"from": 1, "body": 1}'
