"""A node whose chain, Web and KYC a test decides; storage, networks, flists, machines are the real daemons."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nacl.signing import SigningKey

from zos.bus import convert
from zos.chain.api import NodeContract, chain_pb2
from zos.chain.api.chain_pb2_grpc import ChainServicer, add_ChainServicer_to_server
from zos.errors import ZosError
from zos.flistd.api.types import Mount
from zos.model import sealed
from zos.model.evidence import Evidence
from zos.model.units import GiB
from zos.mycelium.api.types import Identity
from zos.networkd.api.types import Network, Tap
from zos.provisiond.api import ProvisiondClient
from zos.provisiond.api.errors import CannotFetch, NotVerified
from zos.provisiond.daemon import Config, Provisiond
from zos.provisiond.pull import Origin, Web
from zos.provisiond.tests.chain import FakeChain
from zos.rmb.cipher import LocalSecret, open_document
from zos.runtime.daemon import Daemon, Runtime
from zos.sim.bus import SimBus
from zos.sim.daemons import MakeHost
from zos.sim.hosts import Hosts
from zos.sim.node import SimNode
from zos.storaged.api.types import Disk, Volume
from zos.verbs.step import Clients
from zos.vmd.api.types import Machine


class Asked:
    """What provisiond asked of one daemon, and what the daemon agreed to."""

    def __init__(self) -> None:
        self.trouble: ZosError | None = None
        """Why it does not answer."""
        self.gate: asyncio.Event | None = None
        """Calls wait for it."""
        self.calls: list[str] = []
        self.agreed: list[tuple[str, Any]] = []

    async def call(self, method: str, request: Any, call: Callable[..., Any], timeout: float | None) -> Any:
        self.calls.append(method)
        if self.gate is not None:
            await self.gate.wait()
        if self.trouble is not None:
            raise self.trouble
        answer = await call(request, timeout=timeout)
        self.agreed.append((method, request))
        return answer

    def held(self, kind: type[Any], name: str) -> dict[str, Any]:
        """What was ensured and not dropped, by id."""
        found: dict[str, Any] = {}
        for method, request in self.agreed:
            if method == f"Ensure{name}":
                found[request.id] = convert.decode(request, kind)
            elif method == f"Drop{name}":
                found.pop(request.id, None)
        return found

    @property
    def disks(self) -> dict[str, Disk]:
        return self.held(Disk, "Disk")

    @property
    def volumes(self) -> dict[str, Volume]:
        return self.held(Volume, "Volume")

    @property
    def networks(self) -> dict[str, Network]:
        return self.held(Network, "Network")

    @property
    def taps(self) -> dict[str, Tap]:
        return self.held(Tap, "Tap")

    @property
    def mounts(self) -> dict[str, Mount]:
        return self.held(Mount, "Mount")

    @property
    def identities(self) -> dict[str, Identity]:
        return self.held(Identity, "Identity")

    @property
    def machines(self) -> dict[str, Machine]:
        return self.held(Machine, "Machine")

    @property
    def dropped(self) -> list[tuple[str, Evidence]]:
        """Disks and volumes that were dropped, with the proof."""
        drops = [request for method, request in self.agreed if method in ("DropDisk", "DropVolume")]
        return [(request.id, convert.decode(request.evidence, Evidence)) for request in drops]


class AskingBus(SimBus):
    """provisiond's bus, which notes what is asked."""

    def __init__(self, bus: SimBus, host: FakeHost) -> None:
        super().__init__(bus.run_dir, bus._switchboard)
        self._host = host

    def channel(self, daemon: str) -> Any:
        return _Channel(super().channel(daemon), self._host.asked(daemon))


class _Channel:
    def __init__(self, channel: Any, asked: Asked) -> None:
        self._channel = channel
        self._asked = asked

    def unary_unary(self, method: str, *args: Any, **named: Any) -> Any:
        call = self._channel.unary_unary(method, *args, **named)
        name = method.rpartition("/")[2]

        async def noted(request: Any, timeout: float | None = None) -> Any:
            return await self._asked.call(name, request, call, timeout)

        return noted

    def unary_stream(self, *args: Any, **named: Any) -> Any:
        return self._channel.unary_stream(*args, **named)


class FakeKyc:
    """Knows everybody but those whom the test names."""

    def __init__(self) -> None:
        self.unverified: set[int] = set()

    async def check(self, twin: int) -> None:
        if twin in self.unverified:
            raise NotVerified(twin=twin)


class FakeHost:
    """provisiond's host. What lies below the other daemons outlives them and provisiond."""

    def __init__(self, node: int = 1) -> None:
        self.chain = FakeChain(node)
        self.kyc = FakeKyc()
        self.documents: dict[str, bytes] = {}
        """What lies at URLs, and in vaults by hash."""
        self.secret = LocalSecret(bytes(range(32)))
        self.total = int(GiB(64))
        self.below = Hosts(random.Random(0))
        self.clients: Clients
        self._asked: dict[str, Asked] = {}

    def asked(self, daemon: str) -> Asked:
        return self._asked.setdefault(daemon, Asked())

    @property
    def storaged(self) -> Asked:
        return self.asked("storaged")

    @property
    def networkd(self) -> Asked:
        return self.asked("networkd")

    @property
    def mycelium(self) -> Asked:
        return self.asked("mycelium")

    @property
    def flistd(self) -> Asked:
        return self.asked("flistd")

    @property
    def vmd(self) -> Asked:
        return self.asked("vmd")

    async def fetch(self, contract: NodeContract, origin: Origin) -> bytes:
        found = self.documents.get(str(origin) if isinstance(origin, Web) else contract.deployment_hash)
        if found is None:
            raise CannotFetch(contract=contract.id, place=origin, problem="HTTP status 404")
        return found

    async def open(self, document: bytes) -> bytes:
        found = sealed.decode(document)
        return document if found is None else open_document(await self.secret.shared(found.key), found.cipher)

    def memory(self) -> tuple[int, int]:
        return self.total, int(GiB(2))

    def close(self) -> None:
        """Nothing is held."""


class Contracts(ChainServicer):
    """What the test's chain says of contracts, to the other daemons."""

    def __init__(self, chain: FakeChain) -> None:
        self._chain = chain

    async def GetContract(self, request: chain_pb2.GetContractRequest, context: Any) -> chain_pb2.NodeContract:
        return convert.encode(await self._chain.contract(request.id, best=request.best), chain_pb2.NodeContract)


@dataclass(frozen=True, slots=True)
class NoConfig:
    """No table in the configuration file."""


class Chain(Daemon):
    """The chain daemon's place."""

    name = "chain"
    config = NoConfig

    async def open(self, rt: Runtime) -> None:
        chain: FakeChain = rt.host(FakeChain)
        rt.serve(Contracts(chain), add_ChainServicer_to_server)


class Node(SimNode):
    """The simulated node without a chain."""

    def __init__(self, host: FakeHost, folder: Path, config: Config) -> None:
        super().__init__(folder=folder, provisiond=config)
        self.host = host
        self.hosts = host.below
        self._key = SigningKey(bytes(range(32)))

    async def _begin(self) -> None:
        for cls, make_host in self._daemons():
            self.add(cls, make_host=make_host)
        await asyncio.gather(*(unit.ready() for unit in self.units.values()))

    def _daemons(self) -> tuple[tuple[type[Daemon], MakeHost], ...]:
        lower = tuple(one for one in super()._daemons() if one[0].name not in ("chain", "provisiond", "capacityd"))
        chain = (Chain, lambda rt, life, cls, args: self.host.chain)
        return (chain, *lower, (Provisiond, lambda rt, life, cls, args: self._host_of(rt.bus)))

    def _host_of(self, bus: Any) -> FakeHost:
        self.host.clients = Clients(AskingBus(bus, self.host))
        return self.host


@asynccontextmanager
async def node(folder: Path, host: FakeHost, **config: Any) -> AsyncIterator[ProvisiondClient]:
    """Run a node until the block ends; another one in the same folder and on the same host is the node after a boot."""
    async with Node(host, folder, Config(**{"every": 0.05, "audit": 3600.0, **config})) as running:
        yield running.provisiond
