"""Wires provisiond: the ledger, the workers, the watcher of contracts, the API."""

from __future__ import annotations

from dataclasses import dataclass

from zos.fetch.policy import Policy
from zos.model.capacity import Capacity
from zos.primitives import find
from zos.provisiond.api.errors import PutAside
from zos.provisiond.api.provisiond_pb2_grpc import add_ProvisiondServicer_to_server
from zos.provisiond.contracts import STRANGE, ContractWatcher
from zos.provisiond.host import NodeAccess
from zos.provisiond.kyc import Kyc
from zos.provisiond.log import DeploymentLog
from zos.provisiond.manager import DeploymentManager
from zos.provisiond.model import Record, upgrade_1
from zos.provisiond.reporter import Reporter
from zos.provisiond.service import ProvisionService
from zos.provisiond.specs import Specs
from zos.provisiond.store import DeploymentStore
from zos.provisiond.strikes import MOST, Strike, Strikes
from zos.runtime.daemon import Daemon, Runtime


@dataclass(frozen=True, slots=True)
class Config:
    """Table `[provisiond]`."""

    every: float = 60.0
    """Seconds between two looks at a deployment when nothing asks for one."""
    audit: float = 3600.0
    """Seconds between two rounds over all contracts."""
    kyc: tuple[str, ...] = ()
    """URLs of KYC services, asked in order for the twin of whatever is newly deployed; on a public grid its own by
    default. Nobody is asked when there is none."""
    allowed: tuple[str, ...] = ()
    """Networks, addresses and host names, each with or without a port, that deployments may be fetched from although
    they are not public. The node's hub is one of them."""


class Provisiond(Daemon):
    """Deployments: admission, order, execution, and reports of what they consumed."""

    name = "provisiond"
    config = Config

    def __init__(self) -> None:
        self._strikes: Strikes | None = None

    async def open(self, rt: Runtime) -> None:
        config: Config = rt.config
        self._host = host = rt.host(
            NodeAccess,
            rt.bus,
            Kyc(config.kyc or rt.node.grid.kyc, rt.clock),
            Policy.of_urls([rt.node.hub], config.allowed),
        )
        ledger = rt.ledger("deployments", Record, version=2, upgrades={1: upgrade_1})
        store, specs = DeploymentStore(ledger, DeploymentLog(rt.state_dir / "log"), rt.clock), Specs(find())
        struck = rt.ledger("strikes", Strike, volatile=True)
        self._strikes = strikes = Strikes(rt.run_dir / rt.name / "at-work", struck, store.revision)
        if strikes.is_aside(strikes.struck) and store.get(strikes.struck) is not None:
            store.note(strikes.struck, "aside", PutAside(contract=strikes.struck, count=MOST).explain())
        manager = DeploymentManager(host, store, specs, strikes, config.every)
        reporter = Reporter(host, store, specs, strikes, rt.ledger("taken", Capacity, volatile=True))
        contracts = ContractWatcher(host.chain, store, specs.types, manager.wake, strikes)
        rt.serve(ProvisionService(manager, reporter, host.clients), add_ProvisiondServicer_to_server)
        rt.task("work", manager.work)
        rt.task("follow", contracts.follow)
        rt.loop("contracts", contracts.read_waiting, every=config.every, wake=contracts.wake)
        rt.loop("refused", contracts.read_refused, every=config.every)
        rt.loop("audit", contracts.audit, every=config.audit)
        rt.loop("strange", contracts.forget_strange, every=STRANGE / 4)
        rt.loop("report", reporter.report, every=3600.0, wake=store.reports.wake)

    async def close(self) -> None:
        self._host.close()
        if self._strikes is not None:
            self._strikes.close()
