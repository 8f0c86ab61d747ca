"""FakeHost: the siblings' doors kept over dictionaries, for tests and sim/."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncGenerator
from ipaddress import IPv6Network
from pathlib import Path
from typing import Any

from zos.chain.api import Block, ChainStatus, ContractEvent, ContractResources, NodeContract, NoSuchContract, Twin
from zos.chain.api.errors import ChainBehind, NoSuchTwin
from zos.errors import ZosError
from zos.flistd.api import FlistdClient, FlistUnreachable
from zos.flistd.api.types import Mount, MountInfo, MountKind
from zos.model import mycelium
from zos.model.evidence import Evidence
from zos.model.names import planetary_guest
from zos.mycelium.api import Identity, IdentityId, IdentityInfo, MyceliumClient, NoMycelium
from zos.networkd.api import AddressTaken, NetworkdClient, NoPlanetary, NoSuchNetwork
from zos.networkd.api.types import (
    Backend,
    Network,
    NetworkInfo,
    Tap,
    TapInfo,
    TapRoute,
)
from zos.networkd.api.types import Place as TapPlace
from zos.provisiond.api.errors import CannotFetch, NotVerified
from zos.provisiond.pull import Place, Web
from zos.storaged.api import PoolFull, StoragedClient
from zos.storaged.api.types import Disk, DiskInfo, Volume, VolumeInfo
from zos.verbs.step import Clients
from zos.vmd.api import NoSuchMachine, VmdClient
from zos.vmd.api.types import Machine, MachineInfo, MachineState

GiB = 1024**3
SUBNET = IPv6Network("306:2f7c:2006:18f7::/64")


class FakeHost:
    """A node: what its daemons hold, what the chain says, what lies at URLs and in vaults (by hash)."""

    def __init__(self, node: int = 1) -> None:
        self.chain = FakeChain(node)
        self.storaged = FakeStoraged()
        self.networkd = FakeNetworkd()
        self.flistd = FakeFlistd()
        self.vmd = FakeVmd()
        self.mycelium = FakeMycelium()
        self.documents: dict[str, bytes] = {}
        self.total = 64 * GiB
        self.kyc = FakeKyc()
        self.clients = FakeClients(
            {
                StoragedClient: self.storaged,
                FlistdClient: self.flistd,
                NetworkdClient: self.networkd,
                VmdClient: self.vmd,
                MyceliumClient: self.mycelium,
            }
        )

    def close(self) -> None:
        """Nothing is held."""

    async def fetch(self, contract: NodeContract, place: Place) -> bytes:
        found = self.documents.get(str(place) if isinstance(place, Web) else contract.deployment_hash)
        if found is None:
            raise CannotFetch(contract=contract.id, place=place, problem="HTTP status 404")
        return found

    def memory(self) -> tuple[int, int]:
        return self.total, 2 * GiB


class FakeClients(Clients):
    """Fakes by the class that they stand for."""

    def __init__(self, fakes: dict[Any, Any]) -> None:
        self._made = fakes


class FakeKyc:
    """Knows everybody but those whom the test names."""

    def __init__(self) -> None:
        self.strangers: set[int] = set()

    async def check(self, twin: int) -> None:
        if twin in self.strangers:
            raise NotVerified(twin=twin)


class Faulty:
    """A door that may be out of order."""

    def __init__(self) -> None:
        self.trouble: ZosError | None = None
        self.calls: list[str] = []

    def called(self, name: str) -> None:
        self.calls.append(name)
        if self.trouble is not None:
            raise self.trouble


class FakeChain(Faulty):
    """Contracts and twins; `emit` is what watchers hear."""

    def __init__(self, node: int) -> None:
        super().__init__()
        self.node = node
        self.contracts: dict[int, NodeContract] = {}
        self.best: dict[int, NodeContract] = {}
        self.counter = 0
        self.twins: dict[int, Twin] = {}
        self.block = Block(10, "0x" + "0a" * 32)
        self.reported: list[ContractResources] = []
        self.silent = False
        """Lists are empty, although there are contracts."""
        self.gate: asyncio.Event | None = None
        """A question for a contract waits for it."""
        self.waiting = asyncio.Event()
        self.report_gate: asyncio.Event | None = None
        """A report waits for it."""
        self._watchers: list[asyncio.Queue[ContractEvent]] = []

    async def status(self) -> ChainStatus:
        return ChainStatus("ws://fake", True, 145, self.block, 1, 1, self.node)

    async def contract(self, id: int, *, best: bool = False) -> NodeContract:
        self.called("contract")
        if self.gate is not None:
            self.waiting.set()
            await self.gate.wait()
        found = self.best.get(id) if best and id in self.best else self.contracts.get(id)
        if found is None:
            if id > self.counter:
                raise ChainBehind(contract=id, block=self.block.number)
            raise NoSuchContract(contract=id, block=self.block.number)
        return dataclasses.replace(found, at=self.block)

    async def node_contracts(self) -> tuple[int, ...]:
        self.called("node_contracts")
        return () if self.silent else tuple(self.contracts)

    async def twin(self, id: int) -> Twin:
        self.called("twin")
        if id not in self.twins:
            raise NoSuchTwin(twin=id)
        return self.twins[id]

    async def watch_contracts(self) -> AsyncGenerator[ContractEvent, None]:
        queue: asyncio.Queue[ContractEvent] = asyncio.Queue()
        self._watchers.append(queue)
        while True:
            yield await queue.get()

    def emit(self, event: ContractEvent) -> None:
        for queue in self._watchers:
            queue.put_nowait(event)

    async def report_resources(self, resources: tuple[ContractResources, ...]) -> Block:
        self.called("report_resources")
        if self.report_gate is not None:
            await self.report_gate.wait()
        self.reported += resources
        return self.block


class FakeStoraged(Faulty):
    """Disks and volumes without bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.disks: dict[str, DiskInfo] = {}
        self.volumes: dict[str, VolumeInfo] = {}
        self.dropped: list[tuple[str, Evidence]] = []
        self.room = 1024 * GiB

    def _has_room(self, size: int) -> None:
        used = sum(one.size for one in self.disks.values()) + sum(one.size for one in self.volumes.values())
        if used + size > self.room:
            raise PoolFull(kind="ssd", need=size, gap=self.room - used, kept="")

    async def ensure_disk(self, disk: Disk) -> DiskInfo:
        self.called("ensure_disk")
        if disk.id not in self.disks:
            self._has_room(disk.size)
        self.disks[disk.id] = DiskInfo(disk.id, disk.size, Path("/mnt/pool/disks", disk.id), "pool")
        return self.disks[disk.id]

    async def ensure_volume(self, volume: Volume) -> VolumeInfo:
        self.called("ensure_volume")
        if volume.id not in self.volumes:
            self._has_room(volume.size)
        self.volumes[volume.id] = VolumeInfo(volume.id, volume.size, Path("/mnt/pool", volume.id), "pool")
        return self.volumes[volume.id]

    async def fill_disk(self, id: str, source_root: Path, source: str, image: str) -> DiskInfo:
        self.called("fill_disk")
        self.disks[id] = dataclasses.replace(self.disks[id], image=image)
        return self.disks[id]

    async def drop_disk(self, id: str, evidence: Evidence) -> None:
        self.called("drop_disk")
        if self.disks.pop(id, None):
            self.dropped.append((id, evidence))

    async def drop_volume(self, id: str, evidence: Evidence) -> None:
        self.called("drop_volume")
        if self.volumes.pop(id, None):
            self.dropped.append((id, evidence))

    async def list_disks(self) -> tuple[DiskInfo, ...]:
        return tuple(self.disks.values())

    async def list_volumes(self) -> tuple[VolumeInfo, ...]:
        return tuple(self.volumes.values())


class FakeNetworkd(Faulty):
    """Networks and taps without a kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.networks: dict[str, Network] = {}
        self.taps: dict[str, Tap] = {}
        self.planetary_taps: dict[str, Tap] = {}
        self.mycelium_taps: dict[str, Tap] = {}
        self.lacks = ""
        """Why the node offers no planetary network."""

    async def ensure_network(self, network: Network) -> NetworkInfo:
        self.called("ensure_network")
        self.networks[network.id] = network
        return NetworkInfo(
            network.id,
            network.twin,
            network.name,
            network.ip_range,
            network.subnet,
            "n-x",
            "b-x",
            "",
            network.listen_port,
            Backend.KERNEL,
        )

    async def drop_network(self, id: str) -> None:
        self.called("drop_network")
        self.networks.pop(id, None)

    async def ensure_tap(self, tap: Tap) -> TapInfo:
        self.called("ensure_tap" if tap.place is TapPlace.NETWORK else f"ensure_{tap.place}_tap")
        if tap.place is TapPlace.PLANETARY:
            if self.lacks:
                raise NoPlanetary(problem=self.lacks)
            self.planetary_taps[tap.id] = tap
            return _tap(tap, "br-ygg", str(planetary_guest(SUBNET, tap.mac)), TapRoute("200::/7", str(SUBNET[1])))
        network = self.networks.get(tap.network)
        if network is None:
            raise NoSuchNetwork(network=tap.network)
        if tap.place is TapPlace.MYCELIUM:
            self.mycelium_taps[tap.id] = tap
            net = IPv6Network(network.mycelium)
            route = TapRoute("400::/7", str(mycelium.gateway(net)))
            return _tap(tap, f"m-{network.id}", str(mycelium.machine(net, tap.seed)), route)
        for other in self.taps.values():
            if other.id != tap.id and (other.network, other.ip) == (tap.network, tap.ip):
                raise AddressTaken(what="address", address=tap.ip, tap=other.id, network=tap.network)
        self.taps[tap.id] = tap
        gateway = tap.ip.rpartition(".")[0] + ".1"
        addresses, routes = (f"{tap.ip}/24", "fd00::2/64"), (TapRoute(network.ip_range, gateway),)
        device = f"t-{tap.id}"
        return TapInfo(
            tap.id, tap.place, tap.network, device, "b-x", tap.mac, addresses, gateway, "fe80::1", routes, 0, 0
        )

    async def drop_tap(self, id: str) -> None:
        self.called("drop_tap")
        self.taps.pop(id, None)
        self.planetary_taps.pop(id, None)
        self.mycelium_taps.pop(id, None)


def _tap(tap: Tap, bridge: str, ip: str, route: TapRoute) -> TapInfo:
    device, routes = f"t-{tap.id}", (route,)
    return TapInfo(tap.id, tap.place, tap.network, device, bridge, tap.mac, (f"{ip}/64",), "", "", routes, 0, 0)


class FakeMycelium(Faulty):
    """Identities, and nothing behind them."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: dict[str, Identity] = {}
        self.lacks = ""
        """Why the node is not in the overlay."""

    async def ensure_identity(self, wish: Identity) -> IdentityInfo:
        self.called("ensure_identity")
        self.keys[wish.id] = wish
        return self._info(wish)

    async def identity(self, id: IdentityId) -> IdentityInfo:
        self.called("identity")
        if self.lacks or id not in self.keys:
            raise NoMycelium(problem=self.lacks or "the network has no mycelium key")
        return self._info(self.keys[id])

    async def drop_identity(self, id: IdentityId) -> None:
        self.called("drop_identity")
        self.keys.pop(id, None)

    def _info(self, wish: Identity) -> IdentityInfo:
        net = mycelium.subnet(mycelium.public_key(wish.key))
        return IdentityInfo(wish.id, str(net[5]), str(net), str(mycelium.gateway(net)), True)


class FakeFlistd(Faulty):
    """Mounts; a URL that ends with `image.fl` holds a disk image, one with `gone.fl` is nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.mounts: dict[str, Mount] = {}

    async def ensure_mount(self, mount: Mount) -> MountInfo:
        self.called("ensure_mount")
        if mount.url.endswith("gone.fl"):
            raise FlistUnreachable(url=mount.url, problem="nobody answers")
        self.mounts[mount.id] = mount
        is_image = mount.url.endswith("image.fl")
        return MountInfo(
            mount.id,
            mount.url,
            Path("/mnt/flist", mount.id),
            "ab" * 32,
            MountKind.IMAGE if is_image else MountKind.CONTAINER,
            entrypoint="" if is_image else "/sbin/zinit init",
            env={"PATH": "/bin"},
            image="/image.raw" if is_image else "",
        )

    async def drop_mount(self, id: str) -> None:
        self.called("drop_mount")
        self.mounts.pop(id, None)


class FakeVmd(Faulty):
    """Machines that run as soon as they are wished for."""

    def __init__(self) -> None:
        super().__init__()
        self.machines: dict[str, Machine] = {}
        self.gate: asyncio.Event | None = None
        """Making a machine waits for it."""

    async def ensure_machine(self, machine: Machine) -> MachineInfo:
        self.called("ensure_machine")
        if self.gate is not None:
            await self.gate.wait()
        self.machines[machine.id] = machine
        return await self.machine(machine.id)

    async def machine(self, id: str) -> MachineInfo:
        if id not in self.machines:
            raise NoSuchMachine(id=id)
        state = MachineState.PAUSED if self.machines[id].paused else MachineState.RUNNING
        return MachineInfo(self.machines[id].id, state, 0.0)

    async def read_console(self, id: str, max_bytes: int = 0) -> bytes:
        return b"hello from the guest\n"

    async def drop_machine(self, id: str) -> None:
        self.called("drop_machine")
        self.machines.pop(id, None)
