"""Floods of a server, from an address of their own: each goes on until its process is killed."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import struct
import time
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp

from zos.mycelium import routerid
from zos.mycelium.packet import RouteRequest, Subnet, Update, encode
from zos.mycelium.plane import identity
from zos.rmb import envelope as env
from zos.rmb import token
from zos.rmb.testing import Twin
from zos.rmb.wire_pb2 import Address

POLITE, LOUD = "127.0.0.1", "127.0.0.2"
NODE, ENEMY = Twin(3), Twin(7)
MIB = 1 << 20
INTROSPECTION = (
    "{" + " ".join(f"a{i}: __schema {{ types {{ fields {{ type {{ name }} }} }} }}" for i in range(40)) + "}"
)
CYCLE = "{ farms { publicIPs { farm { publicIPs { farm { publicIPs { ip } } } } } } }"


async def connected(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(POLITE, port, local_addr=(LOUD, 0))


async def spin(port: int) -> None:
    while True:
        hashlib.sha256(bytes(100_000)).digest()
        await asyncio.sleep(0)


async def stream(port: int, head: bytes, chunk: bytes, count: int = 4) -> None:
    """Write the same on some connections as fast as it is taken, again when they are closed."""

    async def one() -> None:
        while True:
            with contextlib.suppress(ConnectionError):
                reader, writer = await connected(port)
                draining = asyncio.create_task(_drained(reader))
                writer.write(head)
                try:
                    while not draining.done():
                        writer.write(chunk)
                        await writer.drain()
                        await asyncio.sleep(0.001)
                finally:
                    draining.cancel()
                    writer.transport.abort()
            await asyncio.sleep(0.05)

    await asyncio.gather(*(one() for _ in range(count)))


async def _drained(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(ConnectionError):
        while await reader.read(1 << 16):
            pass


async def join(session: str) -> bytes:
    text = await token.make(ENEMY.id, ENEMY.key, time.time(), session)
    return (
        f"GET /?{text} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ).encode()


def framed(kind: int, body: bytes) -> bytes:
    size = bytes([0x80 | len(body)]) if len(body) < 126 else b"\xfe" + struct.pack(">H", len(body))
    return bytes([kind]) + size + bytes(4) + body


async def pings(port: int) -> None:
    await stream(port, await join("p"), framed(0x89, b"") * 2000, 1)


async def fragments(port: int) -> None:
    await stream(port, await join("f") + framed(0x02, b""), framed(0x00, b"") * 2000, 1)


async def messages(port: int) -> None:
    made = env.request("u", Address(twin=ENEMY.id, connection="m"), NODE.id, "x", time.time(), 20)
    await stream(port, await join("m"), framed(0x82, made.SerializeToString()) * 100, 1)


async def half(port: int) -> None:
    await stream(port, await join("h") + b"\x02\xff" + struct.pack(">Q", 15 * MIB) + bytes(4), bytes(65536), 8)


async def idlers(port: int) -> None:
    opened = []
    while True:
        with contextlib.suppress(ConnectionError):
            opened.append(await connected(port))
        await asyncio.sleep(0.002)


async def posts(port: int, path: str, body: bytes, count: int = 8) -> None:
    connector = aiohttp.TCPConnector(limit=count, local_addr=(LOUD, 0))
    async with aiohttp.ClientSession(f"http://{POLITE}:{port}", connector=connector) as http:

        async def one() -> None:
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    async with http.post(path, data=body) if body else http.get(path) as answer:
                        await answer.read()
                await asyncio.sleep(0.001)

        await asyncio.gather(*(one() for _ in range(count)))


def rpc(method: str, *params: Any, times: int = 1) -> bytes:
    one = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
    return json.dumps([one] * times if times > 1 else one).encode()


async def updates(port: int) -> None:
    """Valid ones: each prefix follows from a key of its own."""
    mine = [identity(bytes(24) + struct.pack(">Q", 1000 + number)) for number in range(2000)]
    made = [
        encode(Update(30_000, seqno, 10, Subnet(one.prefix + bytes(8), 64), routerid.make(one.public)))
        for seqno in range(10)
        for one in mine
    ]
    await stream(port, b"", b"".join(made), 4)


async def dumps(port: int) -> None:
    await stream(port, b"", encode(RouteRequest(None)) * 500, 4)


async def unknowns(port: int) -> None:
    made = [encode(RouteRequest(Subnet(b"\x04" + os.urandom(7) + bytes(8), 64))) for _ in range(2000)]
    await stream(port, b"", b"".join(made), 4)


FLOODS: dict[str, dict[str, Callable[[int], Coroutine[Any, Any, None]]]] = {
    "relay": {"pings": pings, "fragments": fragments, "messages": messages, "half": half, "idlers": idlers},
    "explorer": {
        "cycle": lambda port: posts(port, "/graphql", json.dumps({"query": CYCLE}).encode()),
        "schema": lambda port: posts(port, "/graphql", json.dumps({"query": INTROSPECTION}).encode()),
        "lists": lambda port: posts(port, "/nodes?size=100&ret_count=true", b""),
        "idlers": idlers,
    },
    "devchain": {
        "metadata": lambda port: posts(port, "/", rpc("state_getMetadata", times=100)),
        "keys": lambda port: posts(port, "/", rpc("state_getKeysPaged", "0x", 1000)),
        "extrinsics": lambda port: posts(port, "/", rpc("author_submitExtrinsic", "0x" + "84" * 500_000)),
        "idlers": idlers,
    },
    "hub": {
        "list": lambda port: posts(port, "/api/flist", b""),
        "uploads": lambda port: posts(port, "/deployments/" + "0" * 64, b'"' + b"x" * MIB + b'"'),
        "idlers": idlers,
    },
    "mycelium": {"updates": updates, "dumps": dumps, "unknowns": unknowns, "idlers": idlers},
}
