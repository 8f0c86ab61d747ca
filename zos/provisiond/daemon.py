"""Wires provisiond: the ledger, the workers, the ear on the chain, the door."""

from __future__ import annotations

from dataclasses import dataclass

from zos.fetch.policy import Policy
from zos.provisiond.api.provisiond_pb2_grpc import add_ProvisiondServicer_to_server
from zos.provisiond.book import Book
from zos.provisiond.host import NodeHost
from zos.provisiond.keeper import Keeper
from zos.provisiond.kyc import Kyc
from zos.provisiond.maker import Maker
from zos.provisiond.model import Record
from zos.provisiond.service import ProvisionService
from zos.runtime.daemon import Daemon, Runtime
from zos.verbs.primitive import find
from zos.vmd.api import VmdClient


@dataclass(frozen=True, slots=True)
class Config:
    """Table `[provisiond]`."""

    every: float = 60.0
    """Seconds between two looks at a deployment when nothing asks for one."""
    audit: float = 3600.0
    """Seconds between two rounds over all contracts."""
    kyc: tuple[str, ...] = ()
    """URLs of KYC services, asked in order for the twin of whatever is newly deployed; empty: nobody is asked."""
    allowed: tuple[str, ...] = ()
    """Networks, addresses and host names, each with or without a port, that deployments may be fetched from although
    they are not public. The node's hub is one of them."""


class Provisiond(Daemon):
    """The node's deployments."""

    name = "provisiond"
    config = Config

    async def open(self, rt: Runtime) -> None:
        config: Config = rt.config
        self._host = host = rt.host(
            NodeHost, rt.bus, Kyc(config.kyc, rt.clock), Policy.of_urls([rt.node.hub], config.allowed)
        )
        book, types = Book(rt.ledger("deployments", Record, version=1), rt.clock), find()
        keeper = Keeper(host, book, Maker(host, book, types), types, config.every)
        rt.serve(ProvisionService(keeper, host.clients.of(VmdClient)), add_ProvisiondServicer_to_server)
        rt.task("work", keeper.work)
        rt.task("listen", keeper.listen)
        rt.loop("audit", keeper.audit, every=config.audit)
        rt.loop("report", keeper.report, every=3600.0, wake=book.report_wake)

    async def close(self) -> None:
        self._host.close()
