"""Several routers in memory: links whose messages are delivered one by one, in whatever order a test likes."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from zos.mycelium import routerid
from zos.mycelium.effects import Effect, Found, Lost, Send, Unresponsive
from zos.mycelium.packet import Data, Reader, Tlv, encode
from zos.mycelium.plane import Identity, Plane, identity
from zos.mycelium.routes import Router
from zos.mycelium.table import Peer

_IDENTITIES = [identity(number.to_bytes(32, "little")) for number in range(256, 256 * 40, 256)]


@dataclass
class Member:
    """One router with its data plane."""

    own: Identity
    router: Router
    plane: Plane
    effects: list[Effect] = field(default_factory=list)
    """Found, Lost and Unresponsive, as they came."""
    arrived: list[tuple[bytes, bytes]] = field(default_factory=list)
    """Identity and packet that went into a TUN."""
    ends: dict[Peer, tuple[int, Peer]] = field(default_factory=dict)
    """Whom a peer number means: the other member, and his number for us."""


class World:
    """Members 0..n-1; `queues` holds what each has sent each and not delivered yet."""

    def __init__(self, size: int) -> None:
        self.now = 1000.0
        self.members: list[Member] = []
        self.queues: dict[tuple[int, Peer], deque[bytes]] = {}
        self._numbers = itertools.count(1)
        for number in range(size):
            own = _IDENTITIES[number]
            router_id = routerid.make(own.public, number.to_bytes(6, "big"))
            router = Router(router_id, self.now)
            plane = Plane(router, own, self._sender(number), self._taker(number), self._actor(number))
            self.members.append(Member(own, router, plane))
            self.act(number, router.add_local(own.prefix, router_id))

    def prefix(self, number: int) -> bytes:
        return self.members[number].own.prefix

    def join(self, left: int, right: int, cost: int = 10) -> tuple[Peer, Peer]:
        """A new link between two members."""
        a, b = Peer(next(self._numbers)), Peer(next(self._numbers))
        self.members[left].ends[a] = (right, b)
        self.members[right].ends[b] = (left, a)
        self.queues[left, a], self.queues[right, b] = deque(), deque()
        self.act(left, self.members[left].router.add_peer(a, cost, self.now))
        self.act(right, self.members[right].router.add_peer(b, cost, self.now))
        return a, b

    def cut(self, left: int, right: int) -> None:
        """End all links between two; what was on its way is lost."""
        for one, other in ((left, right), (right, left)):
            member = self.members[one]
            for peer in [peer for peer, end in member.ends.items() if end[0] == other]:
                del member.ends[peer], self.queues[one, peer]
                self.act(one, member.router.drop_peer(peer, self.now))

    def busy(self) -> list[tuple[int, Peer]]:
        """Queues with something in them."""
        return [key for key, queue in self.queues.items() if queue]

    def deliver(self, key: tuple[int, Peer]) -> None:
        """Hand over the next packet of a queue."""
        data = self.queues[key].popleft()
        number, peer = self.members[key[0]].ends[key[1]]
        member = self.members[number]
        for packet in Reader().feed(data):
            if isinstance(packet, Data):
                member.plane.from_peer(packet, self.now, peer)
            else:
                self.act(number, member.router.receive(peer, packet, self.now))

    def settle(self, check: Callable[[], None] = lambda: None) -> None:
        """Deliver until nothing is on its way."""
        for turn in itertools.count():
            busy = self.busy()
            if not busy:
                return
            assert turn < 200_000, "they never stop talking"
            self.deliver(busy[0])
            check()

    def wait(self, seconds: float, step: float = 1.0, check: Callable[[], None] = lambda: None) -> None:
        """Let time pass, with everything delivered at each step."""
        for _ in range(int(seconds / step)):
            self.now += step
            for number, member in enumerate(self.members):
                self.act(number, member.router.tick(self.now))
            self.settle(check)

    def act(self, number: int, effects: Iterable[Effect]) -> None:
        member = self.members[number]
        self._perform(number, effects)
        while member.router.backlog:
            self._perform(number, member.router.backlog.work(self.now))

    def _perform(self, number: int, effects: Iterable[Effect]) -> None:
        member = self.members[number]
        for effect in effects:
            if isinstance(effect, Send):
                self._send(number, effect.peer, effect.tlv)
                continue
            member.effects.append(effect)
            if isinstance(effect, Found | Lost):
                member.plane.resolved(effect, self.now)
            elif isinstance(effect, Unresponsive) and effect.peer in member.ends:
                self.cut(number, member.ends[effect.peer][0])

    def path(self, start: int, goal: int) -> list[int]:
        """The members that a packet would pass, from the first to where it ends; fails on a loop."""
        path, prefix = [start], self.prefix(goal)
        while path[-1] != goal:
            route = self.members[path[-1]].router.route(prefix)
            if route is None:
                break
            path.append(self.members[path[-1]].ends[route.peer][0])
            assert path.count(path[-1]) == 1, f"a loop: {path}"
        return path

    def _send(self, number: int, peer: Peer, tlv: Tlv) -> None:
        queue = self.queues.get((number, peer))
        if queue is not None:
            queue.append(encode(tlv))

    def _sender(self, number: int) -> Callable[[Peer, bytes], None]:
        def send(peer: Peer, data: bytes) -> None:
            if (number, peer) in self.queues:
                self.queues[number, peer].append(data)

        return send

    def _taker(self, number: int) -> Callable[[bytes, Sequence[bytes]], None]:
        return lambda prefix, packets: self.members[number].arrived.extend((prefix, packet) for packet in packets)

    def _actor(self, number: int) -> Callable[[Iterable[Effect]], None]:
        return lambda effects: self.act(number, effects)
