"""A node in this process for tests: real daemons on fake hosts, core-0 and chain as far as commands ask them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nacl.signing import SigningKey

from zos.bus import convert
from zos.capacityd.api.errors import GeoipUnreachable
from zos.capacityd.api.types import Inventory
from zos.capacityd.daemon import Capacityd
from zos.capacityd.daemon import Config as CapacityConfig
from zos.chain.api import Block, ChainStatus, ContractState, Farm, NodeContract, NoSuchContract, NoSuchFarm
from zos.chain.api import chain_pb2 as chain_pb
from zos.chain.api.chain_pb2_grpc import ChainServicer, add_ChainServicer_to_server
from zos.core0.api.core0_pb2_grpc import add_Core0Servicer_to_server
from zos.core0.api.types import UnitInfo, UnitState
from zos.core0.service import Core0Service
from zos.flistd.daemon import Config as FlistConfig
from zos.flistd.daemon import Flistd
from zos.model.capacity import Capacity
from zos.model.units import GiB
from zos.mycelium.daemon import Config as MyceliumConfig
from zos.mycelium.daemon import Mycelium
from zos.networkd.daemon import Config as NetworkConfig
from zos.networkd.daemon import Networkd
from zos.networkd.fake import FakeHost as FakeNetworkHost
from zos.provisiond.daemon import Config as ProvisionConfig
from zos.provisiond.daemon import Provisiond
from zos.provisiond.tests.host import FakeHost
from zos.rmb.router import Node, Router
from zos.runtime.clock import FakeClock
from zos.runtime.daemon import Daemon, Runtime
from zos.runtime.testing import running
from zos.sim.hosts import FlistdHost
from zos.storaged.api.types import PoolKind
from zos.storaged.daemon import Config as StorageConfig
from zos.storaged.daemon import Storaged
from zos.storaged.fake import FakeDevice
from zos.storaged.fake import FakeHost as FakeStorageHost
from zos.storaged.model import Content
from zos.verbs.step import Clients
from zos.vmd.daemon import Config as VmConfig
from zos.vmd.daemon import Vmd
from zos.vmd.fake import FakeHost as FakeVmHost

USER, OUTSIDER, FARMER, OPERATOR = 26, 27, 9, 5
FARM = 3
GEOIP = "http://geoip/"
NOW = 1_700_000_000.0
DMI = """# dmidecode 3.4
Getting SMBIOS data from sysfs.

Handle 0x0000, DMI type 0, 24 bytes
BIOS Information
\tVendor: SeaBIOS
\tCharacteristics:
\t\tPCI is supported
\t\tBooting from CD is supported

Handle 0x0002, DMI type 2, 15 bytes
Base Board Information
\tManufacturer: ACME
\tProduct Name: Board: the first
"""


class FakeMachine:
    """A machine that never changes."""

    def __init__(self) -> None:
        self.places: dict[str, bytes] = {}
        self.asked: list[str] = []

    def inventory(self, storage: Capacity) -> Inventory:
        return Inventory(storage + Capacity(cru=8, mru=GiB(32)), True, "kvm", False, "SN1", 100)

    def uptime(self) -> int:
        return 100

    def connections(self) -> int:
        return 12

    async def dmidecode(self) -> str:
        return DMI

    async def fetch(self, url: str) -> bytes:
        self.asked.append(url)
        if url not in self.places:
            raise GeoipUnreachable(url=url, problem="HTTP status 404")
        return self.places[url]


@dataclass
class FakeChainService(ChainServicer):
    """The parts of chain's client that commands use."""

    connected: bool = True
    farms: dict[int, Farm] = field(default_factory=lambda: {FARM: Farm(FARM, "farm", FARMER)})
    contracts: dict[int, int] = field(default_factory=dict)
    """The twin of each contract that is on this node."""
    looked_up: int = 0
    """How often a contract was asked for."""

    async def GetStatus(self, request: Any, context: Any) -> chain_pb.ChainStatus:
        status = ChainStatus("ws://fake", self.connected, 145, Block(10, "0x0a"), FARM, 2, 1)
        return convert.encode(status, chain_pb.ChainStatus)

    async def GetFarm(self, request: Any, context: Any) -> chain_pb.Farm:
        if request.id not in self.farms:
            raise NoSuchFarm(farm=request.id)
        return convert.encode(self.farms[request.id], chain_pb.Farm)

    async def GetContract(self, request: Any, context: Any) -> chain_pb.NodeContract:
        self.looked_up += 1
        if request.id not in self.contracts:
            raise NoSuchContract(contract=request.id, block=10)
        contract = NodeContract(
            request.id, self.contracts[request.id], 1, ContractState.CREATED, 0, "0" * 32, b"", (), Block(10, "0x0a")
        )
        return convert.encode(contract, chain_pb.NodeContract)


@dataclass(frozen=True)
class NoConfig:
    """No table in the configuration file."""


class ChainFake(Daemon):
    """chain, as a daemon."""

    name = "chain"
    config = NoConfig

    async def open(self, rt: Runtime) -> None:
        rt.serve(rt.host(FakeChainService), add_ChainServicer_to_server)


class Core0Fake(Daemon):
    """core-0, as a daemon that supervises nothing; its host is the list of units that it tells."""

    name = "core0"
    config = NoConfig

    async def open(self, rt: Runtime) -> None:
        units: list[UnitInfo] = rt.host(list)
        rt.serve(Core0Service(SigningKey(bytes(32)), lambda: units), add_Core0Servicer_to_server)


def unit(name: str, state: UnitState = UnitState.RUNNING, detail: str = "") -> UnitInfo:
    return UnitInfo(name, state, 10, 0, NOW, 0.0, detail)


@dataclass
class World:
    """The node, and what stands behind its daemons."""

    router: Router
    node: Node
    provision: FakeHost
    machine: FakeMachine
    storage: FakeStorageHost
    network: FakeNetworkHost
    vm: FakeVmHost
    chain: FakeChainService
    units: list[UnitInfo]
    clock: FakeClock
    """capacityd's."""

    async def ask(self, command: str, argument: Any = None, caller: int = USER) -> Any:
        """The answer to a command, decoded."""
        body = argument if isinstance(argument, bytes) else json.dumps(argument).encode()
        return json.loads(await self.router.handle(caller, command, body))

    async def states(self, contract: int, caller: int = USER) -> dict[str, str]:
        found = await self.ask("zos.deployment.get", {"contract_id": contract}, caller)
        return {one["name"]: one["result"]["state"] for one in found["workloads"]}

    async def becomes(self, contract: int, name: str, wanted: str) -> None:
        async with asyncio.timeout(10):
            while (await self.states(contract)).get(name) != wanted:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def world(folder: Path, overlay: bool = True) -> AsyncIterator[World]:
    """A node of twin 9's farm: SSDs of 100 and 50 GiB, a hard disk of 200 GiB, and one that is not ours."""
    storage = FakeStorageHost(
        FakeDevice("/dev/sda"),
        FakeDevice("/dev/sdb", GiB(50)),
        FakeDevice("/dev/sdc", GiB(200), kind=PoolKind.HDD),
        FakeDevice("/dev/sdd", GiB(10), Content.OTHER),
    )
    provision, machine, network, vm, chain = (
        FakeHost(),
        FakeMachine(),
        FakeNetworkHost(),
        FakeVmHost(),
        FakeChainService(),
    )
    units = [unit("storaged"), unit("networkd"), unit("vmd")]
    stores = StorageConfig(every=0.1, mounts=folder / "mnt", cache=folder / "cache")
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(running(Core0Fake, folder, host=units))
        await stack.enter_async_context(running(ChainFake, folder, host=chain))
        await stack.enter_async_context(running(Storaged, folder, host=storage, config=stores))
        await stack.enter_async_context(running(Networkd, folder, host=network, config=NetworkConfig(every=60)))
        alone = MyceliumConfig(on=overlay, port=0, discovery=())
        await stack.enter_async_context(running(Mycelium, folder, config=alone))
        await stack.enter_async_context(running(Vmd, folder, host=vm, config=VmConfig(every=0.05)))
        flists = FlistConfig(every=60)
        rt = await stack.enter_async_context(running(Flistd, folder, host=FlistdHost(), config=flists))
        config = ProvisionConfig(every=0.05, audit=3600.0)
        provision.clients = Clients(rt.bus)
        await stack.enter_async_context(running(Provisiond, folder, host=provision, config=config))
        capacity = CapacityConfig(geoip=("http://gone/", GEOIP))
        clock = FakeClock(NOW)
        rt = await stack.enter_async_context(running(Capacityd, folder, host=machine, config=capacity, clock=clock))
        node = Node(rt.bus, FARM, (OPERATOR,))
        yield World(Router(node), node, provision, machine, storage, network, vm, chain, units, clock)
