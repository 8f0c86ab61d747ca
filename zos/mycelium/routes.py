"""The router: which peer leads to which subnet, and what to tell the peers. Pure; the time is handed in.

Babel (RFC 8966) with the reference's additions: routes are asked for when traffic needs them, and one process may be
the origin of several subnets, each with a router id of its own. Source: threefoldtech/mycelium, router.rs.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from zos.model import mycelium
from zos.mycelium import routerid
from zos.mycelium.costs import INFINITE, LinkCost, newer, plus
from zos.mycelium.packet import Hello, Ihu, RouteRequest, SeqnoRequest, Subnet, Tlv, Update
from zos.mycelium.sources import Sources
from zos.mycelium.table import Asked, Entry, Peer, Query, Routes, Table

HELLO_EVERY = 20.0
DEAD_AFTER = HELLO_EVERY + 3
"""Seconds that a hello may stay unanswered. Silence alone proves nothing: this process may have been stopped."""
UPDATE_EVERY = 300.0
RETRACTED_HOLD = 6.0
"""Seconds that a route which was taken back is still known as such."""
QUERY_TIME = 15.0
ALMOST_EXPIRED = 15.0
SEQNO_PAUSE = 4.0
"""Seconds between two new sequence numbers of ours, and between two equal requests."""
ASKED_HOLD = 60.0
BIG_CHANGE = 10
"""A metric that changed by more is told at once."""
BETTER = 10
"""A route must be better by more than this to replace the one in use."""
MAX_GENERATION = 16
MAX_SUBNETS, MAX_QUERIES, MAX_ASKED = 32768, 4096, 4096
"""Strangers cost bounded memory; about 1 kB each."""


class Send(NamedTuple):
    """A message for a peer."""

    peer: Peer
    tlv: Tlv


class Found(NamedTuple):
    """There is a route to this subnet now."""

    prefix: bytes


class Lost(NamedTuple):
    """Nobody knew this subnet in time."""

    prefix: bytes


class Dead(NamedTuple):
    """A peer that does not answer any more: hang up."""

    peer: Peer


Effect = Send | Found | Lost | Dead


@dataclass(slots=True)
class Local:
    """A subnet of ours."""

    router: bytes
    seqno: int = 0
    raised: float = float("-inf")


@dataclass(slots=True)
class Neighbour:
    """What is known of a peer."""

    cost: LinkCost
    hello: int = 0
    asked: float | None = None
    """When the first hello that has no answer yet was sent."""

    def dead(self, now: float) -> bool:
        return self.asked is not None and now - self.asked > DEAD_AFTER


class Router:
    """One node's routing; `node` is the router id that stands in retractions."""

    def __init__(self, node: bytes, now: float) -> None:
        self.table = Table()
        self.locals: dict[bytes, Local] = {}
        self.peers: dict[Peer, Neighbour] = {}
        self._node = node
        self._sources = Sources()
        self._queries: dict[bytes, Query] = {}
        self._asked: OrderedDict[tuple[bytes, bytes], Asked] = OrderedDict()
        self._next_hello = now + HELLO_EVERY
        self._next_update = now + UPDATE_EVERY

    # What packets ask

    def route(self, prefix: bytes) -> Entry | None:
        """The route in use."""
        routes = self.table.get(prefix)
        return routes.selected if routes else None

    def public(self, prefix: bytes) -> bytes | None:
        """The public key of a subnet's owner, as far as any route tells."""
        routes = self.table.get(prefix)
        if routes is None:
            return None
        entry = routes.selected or next(iter(routes.entries.values()), None)
        return routerid.key(entry.router) if entry else None

    def want(self, prefix: bytes, now: float) -> list[Effect]:
        """Look for a route; `Found` or `Lost` will follow when there is none in use."""
        query = self._queries.get(prefix)
        if query is None:
            if len(self._queries) >= MAX_QUERIES:
                return [Lost(prefix)]
            query = self._queries[prefix] = Query(now + QUERY_TIME, 0, set())
        if query.generation > 0:
            query.generation, query.asked = 0, set()
        routes = self.table.get(prefix)
        effects: list[Effect] = []
        if routes is not None and routes.selected is None:
            # Others have it and it is not feasible: only its origin can help.
            for router in {entry.router for entry in routes.entries.values() if not entry.gone}:
                effects += self._ask_seqno(prefix, router, now)
        return effects + self._spread(RouteRequest(_subnet(prefix)), query, ())

    # What happens

    def add_local(self, prefix: bytes, router: bytes) -> list[Effect]:
        """A subnet becomes ours."""
        self.locals[prefix] = Local(router)
        return [Send(peer, self._own(prefix)) for peer in self.peers]

    def drop_local(self, prefix: bytes) -> list[Effect]:
        """A subnet is no longer ours."""
        if self.locals.pop(prefix, None) is None:
            return []
        return [Send(peer, self._retraction(prefix)) for peer in self.peers]

    def add_peer(self, peer: Peer, static: int, now: float) -> list[Effect]:
        """A connection came about."""
        neighbour = self.peers[peer] = Neighbour(LinkCost(static))
        effects: list[Effect] = [Send(peer, self._own(prefix)) for prefix in self.locals]
        for prefix, query in self._queries.items():
            query.asked.add(peer)
            effects.append(Send(peer, RouteRequest(_subnet(prefix), query.generation)))
        return [*effects, self._hello(peer, neighbour, now)]

    def drop_peer(self, peer: Peer, now: float) -> list[Effect]:
        """A connection ended; its routes end with it."""
        if self.peers.pop(peer, None) is None:
            return []
        effects: list[Effect] = []
        for prefix, routes in list(self.table):
            entry = routes.entries.get(peer)
            if entry is None:
                continue
            entry.metric = INFINITE
            effects += self._select(prefix, routes, now)
            self.table.drop(prefix, peer)
        return effects

    def receive(self, peer: Peer, tlv: Tlv, now: float) -> list[Effect]:
        """A peer said something."""
        neighbour = self.peers.get(peer)
        if neighbour is None:
            return []
        match tlv:
            case Hello():
                return [Send(peer, Ihu(neighbour.cost.value, _centi(3 * HELLO_EVERY)))]
            case Ihu():
                if neighbour.asked is not None:
                    neighbour.cost.measure(int((now - neighbour.asked) * 1000))
                    neighbour.asked = None
                return []
            case Update():
                return self._updated(peer, tlv, now)
            case RouteRequest():
                return self._route_request(peer, tlv, now)
            case SeqnoRequest():
                return self._seqno_request(peer, tlv, now)

    def tick(self, now: float) -> list[Effect]:
        """Whatever time brings; to be called about every second."""
        effects: list[Effect] = []
        for prefix, entry in self.table.expired(now):
            effects += self._expired(prefix, entry, now)
        for prefix in [prefix for prefix, query in self._queries.items() if query.until <= now]:
            del self._queries[prefix]
            if self.route(prefix) is None:
                effects.append(Lost(prefix))
        while self._asked and next(iter(self._asked.values())).at + ASKED_HOLD <= now:
            self._asked.popitem(last=False)
        if now >= self._next_hello:
            self._next_hello = now + HELLO_EVERY
            effects += [self._hello(peer, neighbour, now) for peer, neighbour in self.peers.items()]
            self._sources.forget(now)
        if now >= self._next_update:
            self._next_update = now + UPDATE_EVERY
            effects += [Send(peer, self._own(prefix)) for prefix in self.locals for peer in self.peers]
        return effects + [Dead(peer) for peer, seen in self.peers.items() if seen.dead(now)]

    # Updates

    def _updated(self, peer: Peer, update: Update, now: float) -> list[Effect]:
        prefix = update.subnet.address[: mycelium.PREFIX]
        if not _acceptable(update) or prefix in self.locals:
            return []
        source = (prefix, update.router)
        feasible = self._sources.feasible(source, update.seqno, update.metric)
        routes = self.table.get(prefix)
        entry = routes.entries.get(peer) if routes else None
        if entry is None:
            if update.metric == INFINITE or not (feasible or routes is None or routes.selected is None):
                return []
            if routes is None and len(self.table) >= MAX_SUBNETS and prefix not in self._queries:
                return []
            # An infeasible one is kept as well, beside nothing better: its origin may make it feasible.
            entry = Entry(peer, update.router, update.seqno, update.metric, now + _hold(update))
            routes = self.table.put(prefix, entry)
        else:
            assert routes is not None
            if not feasible and routes.selected is entry and entry.router == update.router:
                # What we know of it stays true enough until its origin made it feasible, or it ends.
                return self._ask_seqno(prefix, update.router, now, to=peer)
            if entry.gone and update.metric == INFINITE:
                return []
            entry.metric, entry.seqno = update.metric, update.seqno
            if update.metric != INFINITE:  # a retraction bears the router id of who sent it
                entry.router = update.router
            if feasible:
                self.table.expire_at(prefix, entry, now + _hold(update))
        effects: list[Effect] = []
        if not feasible and routes.selected in (None, entry):
            effects += self._ask_seqno(prefix, update.router, now, to=peer)
        effects += self._select(prefix, routes, now)
        return effects + self._answer_waiting(prefix, update.router, now)

    def _answer_waiting(self, prefix: bytes, router: bytes, now: float) -> list[Effect]:
        """Tell those who asked for this sequence number through us."""
        asked, route = self._asked.get((prefix, router)), self.route(prefix)
        if asked is None or route is None or route.router != router or newer(asked.seqno, route.seqno):
            return []
        sources, asked.sources = asked.sources, set()
        return self._announce(prefix, now, sources)

    def _expired(self, prefix: bytes, entry: Entry, now: float) -> list[Effect]:
        routes = self.table.get(prefix)
        assert routes is not None
        if routes.selected is not entry:
            self.table.drop(prefix, entry.peer)
            return []
        entry.metric = INFINITE
        effects = self._select(prefix, routes, now)
        self.table.drop(prefix, entry.peer)
        return effects

    # Selection

    def _cost(self, entry: Entry) -> int:
        neighbour = self.peers.get(entry.peer)
        return plus(entry.metric, neighbour.cost.value) if neighbour else INFINITE

    def _usable(self, prefix: bytes, entry: Entry) -> bool:
        return self._cost(entry) != INFINITE and self._sources.feasible(
            (prefix, entry.router), entry.seqno, entry.metric
        )

    def _stale(self, prefix: bytes, entry: Entry) -> bool:
        """Somebody waits for a newer sequence number than this route has."""
        asked = self._asked.get((prefix, entry.router))
        return asked is not None and bool(asked.sources) and newer(asked.seqno, entry.seqno)

    def _best(self, prefix: bytes, routes: Routes) -> Entry | None:
        usable = [entry for entry in routes.entries.values() if self._usable(prefix, entry)]
        best = min(usable, key=lambda entry: (self._stale(prefix, entry), self._cost(entry)), default=None)
        current = routes.selected
        if best is None or current is None or best is current or not any(entry is current for entry in usable):
            return best
        better = self._cost(best) + BETTER < self._cost(current)
        direct = best.metric == 0 and current.metric != 0
        fresh = self._stale(prefix, current) and not self._stale(prefix, best)
        return best if better or direct or fresh else current

    def _select(self, prefix: bytes, routes: Routes, now: float) -> list[Effect]:
        """Choose again; tell everybody when that matters to them."""
        old = routes.selected
        new = routes.selected = self._best(prefix, routes)
        if new is None:
            return [] if old is None else [*self._announce(prefix, now), *self._ask_seqno(prefix, old.router, now)]
        effects: list[Effect] = []
        if old is None:
            self._queries.pop(prefix, None)
            effects.append(Found(prefix))
        router, metric = routes.told or (b"", INFINITE)
        if router != new.router or abs(metric - self._cost(new)) > BIG_CHANGE:
            effects += self._announce(prefix, now)
        return effects

    # Telling

    def _hello(self, peer: Peer, neighbour: Neighbour, now: float) -> Send:
        neighbour.hello = (neighbour.hello + 1) & 0xFFFF
        neighbour.asked = now if neighbour.asked is None else neighbour.asked
        return Send(peer, Hello(neighbour.hello, _centi(HELLO_EVERY)))

    def _own(self, prefix: bytes) -> Update:
        local = self.locals[prefix]
        return Update(_centi(UPDATE_EVERY), local.seqno, 0, _subnet(prefix), local.router)

    def _retraction(self, prefix: bytes) -> Update:
        return Update(_centi(UPDATE_EVERY), 0, INFINITE, _subnet(prefix), self._node)

    def _selected_update(self, prefix: bytes, entry: Entry, now: float) -> Update:
        """The route in use as others see it through us; from now on it counts as told."""
        metric = self._cost(entry)
        self._sources.told((prefix, entry.router), entry.seqno, metric, now)
        return Update(_centi(UPDATE_EVERY), entry.seqno, metric, _subnet(prefix), entry.router)

    def _announce(self, prefix: bytes, now: float, to: Collection[Peer] | None = None) -> list[Effect]:
        """Tell the route in use, or that there is none; not to the peer that it leads to."""
        routes, entry = self.table.get(prefix), self.route(prefix)
        update = self._selected_update(prefix, entry, now) if entry else self._retraction(prefix)
        if routes is not None and to is None:
            routes.told = (update.router, update.metric) if entry else None
        return [
            Send(peer, update)
            for peer in (self.peers if to is None else to)
            if peer in self.peers and (entry is None or peer != entry.peer)
        ]

    # Questions for routes

    def _route_request(self, peer: Peer, request: RouteRequest, now: float) -> list[Effect]:
        if request.subnet is None:
            told = [self._own(prefix) for prefix in self.locals]
            selected = [(prefix, routes.selected) for prefix, routes in self.table if routes.selected]
            told += [self._selected_update(p, entry, now) for p, entry in selected if entry.peer != peer]
            return [Send(peer, update) for update in told]
        if len(request.subnet.address) != 16 or request.subnet.length < 64:
            return []
        prefix = request.subnet.address[: mycelium.PREFIX]
        if prefix in self.locals:
            return [Send(peer, self._own(prefix))]
        if self.table.get(prefix) is not None:
            return self._announce(prefix, now, (peer,)) if self.route(prefix) else []
        generation = request.generation + 1
        if prefix in self._queries or generation >= MAX_GENERATION or len(self._queries) >= MAX_QUERIES:
            return []
        query = self._queries[prefix] = Query(now + QUERY_TIME, generation, set())
        return self._spread(RouteRequest(_subnet(prefix), generation), query, (peer,))

    def _spread(self, request: RouteRequest, query: Query, but: Collection[Peer]) -> list[Effect]:
        asked = [peer for peer in self.peers if peer not in query.asked and peer not in but]
        query.asked.update(asked)
        return [Send(peer, request) for peer in asked]

    # Requests for newer sequence numbers

    def _ask_seqno(self, prefix: bytes, router: bytes, now: float, to: Peer | None = None) -> list[Effect]:
        """Ask an origin for the next sequence number: the peer given, else all with a route, else all."""
        seqno = (self._sources.seqno((prefix, router)) + 1) & 0xFFFF
        asked = self._remember(prefix, router, seqno, now)
        routes = self.table.get(prefix)
        targets: Iterable[Peer] = (to,) if to is not None else routes.entries if routes else self.peers
        fresh = [peer for peer in targets if peer not in asked.targets and peer in self.peers]
        asked.targets.update(fresh)
        return [Send(peer, SeqnoRequest(seqno, router, _subnet(prefix))) for peer in fresh]

    def _remember(self, prefix: bytes, router: bytes, seqno: int, now: float) -> Asked:
        asked = self._asked.get((prefix, router))
        if asked is None or newer(seqno, asked.seqno) or now - asked.at >= SEQNO_PAUSE:
            asked = Asked(seqno, now, sources=asked.sources if asked else set())
            self._asked[prefix, router] = asked
            self._asked.move_to_end((prefix, router))
            if len(self._asked) > MAX_ASKED:
                self._asked.popitem(last=False)
        return asked

    def _seqno_request(self, peer: Peer, request: SeqnoRequest, now: float) -> list[Effect]:
        if len(request.subnet.address) != 16 or request.subnet.length != 64:
            return []
        prefix = request.subnet.address[: mycelium.PREFIX]
        local = self.locals.get(prefix)
        if local is not None:
            return self._raise_seqno(peer, prefix, local, request, now)
        route = self.route(prefix)
        if route is not None and (route.router != request.router or not newer(request.seqno, route.seqno)):
            return self._announce(prefix, now, (peer,))
        routes = self.table.get(prefix)
        if request.hops < 2 or routes is None:
            return []
        asked = self._remember(prefix, request.router, request.seqno, now)
        asked.sources.add(peer)
        effects = [*self._select(prefix, routes, now), *self._answer_waiting(prefix, request.router, now)]
        if not asked.sources:
            return effects
        for entry in self._towards(prefix, routes):
            if entry.peer != peer and entry.peer not in asked.targets:
                asked.targets.add(entry.peer)
                onwards = SeqnoRequest(request.seqno, request.router, request.subnet, request.hops - 1)
                return [*effects, Send(entry.peer, onwards)]
        return effects

    def _towards(self, prefix: bytes, routes: Routes) -> Iterator[Entry]:
        """Ways to the origin: feasible ones first."""
        alive = [entry for entry in routes.entries.values() if not entry.gone]
        yield from sorted(alive, key=lambda entry: not self._usable(prefix, entry))

    def _raise_seqno(self, peer: Peer, prefix: bytes, local: Local, request: SeqnoRequest, now: float) -> list[Effect]:
        if request.router == local.router and newer(request.seqno, local.seqno):
            if now - local.raised < SEQNO_PAUSE:
                return []
            local.seqno, local.raised = (local.seqno + 1) & 0xFFFF, now
            return [Send(each, self._own(prefix)) for each in self.peers]
        return [Send(peer, self._own(prefix))]


def _acceptable(update: Update) -> bool:
    """Only a /64 of the overlay, announced by the key that it follows from. Anybody may say that a route ended."""
    subnet = update.subnet
    if subnet.length != 64 or len(subnet.address) != 16 or subnet.address[0] & 0xFE != 4:
        return False
    return update.metric == INFINITE or routerid.owns(update.router, subnet.address[: mycelium.PREFIX])


def _hold(update: Update) -> float:
    """Seconds that a route lives without another word: three and a half intervals."""
    return RETRACTED_HOLD if update.metric == INFINITE else update.interval / 100 * 3.5


def _subnet(prefix: bytes) -> Subnet:
    return Subnet(prefix + bytes(16 - mycelium.PREFIX), 64)


def _centi(seconds: float) -> int:
    return int(seconds * 100)
