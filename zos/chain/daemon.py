"""Wires chain: configuration, the link, the events, the API."""

from __future__ import annotations

from dataclasses import dataclass

from zos.bus.client import Bus
from zos.chain.api.chain_pb2_grpc import add_ChainServicer_to_server
from zos.chain.api.types import Block
from zos.chain.feed import IDENTITY, ContractFeed, Identity
from zos.chain.link import Contact, Link, NodeKey
from zos.chain.records import relay_text
from zos.chain.service import ChainService
from zos.core0.api import Core0Client
from zos.runtime.daemon import Daemon, Runtime
from zos.substrate import Chain, Connect, Key, websocket


@dataclass(frozen=True, slots=True)
class Config:
    """Table `[chain]`."""

    activation: str = ""
    """URL of the service that gives a new account its first TFT; on a public grid its own by default. Without one
    somebody sends some."""


class ChainAccess:
    """What the daemon has of the node: its key, which is in core-0, and a way to a chain's URL."""

    connect: Connect = staticmethod(websocket)

    def __init__(self, bus: Bus) -> None:
        self._core0 = Core0Client(bus)

    async def key(self) -> Key:
        """The node's key; core-0 signs with it."""
        return NodeKey(self._core0, (await self._core0.identity()).public_key)

    async def e2e_key(self) -> bytes:
        """The public key that twins encrypt to, 33 bytes."""
        return (await self._core0.identity()).e2e_key


class ChainDaemon(Daemon):
    """The node's connection to the chain."""

    name = "chain"
    config = Config

    async def open(self, rt: Runtime) -> None:
        config: Config = rt.config
        # core-0 serves its API before its daemons; without the node's key there is nothing to do here.
        host = rt.host(ChainAccess, rt.bus)
        key = await host.key()
        chains = rt.ledger("chain", Identity, version=1)
        self._chain = Chain(rt.node.chain, genesis=(chains.get(IDENTITY) or Identity()).genesis, connect=host.connect)
        contact = Contact(relay_text(rt.node.relay), await host.e2e_key()) if rt.node.relay else None
        activation = (config.activation,) if config.activation else rt.node.grid.activation
        link = Link(self._chain, key, rt.node.farm_id, activation, contact)
        feed = ContractFeed(link, rt.ledger("cursor", Block, version=1), chains)
        rt.serve(ChainService(link, feed), add_ChainServicer_to_server)
        if rt.node.chain:
            rt.task("follow", feed.follow)

    async def close(self) -> None:
        await self._chain.close()
