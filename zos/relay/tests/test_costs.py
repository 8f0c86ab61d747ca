"""What a connection may cost the relay, whatever is spoken on it."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import socket
import struct
from statistics import median

import pytest

from zos.relay.tests.test_hostile import LOUD, MIB, Wire, flooding, latency
from zos.relay.tests.world import NODE, USER, World, echo, message, raw, received, world
from zos.rmb import envelope as env
from zos.rmb.errors import Malformed
from zos.rmb.testing import joined
from zos.runtime.operations import operations

PING, FRAGMENT, HALF = b"\x89\x80" + bytes(4), b"\x00\x80" + bytes(4), b"\x02\xff" + struct.pack(">Q", 15 * MIB)


async def waited(w: World, what: str, seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not w.relay.ingress.ended.get(what):
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(("first", "then"), [(b"", PING), (b"\x02\x80" + bytes(4), FRAGMENT)], ids=["pings", "empty"])
async def test_frames_that_are_no_messages_are_paced_like_those_that_are(first: bytes, then: bytes) -> None:
    async with world() as w:
        w.chain.add(LOUD)
        async with joined(NODE, w.chain, w.ws, handler=echo), joined(USER, w.chain, w.ws, session="s") as me:
            alone = await latency(me)
            loud = await Wire.join(w, LOUD)
            loud.writer.write(first)
            async with flooding(loud, then * 4000):
                await asyncio.sleep(0.5)
                beside = [await latency(me, 10) for _ in range(3)]
        # Unpaced they would make it hundreds of times as long; how much exactly is told by bench_floods.
        assert median(beside) < 10 * alone, f"{1000 * alone:.2f} ms alone, {1000 * median(beside):.2f} ms beside"


async def test_who_hangs_up_while_its_pings_are_answered_leaves_no_error(caplog: pytest.LogCaptureFixture) -> None:
    async with world() as w:
        w.chain.add(LOUD)
        for _ in range(5):
            loud = await Wire.join(w, LOUD)
            loud.writer.write(PING * 500)
            await loud.writer.drain()
            loud.close()
        async with asyncio.timeout(10):
            while w.relay.ingress.connections:
                await asyncio.sleep(0.01)
    assert not [one for one in caplog.records if one.levelname == "ERROR"]


def connected(w: World) -> socket.socket:
    host, _, port = w.url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)))


HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"


@pytest.mark.parametrize("said", [b"", HEAD, POST], ids=["nothing", "head", "post"])
async def test_who_says_nothing_or_half_a_request_is_let_go(said: bytes) -> None:
    async with world() as w:
        w.relay.ingress.limits = dataclasses.replace(w.relay.ingress.limits, idle=0.3, body=0.3)
        with connected(w) as idle:
            idle.sendall(said)
            idle.settimeout(0)
            await waited(w, "does not send what it began" if said.startswith(b"POST") else "asks for nothing")
            async with asyncio.timeout(5):
                while w.relay.ingress.connections:
                    await asyncio.sleep(0.01)


async def test_one_network_does_not_take_all_places_nor_the_memory_of_messages_that_are_not_whole() -> None:
    async with world() as w:
        w.relay.ingress.limits = dataclasses.replace(w.relay.ingress.limits)
        w.relay.ingress.memory._total = 40 * MIB
        w.chain.add(LOUD)
        wires = [await Wire.join(w, LOUD, f"{number}") for number in range(4)]
        for wire in wires:
            wire.writer.write(HALF + bytes(4) + bytes(8 * MIB))
        await waited(w, "sends more than it completes")
        assert w.relay.ingress.memory.used <= 20 * MIB
        async with raw(w, USER) as polite:
            await polite.send_bytes(message(USER, 99).SerializeToString())
            assert (await received(polite)).error.message
        for wire in wires:
            wire.close()


async def test_a_connection_that_never_reads_is_let_go_with_what_the_kernel_holds_for_it() -> None:
    async with world() as w, raw(w, USER) as sender:
        w.relay.stalled = 0.2
        deaf = await Wire.join(w, NODE)
        large = message(USER, 3)
        for number in range(12):
            large.uid, large.plain = f"{number}", bytes(MIB // 2)
            await sender.send_bytes(large.SerializeToString())
        async with asyncio.timeout(10):
            while w.relay.ended["back_pressure_timeout"] < 1 or len(w.relay.ingress.connections) > 1:
                await asyncio.sleep(0.02)
        # By a reset: nothing of ours waits in the kernel for its window to open.
        port = int(w.url.rpartition(":")[2])
        deaf_port = deaf.writer.get_extra_info("sockname")[1]
        assert not [one for one in tcp_of(port) if one == deaf_port]
        deaf.close()


def tcp_of(port: int) -> list[int]:
    """Far ports of connections that the kernel still holds for a local port."""
    found = []
    with open("/proc/net/tcp") as table:
        for row in table.readlines()[1:]:
            near, far = row.split()[1:3]
            if int(near.split(":")[1], 16) == port:
                found.append(int(far.split(":")[1], 16))
    return found


async def test_a_request_that_is_too_large_is_refused_alone_and_a_large_answer_passes() -> None:
    async with world() as w, raw(w, USER) as user, raw(w, NODE) as node:
        large = message(USER, 3)
        large.plain = os.urandom(env.LARGEST + 10)
        await user.send_bytes(large.SerializeToString())
        assert "larger than 2 MiB" in (await received(user)).error.message
        await user.send_bytes(message(USER, 3).SerializeToString())
        seen = await received(node)
        back = env.answer(seen, seen.destination, 1.0)
        back.response.SetInParent()
        back.plain = bytes(3 * MIB)
        await node.send_bytes(back.SerializeToString())
        async with asyncio.timeout(10):
            assert len(await user.receive_bytes()) > 3 * MIB


def test_a_frame_of_countless_fields_is_refused_before_they_are_read() -> None:
    """2 bytes a field would become 16 bytes and more each."""

    def read() -> None:
        with pytest.raises(Malformed):
            env.decode(b"\x8a\x01\x00" * (5 * MIB), env.FRAME)

    assert operations(read) < MIB // 10
