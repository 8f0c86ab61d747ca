"""Connections to peers by TCP, accepted and dialled. The protocol has no handshake: both sides begin with packets.

A peer that does not read costs bounded memory: the router drops data for it, and closes the connection when control
messages pile up too.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from time import thread_time
from typing import Any, cast

from zos.errors import Status, ZosError
from zos.model import ports
from zos.mycelium.costs import TCP_IPV4, TCP_IPV6
from zos.mycelium.crypto import Keys
from zos.mycelium.packet import BrokenFrame, Data, Reader, Tlv
from zos.mycelium.table import Peer
from zos.mycelium.turns import SLICE, Account, Turns
from zos.runtime.backoff import Backoff
from zos.runtime.places import Places
from zos.runtime.quota import network_of

log = logging.getLogger("zos.mycelium")

PORT = ports.MYCELIUM
MAX_LINKS, EACH = 192, 64
"""Connections that are accepted: of all networks, and of one (an IPv4 address, a /64). Dialled ones are beside them."""
SETTLED = 60.0
"""Seconds after which a peer that still says something keeps its place, within its network's share."""
BEACONS = 32
"""Peers that are dialled because of beacons, which anybody on the wire can forge."""
HIGH_WATER = 512 << 10
"""Bytes queued for one peer above which its data packets are dropped."""
CONTROL_LIMIT = 8 << 20
BATCH = READ = 64 << 10
CONNECT_TIME = 10.0
SILENCE = 15_000
"""Milliseconds that sent bytes may stay unacknowledged before the kernel ends a connection."""
KEEPALIVE = {socket.TCP_KEEPIDLE: 5, socket.TCP_KEEPINTVL: 2, socket.TCP_KEEPCNT: 3}
"""Seconds of silence before the kernel asks, seconds between its questions, and questions without answer."""
DISCOVERED_TRIES = 3
AGREEMENT = 5e-5
"""Seconds that a data packet takes for which a secret must be computed."""
PARSING = 5e-6
"""Seconds that cutting one control message out of the stream takes."""


class BadPeer(ZosError):
    """A configured peer that this router cannot connect to."""

    reason = "mycelium.bad_peer"
    status = Status.INVALID_ARGUMENT
    text = "`{peer}` is no peer: {problem}"
    hint = "write tcp://ADDRESS:PORT, an IPv6 address in brackets"


class CannotListen(ZosError):
    """A listening socket cannot be opened; the daemon tries again."""

    reason = "mycelium.cannot_listen"
    status = Status.UNAVAILABLE
    text = "cannot listen on {where}: {problem}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a peer listens."""

    host: str
    port: int = PORT

    def __str__(self) -> str:
        return f"tcp://[{self.host}]:{self.port}" if ":" in self.host else f"tcp://{self.host}:{self.port}"


def parse_endpoint(text: str) -> Endpoint:
    """`tcp://ADDRESS:PORT`. BadPeer otherwise; QUIC and TLS are not spoken here."""
    scheme, _, rest = text.partition("://")
    host, _, port = rest.rpartition(":")
    if scheme != "tcp":
        raise BadPeer(peer=text, problem=f"this router speaks TCP, not {scheme or 'that'}")
    try:
        ip_address(host.strip("[]"))
    except ValueError as err:
        raise BadPeer(peer=text, problem=err) from None
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise BadPeer(peer=text, problem=f"the port is `{port}`")
    return Endpoint(host.strip("[]"), int(port))


def parse_endpoints(texts: Iterable[str]) -> tuple[tuple[Endpoint, ...], tuple[str, ...]]:
    """The peers that this router can connect to, and what is wrong with the others.

    Public lists of peers mix TCP with QUIC: one that is not spoken must not keep the node out of the overlay.
    """
    endpoints, problems = [], []
    for text in texts:
        try:
            endpoints.append(parse_endpoint(text))
        except BadPeer as err:
            log.warning("%s", err.explain())
            problems.append(str(err))
    return tuple(endpoints), tuple(problems)


def _host(far: tuple[Any, ...]) -> str:
    """A socket's address as text, a link-local one with its interface."""
    with contextlib.suppress(OSError):  # the interface may be gone by now
        if len(far) == 4 and far[3]:
            return f"{far[0]}%{socket.if_indextoname(far[3])}"
    return str(far[0])


class Link(asyncio.Protocol):
    """One TCP connection to a peer, from either side."""

    def __init__(self, links: Links, peer: Peer, remote: Endpoint | None) -> None:
        self.peer = peer
        self.static = TCP_IPV4
        self.name = str(remote or "")
        self.ended = asyncio.get_running_loop().create_future()
        self._links = links
        self._reader = Reader()
        self._pending: list[bytes] = []
        self._size = 0
        self._paused = False
        self._transport: asyncio.Transport | None = None
        self._dialled = remote is not None
        self.network = f"to {remote}" if remote is not None else ""
        """At whose expense it is: everybody from one network, each that is dialled alone."""
        self._since = asyncio.get_running_loop().time()
        self._account = Account(asyncio.get_running_loop().time())
        self._packets: Iterator[Data | Tlv] = iter(())
        """What was read and not worked on yet."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=HIGH_WATER)
        cast(Any, transport).max_size = READ
        sock: socket.socket = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENCE)
        # The same for a connection on which nothing is said: a silent cut shows within 20 seconds.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in KEEPALIVE.items():
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
        far = transport.get_extra_info("peername")
        if sock.family == socket.AF_INET6 and not far[0].startswith("::ffff:"):
            self.static = TCP_IPV6
        self.name = self.name or str(Endpoint(_host(far), far[1]))
        # On a wire every address is its own: all have the same prefix.
        network = _host(far) if ip_address(far[0].partition("%")[0]).is_link_local else network_of(far[0])
        if not self._dialled and not self._links.places.enter(network, self):
            self._transport.abort()
            return
        self.network = self.network or network
        self._links.opened(self)

    def data_received(self, data: bytes) -> None:
        self._packets = self._reader.feed(data)
        self._links.places.heard(self)
        if asyncio.get_running_loop().time() - self._since > SETTLED:
            self._links.places.keep(self, self.network)
        if self._account.is_over(asyncio.get_running_loop().time()) or self._work():
            assert self._transport is not None
            self._transport.pause_reading()
            self._links.turns.add(self._later)

    def _work(self) -> bool:
        """Work on what was read for a short time; true when something is left.

        Data takes its way at once, but for what a peer says in the names of ever more senders.
        """
        spent = 0.0
        try:
            for packet in self._packets:
                if isinstance(packet, Data):
                    before = Keys.agreements
                    self._links.received(self.peer, packet)
                    if Keys.agreements != before:
                        spent += AGREEMENT * (Keys.agreements - before)
                        if spent > SLICE:
                            return True
                    continue
                began = thread_time()
                self._links.received(self.peer, packet)
                spent += thread_time() - began + PARSING
                if spent > SLICE:
                    return True
        except BrokenFrame as err:
            log.warning("%s: %s", self.name, err.explain())
            self.abort()
        finally:
            self._account.charge(spent, asyncio.get_running_loop().time())
        return False

    def _later(self) -> bool:
        """The turn of a peer that had to wait; true while it has to go on waiting."""
        if self._transport is None or self._transport.is_closing():
            return False
        if self._work() or self._account.is_over(asyncio.get_running_loop().time()):
            return True
        self._transport.resume_reading()
        return False

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._packets = iter(())
        self._links.places.leave(self)
        self._links.closed(self)
        if not self.ended.done():
            self.ended.set_result(None)

    def send_data(self, data: bytes) -> bool:
        """Queue a data packet; false when it was dropped."""
        if self._paused or self._size > HIGH_WATER:
            return False
        self._queue(data)
        return True

    def send_control(self, data: bytes) -> None:
        """Queue a control packet."""
        if self._transport is not None and self._transport.get_write_buffer_size() > CONTROL_LIMIT:
            log.warning("%s does not read what it is sent", self.name)
            self.abort()
        self._queue(data)

    def abort(self) -> None:
        """Close the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def _queue(self, data: bytes) -> None:
        # Packets of one turn of the event loop leave in one write: a system call costs as much as encrypting a packet.
        if not self._pending:
            asyncio.get_running_loop().call_soon(self._flush)
        self._pending.append(data)
        self._size += len(data)
        if self._size > BATCH:
            self._flush()

    def _flush(self) -> None:
        pending, self._pending, self._size = self._pending, [], 0
        if pending and self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(pending))


class Links:
    """Every connection of the router: accepts, dials, and dials again."""

    def __init__(
        self,
        opened: Callable[[Link], None],
        closed: Callable[[Link], None],
        received: Callable[[Peer, Data | Tlv], None],
    ) -> None:
        self.all: dict[Peer, Link] = {}
        self.received = received
        self._opened = opened
        self._closed = closed
        self.places: Places[str, Link] = Places(MAX_LINKS, min(EACH, MAX_LINKS // 2), Link.abort)
        self.turns = Turns()
        self._numbers = itertools.count(1)
        self._group: asyncio.TaskGroup | None = None
        self._dialled: set[Endpoint] = set()
        self._beacons: set[Endpoint] = set()
        self.is_open = False
        """Peers can connect."""

    def opened(self, link: Link) -> None:
        self.all[link.peer] = link
        log.info("%s is a peer", link.name)
        self._opened(link)

    def closed(self, link: Link) -> None:
        """A connection is closed."""
        if self.all.pop(link.peer, None) is not None:
            log.info("%s is no peer any more", link.name)
            self._closed(link)

    async def run(self, port: int, peers: tuple[Endpoint, ...]) -> None:
        """Accept and dial until cancelled."""
        try:
            server = await asyncio.get_running_loop().create_server(self._new, None, port) if port else None
        except OSError as err:
            raise CannotListen(where=f"TCP {port}", problem=err.strerror or err) from None
        try:
            self.is_open = True
            async with asyncio.TaskGroup() as self._group:
                for endpoint in peers:
                    self._dialled.add(endpoint)
                    self._group.create_task(self._keep(endpoint, None))
                await asyncio.Event().wait()
        finally:
            self._group, self.is_open = None, False
            self._dialled.clear()
            self._beacons.clear()
            if server is not None:
                server.close()
            for link in list(self.all.values()):
                link.abort()

    def discovered(self, endpoint: Endpoint) -> None:
        """Connect to a peer that sent a beacon, unless there is a connection to that host already."""
        known = endpoint in self._dialled or any(f"[{endpoint.host}]" in link.name for link in self.all.values())
        if self._group is not None and not known and len(self._beacons) < BEACONS:
            self._dialled.add(endpoint)
            self._beacons.add(endpoint)
            self._group.create_task(self._keep(endpoint, DISCOVERED_TRIES))

    def _new(self, remote: Endpoint | None = None) -> Link:
        return Link(self, Peer(next(self._numbers)), remote)

    async def _keep(self, endpoint: Endpoint, tries: int | None) -> None:
        """Stay connected to a peer; with `tries`, give up after as many failures in a row."""
        backoff, failures = Backoff(first=0.5, cap=5.0), 0
        try:
            while tries is None or failures < tries:
                if await self._connect(endpoint):
                    failures = 0
                else:
                    failures += 1
                    if failures == 1:
                        log.info("%s does not answer", endpoint)
                await asyncio.sleep(backoff.delay(max(1, failures)))
        finally:
            self._dialled.discard(endpoint)
            self._beacons.discard(endpoint)

    async def _connect(self, endpoint: Endpoint) -> bool:
        """Open one connection and wait for its end; false when it could not be opened."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_TIME):
                transport, link = await loop.create_connection(
                    lambda: self._new(endpoint), endpoint.host, endpoint.port
                )
        except (OSError, TimeoutError):
            return False
        with contextlib.closing(transport):
            await link.ended
        return True
