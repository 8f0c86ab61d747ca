"""The control plane: which peer leads to which subnet, and what to announce. Pure; callers pass the time.

Babel (RFC 8966) with the reference's additions: routes are requested when traffic needs them. One process may be the
origin of several subnets, each with its own router id. Source: threefoldtech/mycelium, router.rs.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Iterator
from functools import partial
from itertools import islice

from zos.model import mycelium
from zos.mycelium import routerid
from zos.mycelium.backlog import Backlog
from zos.mycelium.costs import INFINITE, LinkCost, newer, plus
from zos.mycelium.effects import Effect, Found, Lost, Send, Unresponsive
from zos.mycelium.messages import acceptable, centi, hold, subnet_of
from zos.mycelium.packet import Hello, Ihu, RouteRequest, SeqnoRequest, Tlv, Update
from zos.mycelium.queries import REPEATED, Queries
from zos.mycelium.seqnos import PendingSeqnos
from zos.mycelium.sources import Sources
from zos.mycelium.table import HELLO_EVERY, Entry, Local, Neighbour, Peer, RouteQuery, Routes, Table

UPDATE_EVERY = 300.0
QUERY_TIME = ALMOST_EXPIRED = 15.0
ASK_AGAIN = 3.5
"""Seconds after which a query is repeated: the answer of a router that had no route itself is not repeated to us."""
EXPIRING = 256
"""Routes that expire in one tick."""
BIG_CHANGE = BETTER = 10
"""A larger change of a metric is announced at once; a route that replaces another must be better by more than this."""
MAX_GENERATION = 16


class Router:
    """The routing of one node; `node` is the router id in its retractions."""

    def __init__(self, node: bytes, now: float) -> None:
        self.table = Table()
        self.locals: dict[bytes, Local] = {}
        self.peers: dict[Peer, Neighbour] = {}
        self._node = node
        self._sources = Sources()
        self._queries = Queries()
        self._seqnos = PendingSeqnos(self._sources)
        self._next_hello = now + HELLO_EVERY
        self._next_update = now + UPDATE_EVERY
        self.backlog = Backlog()
        """What is left over; its caller works on it between other things."""

    def route(self, prefix: bytes) -> Entry | None:
        """The selected route, unless its peer is gone."""
        routes = self.table.get(prefix)
        selected = routes.selected if routes else None
        return selected if selected is not None and selected.peer in self.peers else None

    def public(self, prefix: bytes) -> bytes | None:
        """The public key of a subnet's owner; None when no route to it is known."""
        routes = self.table.get(prefix)
        if routes is None:
            return None
        entry = routes.selected or next(iter(routes.entries.values()), None)
        return routerid.key(entry.router) if entry else None

    def request_route(self, prefix: bytes, now: float, payer: Hashable = None, is_again: bool = False) -> list[Effect]:
        """Query the peers for a route, or for one in use `again`. `Found` or `Lost` follows when none is selected."""
        query = self._queries.get(prefix)
        if query is None:
            query = RouteQuery(now + QUERY_TIME, 0, set(), now + ASK_AGAIN)
            if not self._queries.open(prefix, query, payer, is_again=is_again):
                return [] if is_again else [Lost(prefix)]
        if query.generation > 0:
            query.generation, query.asked, query.again = 0, set(), now + ASK_AGAIN
        routes = self.table.get(prefix)
        effects: list[Effect] = []
        if routes is not None and routes.selected is not None and routes.selected.peer not in self.peers:
            # Its peer is gone, and the turn of this route has not come yet.
            effects += self._take_back(prefix, routes.selected.peer, now)
            routes = self.table.get(prefix)
        if routes is not None and routes.selected is None:
            # The known routes are not feasible: a newer sequence number of the origin makes them so.
            for router in {entry.router for entry in routes.entries.values() if not entry.gone}:
                effects += self._request_seqno(prefix, router, now)
        return effects + self._send_to_unasked(RouteRequest(subnet_of(prefix)), query, ())

    def _ask_again(self, prefix: bytes, query: RouteQuery, now: float) -> list[Effect]:
        """Also for a peer: whoever holds a route that he cannot use answers no question, but passes a new number on."""
        query.again = now + ASK_AGAIN
        origin = self._sources.origin(prefix)
        effects = self._request_seqno(prefix, origin, now) if origin is not None else []
        if query.generation:
            return effects
        query.asked = set()
        return effects + self._send_to_unasked(RouteRequest(subnet_of(prefix)), query, ())

    # Events

    def add_local(self, prefix: bytes, router: bytes) -> list[Effect]:
        """Originates a subnet: from now on every peer learns a route to it."""
        self.locals[prefix] = Local(router)
        return [Send(peer, self._own(prefix)) for peer in self.peers]

    def drop_local(self, prefix: bytes) -> list[Effect]:
        """Stop originating a subnet."""
        if self.locals.pop(prefix, None) is None:
            return []
        return [Send(peer, self._retraction(prefix)) for peer in self.peers]

    def add_peer(self, peer: Peer, static: int, now: float, payer: Hashable = None) -> list[Effect]:
        """A connection opened: the peer gets our subnets and every query that is under way."""
        self.table.charge(peer, peer if payer is None else payer)
        neighbour = self.peers[peer] = Neighbour(LinkCost(static))
        effects: list[Effect] = [Send(peer, self._own(prefix)) for prefix in self.locals]
        asking = (partial(self._ask_too, peer, prefix) for prefix in list(self._queries))
        return [*effects, *self.backlog.begin(asking, now), self._hello(peer, neighbour, now)]

    def _ask_too(self, peer: Peer, prefix: bytes, now: float) -> list[Effect]:
        query = self._queries.get(prefix)
        if query is None or peer in query.asked:
            return []
        query.asked.add(peer)
        return [Send(peer, RouteRequest(subnet_of(prefix), query.generation))]

    def drop_peer(self, peer: Peer, now: float) -> list[Effect]:
        """A connection closed; its routes end with it."""
        if self.peers.pop(peer, None) is None:
            return []
        self.table.gone(peer)
        taking = (partial(self._take_back, prefix, peer) for prefix in self.table.prefixes(peer))
        return self.backlog.begin(taking, now)

    def _take_back(self, prefix: bytes, peer: Peer, now: float) -> list[Effect]:
        """A route ends with its peer."""
        routes = self.table.get(prefix)
        entry = routes.entries.get(peer) if routes else None
        if routes is None or entry is None:
            return []
        entry.metric = INFINITE
        effects = self._select(prefix, routes, now)
        self.table.drop(prefix, peer)
        return effects

    def receive(self, peer: Peer, tlv: Tlv, now: float) -> list[Effect]:
        """A control message of a peer."""
        neighbour = self.peers.get(peer)
        if neighbour is None:
            return []
        match tlv:
            case Hello():
                return [Send(peer, Ihu(neighbour.cost.value, centi(3 * HELLO_EVERY)))]
            case Ihu():
                if neighbour.hello_sent is not None:
                    neighbour.cost.measure(int((now - neighbour.hello_sent) * 1000))
                    neighbour.hello_sent = None
                return []
            case Update():
                return self._updated(peer, tlv, now)
            case RouteRequest():
                return self._route_request(peer, tlv, now)
            case SeqnoRequest():
                return self._seqno_request(peer, tlv, now)

    def tick(self, now: float) -> list[Effect]:
        """Expire and repeat what is due; call it about once a second."""
        effects: list[Effect] = []
        for prefix, entry in islice(self.table.expired(now), EXPIRING):
            effects += self._expired(prefix, entry, now)
        for prefix in [prefix for prefix, query in self._queries.items() if query.until <= now]:
            self._queries.close(prefix)
            if self.route(prefix) is None:
                effects.append(Lost(prefix))
        for prefix, query in self._queries.due(now):
            effects += self._ask_again(prefix, query, now)
            if len(effects) >= REPEATED:
                break
        self._seqnos.forget(now)
        for prefix, local in self.locals.items():
            if local.is_asked and local.raise_seqno(now):
                effects += [Send(peer, self._own(prefix)) for peer in self.peers]
        if now >= self._next_hello:
            self._next_hello = now + HELLO_EVERY
            effects += [self._hello(peer, neighbour, now) for peer, neighbour in self.peers.items()]
            self._sources.forget(now)
        if now >= self._next_update:
            self._next_update = now + UPDATE_EVERY
            effects += [Send(peer, self._own(prefix)) for prefix in self.locals for peer in self.peers]
        return effects + [Unresponsive(peer) for peer, each in self.peers.items() if each.is_unresponsive(now)]

    # Updates

    def _updated(self, peer: Peer, update: Update, now: float) -> list[Effect]:
        prefix = update.subnet.address[: mycelium.PREFIX]
        if not acceptable(update) or prefix in self.locals:
            return []
        feasible = self._sources.feasible((prefix, update.router), update.seqno, update.metric)
        is_newer = newer(update.seqno, self._sources.seqno((prefix, update.router)))
        routes = self.table.get(prefix)
        entry = routes.entries.get(peer) if routes else None
        if entry is None:
            is_useful = update.metric != INFINITE and (feasible or routes is None or routes.selected is None)
            if not is_useful or not self.table.has_room(peer):
                return []
            # An infeasible route is stored when there is no better one: its origin may make it feasible.
            entry = Entry(peer, update.router, update.seqno, update.metric, now + hold(update))
            routes = self.table.put(prefix, entry)
        else:
            assert routes is not None
            if not feasible and routes.selected is entry and entry.router == update.router:
                # Keep the selected route as it is until its origin makes the update feasible, or it expires.
                return self._request_seqno(prefix, update.router, now, to=peer)
            if entry.gone and update.metric == INFINITE:
                return []
            entry.metric, entry.seqno = update.metric, update.seqno
            if update.metric != INFINITE:  # a retraction carries the router id of its sender, not of the origin
                entry.router = update.router
            if feasible:
                self.table.expire_at(prefix, entry, now + hold(update))
        effects: list[Effect] = []
        if not feasible and routes.selected in (None, entry):
            effects += self._request_seqno(prefix, update.router, now, to=peer)
        effects += self._select(prefix, routes, now)
        return effects + self._answer_waiting(prefix, update.router, now, is_newer)

    def _answer_waiting(self, prefix: bytes, router: bytes, now: float, is_newer: bool = False) -> list[Effect]:
        """Announce the route to the peers that requested this sequence number through this router, or a newer one."""
        asked, route = self._seqnos.get((prefix, router)), self.route(prefix)
        if asked is None or route is None or route.router != router:
            return []
        if newer(asked.seqno, route.seqno):
            return self._announce(prefix, now, asked.sources) if is_newer else []
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

    def _is_usable(self, prefix: bytes, entry: Entry) -> bool:
        return self._cost(entry) != INFINITE and self._sources.feasible(
            (prefix, entry.router), entry.seqno, entry.metric
        )

    def _is_stale(self, prefix: bytes, entry: Entry) -> bool:
        """A peer waits for a newer sequence number than this route has."""
        asked = self._seqnos.get((prefix, entry.router))
        return asked is not None and bool(asked.sources) and newer(asked.seqno, entry.seqno)

    def _best(self, prefix: bytes, routes: Routes) -> Entry | None:
        usable = [entry for entry in routes.entries.values() if self._is_usable(prefix, entry)]
        best = min(usable, key=lambda entry: (self._is_stale(prefix, entry), self._cost(entry)), default=None)
        current = routes.selected
        if best is None or current is None or best is current or not any(entry is current for entry in usable):
            return best
        better = self._cost(best) + BETTER < self._cost(current)
        direct = best.metric == 0 and current.metric != 0
        fresh = self._is_stale(prefix, current) and not self._is_stale(prefix, best)
        return best if better or direct or fresh else current

    def _select(self, prefix: bytes, routes: Routes, now: float) -> list[Effect]:
        """Select the best route again; announce it when the change matters."""
        old = routes.selected
        new = routes.selected = self._best(prefix, routes)
        if new is None:
            return [] if old is None else [*self._announce(prefix, now), *self._request_seqno(prefix, old.router, now)]
        effects: list[Effect] = []
        if old is None:
            self._queries.close(prefix)
            effects.append(Found(prefix))
        router, metric = routes.announced or (b"", INFINITE)
        if router != new.router or abs(metric - self._cost(new)) > BIG_CHANGE:
            effects += self._announce(prefix, now)
        return effects

    # Announcing

    def _hello(self, peer: Peer, neighbour: Neighbour, now: float) -> Send:
        neighbour.hello = (neighbour.hello + 1) & 0xFFFF
        neighbour.hello_sent = now if neighbour.hello_sent is None else neighbour.hello_sent
        return Send(peer, Hello(neighbour.hello, centi(HELLO_EVERY)))

    def _own(self, prefix: bytes) -> Update:
        local = self.locals[prefix]
        return Update(centi(UPDATE_EVERY), local.seqno, 0, subnet_of(prefix), local.router)

    def _retraction(self, prefix: bytes) -> Update:
        return Update(centi(UPDATE_EVERY), 0, INFINITE, subnet_of(prefix), self._node)

    def _selected_update(self, prefix: bytes, entry: Entry, now: float) -> Update:
        """The selected route as an update of this router; it counts as announced from now on."""
        metric = self._cost(entry)
        self._sources.announced((prefix, entry.router), entry.seqno, metric, now)
        return Update(centi(UPDATE_EVERY), entry.seqno, metric, subnet_of(prefix), entry.router)

    def _announce(self, prefix: bytes, now: float, to: Collection[Peer] | None = None) -> list[Effect]:
        """Announce the selected route, or a retraction; not to the peer that it leads through."""
        routes, entry = self.table.get(prefix), self.route(prefix)
        update = self._selected_update(prefix, entry, now) if entry else self._retraction(prefix)
        if routes is not None and to is None:
            routes.announced = (update.router, update.metric) if entry else None
        return [
            Send(peer, update)
            for peer in (self.peers if to is None else to)
            if peer in self.peers and (entry is None or peer != entry.peer)
        ]

    # Route requests

    def _route_request(self, peer: Peer, request: RouteRequest, now: float) -> list[Effect]:
        if request.subnet is None:
            dump = (partial(self._dumped, peer, prefix) for prefix in [*self.locals, *self.table.subnets()])
            return self.backlog.begin(dump, now, dump_for=peer)
        if len(request.subnet.address) != 16 or request.subnet.length < 64:
            return []
        prefix = request.subnet.address[: mycelium.PREFIX]
        if prefix in self.locals:
            return [Send(peer, self._own(prefix))]
        if self.route(prefix) is not None:
            return self._announce(prefix, now, (peer,))
        # What was retracted, or is not feasible, is no route: somebody else may have one.
        generation = request.generation + 1
        query = RouteQuery(now + QUERY_TIME, generation, set(), now + ASK_AGAIN)
        is_new = prefix not in self._queries and generation < MAX_GENERATION
        if not is_new or not self._queries.open(prefix, query, self.table.payer(peer)):
            return []
        return self._send_to_unasked(RouteRequest(subnet_of(prefix), generation), query, (peer,))

    def _dumped(self, peer: Peer, prefix: bytes, now: float) -> list[Effect]:
        """One route for a peer that asked for all."""
        if peer not in self.peers:
            return []
        if prefix in self.locals:
            return [Send(peer, self._own(prefix))]
        return self._announce(prefix, now, (peer,)) if self.route(prefix) else []

    def _send_to_unasked(self, request: RouteRequest, query: RouteQuery, but: Collection[Peer]) -> list[Effect]:
        asked = [peer for peer in self.peers if peer not in query.asked and peer not in but]
        query.asked.update(asked)
        return [Send(peer, request) for peer in asked]

    # Sequence number requests

    def _request_seqno(self, prefix: bytes, router: bytes, now: float, to: Peer | None = None) -> list[Effect]:
        """Request an origin's next sequence number: from the given peer, else from all with a route, else from all."""
        seqno = self._seqnos.next((prefix, router), now)
        asked = self._seqnos.remember((prefix, router), seqno, now)
        routes = self.table.get(prefix)
        targets: Iterable[Peer] = (to,) if to is not None else routes.entries if routes else self.peers
        fresh = [peer for peer in targets if peer not in asked.targets and peer in self.peers]
        asked.targets.update(fresh)
        return [Send(peer, SeqnoRequest(seqno, router, subnet_of(prefix))) for peer in fresh]

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
        asked = self._seqnos.remember((prefix, request.router), request.seqno, now)
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
        """Routes to the origin, feasible ones first."""
        alive = [entry for entry in routes.entries.values() if not entry.gone]
        yield from sorted(alive, key=lambda entry: not self._is_usable(prefix, entry))

    def _raise_seqno(self, peer: Peer, prefix: bytes, local: Local, request: SeqnoRequest, now: float) -> list[Effect]:
        if request.router == local.router and newer(request.seqno, local.seqno):
            return [Send(each, self._own(prefix)) for each in self.peers] if local.raise_seqno(now) else []
        return [Send(peer, self._own(prefix))]
