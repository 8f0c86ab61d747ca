"""Wires rmb: the node's twin on its relays, and the commands behind it."""

from __future__ import annotations

from dataclasses import dataclass

from zos.bus.client import Bus
from zos.chain.api import ChainClient, NoSuchTwin, NotRegistered
from zos.core0.api import Core0Client, Purpose
from zos.rmb.api.rmb_pb2_grpc import add_RmbServicer_to_server
from zos.rmb.envelope import TwinRecord
from zos.rmb.limits import RateLimiter
from zos.rmb.peer import Peer
from zos.rmb.router import Node, Router
from zos.rmb.service import RmbService
from zos.rmb.twins import TwinCache
from zos.runtime.daemon import Daemon, Runtime
from zos.substrate.keys import KeyKind


@dataclass(frozen=True, slots=True)
class Config:
    """Table `[rmb]`."""

    admins: tuple[int, ...] = ()
    """Twins that may send `zos.*.admin.*` commands."""
    rate: float = 50.0
    """Requests per second that one twin may send for long; more are dropped."""
    burst: float = 200.0
    """Requests that it may send at once."""


class NodeTwin:
    """The node's twin: its number is the chain daemon's to know, its keys are core-0's."""

    kind = KeyKind.ED25519

    def __init__(self, bus: Bus) -> None:
        self._core0 = Core0Client(bus)
        self._chain = ChainClient(bus)
        self._id = 0

    async def id(self) -> int:
        """The node's twin; raises NotRegistered while it has none."""
        if not self._id:
            self._id = (await self._chain.status()).twin
        if not self._id:
            raise NotRegistered()
        return self._id

    async def sign(self, payload: bytes) -> bytes:
        """With the node's key, in core-0."""
        return await self._core0.sign(Purpose.RMB, payload)

    async def shared(self, pk: bytes) -> bytes:
        """The key shared with another twin, from core-0."""
        return await self._core0.agree(pk)

    async def look(self, id: int) -> TwinRecord | None:
        """What the chain knows of a twin; None when there is no such twin."""
        try:
            twin = await self._chain.twin(id)
        except NoSuchTwin:
            return None
        return TwinRecord(twin.id, twin.account, twin.pk, twin.relay)


class Rmb(Daemon):
    """The node on the message bus."""

    name = "rmb"
    config = Config

    async def open(self, rt: Runtime) -> None:
        config: Config = rt.config
        me = NodeTwin(rt.bus)
        router = Router(Node(rt.bus, rt.node.farm_id, config.admins, rt.clock))
        peer = Peer(
            me.id,
            me,
            me,
            TwinCache(me.look, rt.clock),
            rt.node.relay,
            router.handle,
            clock=rt.clock,
            rate=RateLimiter(rt.clock, config.rate, config.burst),
            is_private=router.is_private,
        )
        rt.serve(RmbService(peer, me), add_RmbServicer_to_server)
        if rt.node.relay:
            rt.task("peer", peer.run)
