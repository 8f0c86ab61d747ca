"""Finding peers on the same wire: a beacon by multicast. UDP 9650, ff02::cafe, once a minute.

A beacon is `mycelium`, the TCP port (16 bits) and the router id (40 bytes). A router that receives one connects to the
link-local address that it came from. Source: threefoldtech/mycelium, peer_manager.rs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
from collections.abc import Callable
from typing import Any

from zos.model import ports
from zos.mycelium import routerid
from zos.mycelium.links import CannotListen, Endpoint

log = logging.getLogger("zos.mycelium")

PORT = ports.MYCELIUM_BEACON
GROUP = "ff02::cafe"
MAGIC = b"mycelium"
EVERY = 60.0
LOOK = 2.0
"""Seconds between two searches for interfaces."""
AGAIN = 5.0
"""Seconds until the port is tried again, should another program have it."""


def beacon(port: int, router: bytes) -> bytes:
    """The datagram that announces a router."""
    return MAGIC + port.to_bytes(2, "big") + router


def parse_beacon(data: bytes) -> tuple[int, bytes] | None:
    """TCP port and router id; None when it is no beacon."""
    if len(data) != len(MAGIC) + 2 + routerid.SIZE or not data.startswith(MAGIC):
        return None
    return int.from_bytes(data[8:10], "big"), data[10:]


class _BeaconReceiver(asyncio.DatagramProtocol):
    def __init__(self, router: bytes, found: Callable[[Endpoint], None]) -> None:
        self._router = router
        self._found = found

    def datagram_received(self, data: bytes, addr: Any) -> None:
        parsed = parse_beacon(data)
        host = str(addr[0]).partition("%")[0]
        if parsed is None or parsed[1] == self._router or not parsed[0] or not host.startswith("fe80:"):
            return
        with contextlib.suppress(OSError):  # the interface may be gone by now
            self._found(Endpoint(f"{host}%{socket.if_indextoname(addr[3])}", parsed[0]))

    def error_received(self, exc: Exception) -> None:
        log.debug("beacon: %s", exc)


async def run(interfaces: tuple[str, ...], port: int, router: bytes, found: Callable[[Endpoint], None]) -> None:
    """Send and receive beacons on these interfaces, whenever they exist, until cancelled.

    A router without beacons still routes: when it cannot have them it tries again, and ends nothing.
    """
    told = False
    while True:
        try:
            await _run(interfaces, port, router, found)
        except (CannotListen, OSError) as err:
            if not told:
                log.warning("no neighbours are found: %s", err)
            told = True
        await asyncio.sleep(AGAIN)


async def _run(interfaces: tuple[str, ...], port: int, router: bytes, found: Callable[[Endpoint], None]) -> None:
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
    try:
        sock.bind(("::", PORT))
    except OSError as err:
        sock.close()
        raise CannotListen(where=f"UDP {PORT}", problem=err.strerror or err) from None
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _BeaconReceiver(router, found), sock=sock)
    sent_at: dict[int, float] = {}
    try:
        while True:
            for name in interfaces:
                with contextlib.suppress(OSError):  # it does not exist, or has no address yet: the next search finds it
                    _send_beacon(sock, socket.if_nametoindex(name), beacon(port, router), sent_at, loop.time())
            await asyncio.sleep(LOOK)
    finally:
        transport.close()


def _send_beacon(sock: socket.socket, index: int, data: bytes, sent_at: dict[int, float], now: float) -> None:
    if index not in sent_at:
        with contextlib.suppress(OSError):  # joined before
            member = socket.inet_pton(socket.AF_INET6, GROUP) + struct.pack("@I", index)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, member)
    if now - sent_at.get(index, float("-inf")) >= EVERY:
        sock.sendto(data, (GROUP, PORT, 0, index))
        sent_at[index] = now
