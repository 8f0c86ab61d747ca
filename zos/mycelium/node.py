"""A running router: decisions (`routes`, `plane`) wired to what acts (`links`, `tun`, `discovery`)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from time import thread_time

from zos.model.mycelium import PREFIX
from zos.mycelium import discovery, routerid
from zos.mycelium.effects import Effect, Found, Lost, Send, Unresponsive
from zos.mycelium.links import Endpoint, Link, Links
from zos.mycelium.packet import Data, Tlv, encode
from zos.mycelium.plane import Identity, Plane, identity
from zos.mycelium.routes import Router
from zos.mycelium.table import Peer
from zos.mycelium.tun import Tun
from zos.mycelium.turns import SLICE

TICK = 1.0


class Node:
    """One router in the overlay, with any number of identities and peers over TCP."""

    def __init__(self, secret: bytes) -> None:
        now = time.monotonic()
        self.own = identity(secret)
        self.router_id = routerid.make(self.own.public)
        self.router = Router(self.router_id, now)
        self.tuns: dict[bytes, Tun] = {}
        self._owners: dict[Tun, list[bytes]] = {}
        """The identities behind each TUN: a network's earlier keys have the same as its present one."""
        self.dropped = 0
        """Data packets that were dropped because a connection's queue was full."""
        self.links = Links(self._opened, self._closed, self._received)
        self.plane = Plane(self.router, self.own, self._to_peer, self._to_tun, self._act)
        self.router.add_local(self.own.prefix, self.router_id)
        self._is_working = False

    async def run(self, port: int, peers: tuple[Endpoint, ...], interfaces: tuple[str, ...]) -> None:
        """Links, timers and discovery of neighbours, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.links.run(port, peers))
            group.create_task(self._tick())
            if interfaces:
                group.create_task(discovery.run(interfaces, port, self.router_id, self.links.discovered))

    def add(self, mine: Identity) -> None:
        """Announce one more identity."""
        if mine.prefix not in self.plane.identities:
            self.plane.identities[mine.prefix] = mine
            self._act(self.router.add_local(mine.prefix, routerid.make(mine.public)))

    def drop(self, prefix: bytes) -> None:
        """Forgets the network's identity and withdraws its subnet from the peers."""
        self.detach(prefix)
        if self.plane.identities.pop(prefix, None) is not None:
            self._act(self.router.drop_local(prefix))

    def attach(self, prefix: bytes, device: str, namespace: str) -> None:
        """Connect an identity to a TUN; NoDevice when the device does not exist."""
        tun = self.tuns.get(prefix)
        if tun is not None and tun.alive and tun.namespace == namespace:
            return
        self.detach(prefix)
        shared = next((one for one in self.tuns.values() if one.alive and one.leads_to(device, namespace)), None)
        if shared is None:
            owners = [prefix]
            shared = Tun(device, namespace, lambda packets: self._out(owners, packets))
            self._owners[shared] = owners
        else:
            self._owners[shared].append(prefix)
        self.tuns[prefix] = shared

    def detach(self, prefix: bytes) -> None:
        """Take an identity from its TUN, which is closed with the last one."""
        tun = self.tuns.pop(prefix, None)
        if tun is not None:
            self._owners[tun].remove(prefix)
            if not self._owners[tun]:
                del self._owners[tun]
                tun.close()

    def close(self) -> None:
        for prefix in list(self.tuns):
            self.detach(prefix)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            self._act(self.router.tick(time.monotonic()))

    def _out(self, owners: Sequence[bytes], packets: Sequence[bytes]) -> None:
        source = packets[0][8 : 8 + PREFIX]
        owner = source if len(owners) > 1 and source in owners else owners[0]
        self.plane.from_tun(owner, packets[0], time.monotonic(), packets[1:])

    def _opened(self, link: Link) -> None:
        self._act(self.router.add_peer(link.peer, link.static, time.monotonic(), link.network))

    def _closed(self, link: Link) -> None:
        self._act(self.router.drop_peer(link.peer, time.monotonic()))

    def _received(self, peer: Peer, packet: Data | Tlv) -> None:
        if isinstance(packet, Data):
            self.plane.from_peer(packet, time.monotonic(), peer)
        else:
            self._act(self.router.receive(peer, packet, time.monotonic()))

    def _to_peer(self, peer: Peer, data: bytes) -> None:
        link = self.links.all.get(peer)
        if link is None or not link.send_data(data):
            self.dropped += 1

    def _to_tun(self, prefix: bytes, packets: Sequence[bytes]) -> None:
        tun = self.tuns.get(prefix)
        if tun is not None:
            tun.write(packets)

    def _work(self) -> bool:
        """Do what is left over for a short time; true when there is more."""
        began = thread_time()
        while self.router.backlog and thread_time() - began < SLICE:
            self._perform(self.router.backlog.work(time.monotonic()))
        self._is_working = bool(self.router.backlog)
        return self._is_working

    def _act(self, effects: Iterable[Effect]) -> None:
        self._perform(effects)
        if self.router.backlog and not self._is_working:
            self._is_working = True
            self.links.turns.add(self._work)

    def _perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(peer, tlv):
                    link = self.links.all.get(peer)
                    if link is not None:
                        link.send_control(encode(tlv))
                case Found() | Lost():
                    self.plane.resolved(effect, time.monotonic())
                case Unresponsive(peer):
                    link = self.links.all.get(peer)
                    if link is not None:
                        link.abort()
