"""The machine below the daemons: their own fake hosts, behind a fence that fails, delays and ends on order."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import random
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from zos.bus import Bus
from zos.capacityd.api.types import Inventory
from zos.chain.api import NodeContract
from zos.chain.daemon import ChainAccess
from zos.errors import ZosError
from zos.fetch.policy import Policy
from zos.flist.info import Info
from zos.flistd import fake as flistd_fake
from zos.flistd.api.errors import FlistUnreachable, NoSuchFlist
from zos.flistd.host.contract import Content
from zos.model.capacity import Capacity
from zos.model.units import GiB
from zos.mycelium.node import Node as Router
from zos.mycelium.tun import NoDevice
from zos.networkd import fake as networkd_fake
from zos.provisiond.api.errors import CannotFetch
from zos.provisiond.host import NodeAccess
from zos.provisiond.kyc import Kyc
from zos.provisiond.pull import Origin, Web
from zos.sim.life import Life
from zos.storaged import fake as storaged_fake
from zos.storaged.api.types import PoolKind
from zos.storaged.model import Fill
from zos.vmd import fake as vmd_fake
from zos.zdbd import fake as zdbd_fake

CPUS = 8
MEMORY = int(GiB(16))
NO_FLIST = "http://hub/none.fl"
"""Where there is none."""


@dataclass
class Trouble:
    """What goes wrong below a daemon. `errors` are raised by the next calls, one each; None lets one pass."""

    errors: list[ZosError | None] = field(default_factory=list)
    delay: Callable[[], float] | None = None
    """Seconds before a call."""
    calls: int = 0
    stuck: bool = False
    """No call comes back."""
    before: Callable[[], Awaitable[None]] | None = None
    """Called before each call; may raise."""

    async def meet(self) -> None:
        """Before each call of a fake host: waits, fails or hangs as the trouble says."""
        self.calls += 1
        if self.before is not None:
            await self.before()
        if self.stuck:
            await asyncio.Event().wait()
        await asyncio.sleep(self.delay() if self.delay else 0)
        err = self.errors.pop(0) if self.errors else None
        if err is not None:
            raise err


class Fence:
    """A host as one life sees it. A dead life reaches nothing, and before and after each call it may die."""

    def __init__(self, host: Any, life: Life, trouble: Trouble) -> None:
        self._host = host
        self._life = life
        self._trouble = trouble

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._host, name)
        if inspect.iscoroutinefunction(value):
            return self._one_by_one if name == "apply" else self._wrapped(value)
        if callable(value):
            return self._checked(value)
        return value

    def _wrapped(self, call: Callable[..., Any]) -> Callable[..., Any]:
        async def wrapped(*args: Any, **named: Any) -> Any:
            self._life.check()
            await self._trouble.meet()
            self._life.check()
            answer = await call(*args, **named)
            await asyncio.sleep(0)
            return answer

        return wrapped

    def _checked(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def checked(*args: Any, **named: Any) -> Any:
            self._life.check()
            return call(*args, **named)

        return checked

    async def _one_by_one(self, steps: Any) -> None:
        """Some hosts take several steps in one call: a death may come between any two of them."""
        apply = self._wrapped(self._host.apply)
        if not isinstance(steps, Sequence):
            await apply(steps)
            return
        for step in steps:
            await apply([step])


class StoragedHost(storaged_fake.FakeHost):
    """Images have a size and no bytes."""

    async def fill(self, fill: Fill, stop: threading.Event) -> None:
        self.pool(fill.pool).parts[fill.part] = 4096
        self.copies += 1


class FlistdHost(flistd_fake.FakeHost):
    """Every URL holds a container's tree; one with `image` a disk image; `gone` is nowhere, and at NO_FLIST is none."""

    def lookup(self, url: str) -> Content:
        """What lies at a URL."""
        if "gone" in url:
            raise FlistUnreachable(url=url, problem="nobody answers")
        if url == NO_FLIST:
            raise NoSuchFlist(url=url, status=404)
        is_image = "image" in url
        info = Info(
            entrypoint="" if is_image else "/sbin/init",
            image="/image.raw" if is_image else "",
            image_size=4096 if is_image else 0,
            env={} if is_image else {"PATH": "/bin"},
        )
        return Content(hashlib.sha256(url.encode()).hexdigest(), info)

    async def obtain(self, url: str, hash: str, tenant: str) -> Content:
        if hash not in self.kept and url not in self.web:
            self.web[url] = self.lookup(url)
            try:
                return await super().obtain(url, hash, tenant)
            finally:
                del self.web[url]
        return await super().obtain(url, hash, tenant)


class MyceliumHost:
    """A place for a router that has no peers, and TUNs that are there as soon as networkd's namespaces are."""

    def __init__(self, network: networkd_fake.FakeHost) -> None:
        self.network = network
        self.lacks = ""

    def problem(self) -> str:
        return self.lacks

    def node(self, secret: bytes) -> Router:
        return _Router(secret, self.network)


class _Router(Router):
    def __init__(self, secret: bytes, network: networkd_fake.FakeHost) -> None:
        super().__init__(secret)
        self._network = network

    async def run(self, port: int, peers: Any, interfaces: Any) -> None:
        try:
            self.links.is_open = True
            await asyncio.Event().wait()
        finally:
            self.links.is_open = False

    def attach(self, prefix: bytes, device: str, namespace: str) -> None:
        space = self._network.spaces.get(namespace) if namespace else self._network.root
        if space is None or device not in space.links:
            raise NoDevice(device=device, namespace=namespace, problem="it does not exist")
        before = self.tuns.get(prefix)
        if before is None or not before.alive:
            tun: Any = _Tun(namespace)
            self.tuns[prefix], self._owners[tun] = tun, [prefix]


class _Tun:
    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.alive = True

    def close(self) -> None:
        self.alive = False

    def write(self, packet: bytes) -> None:
        """Drops the packet: nothing listens at the other end."""


class Machine:
    """The machine that capacityd looks at."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock

    def inventory(self, storage: Capacity) -> Inventory:
        """Everything but the disks."""
        return Inventory(storage + Capacity(cru=CPUS, mru=MEMORY), True, "kvm", False, "SIM", self.uptime())

    def uptime(self) -> int:
        return int(self._clock()) + 1

    def connections(self) -> int:
        return 0

    async def dmidecode(self) -> str:
        return ""


class Provisioning(NodeAccess):
    """provisiond's own host over the bus; the Web is a dictionary, the memory is the machine's."""

    documents: dict[str, bytes]
    total: int = MEMORY

    async def fetch(self, contract: NodeContract, origin: Origin) -> bytes:
        if not isinstance(origin, Web):
            return await super().fetch(contract, origin)
        await asyncio.sleep(0)
        if origin.url not in self.documents:
            raise CannotFetch(contract=contract.id, place=origin, problem="HTTP status 404")
        return self.documents[origin.url]

    def memory(self) -> tuple[int, int]:
        return self.total, int(GiB(2))


class Hosts:
    """What lies below the daemons of one node; it outlives them."""

    def __init__(self, chance: random.Random) -> None:
        hdd = storaged_fake.FakeDevice("/dev/sdb", kind=PoolKind.HDD)
        self.storaged = StoragedHost(storaged_fake.FakeDevice("/dev/sda"), hdd)
        self.networkd = networkd_fake.FakeHost()
        self.flistd = FlistdHost()
        self.vmd = vmd_fake.FakeHost()
        self.zdbd = zdbd_fake.FakeHost()
        self.mycelium = MyceliumHost(self.networkd)
        self.documents: dict[str, bytes] = {}
        """What lies at URLs of the Web."""
        self.trouble: dict[str, Trouble] = {}
        self._chance = chance

    def of(self, daemon: str) -> Trouble:
        """What goes wrong below a daemon."""
        return self.trouble.setdefault(daemon, Trouble())

    def fenced(self, host: Any, life: Life) -> Fence:
        """A host in a daemon's hands."""
        return Fence(host, life, self.of(life.name))


def chain_host(bus: Bus, connect: Any) -> ChainAccess:
    """The chain daemon's host, with another way to reach the chain."""
    host = ChainAccess(bus)
    host.connect = connect
    return host


def provisioning(bus: Bus, kyc: Kyc, policy: Policy, documents: dict[str, bytes]) -> Provisioning:
    host = Provisioning(bus, kyc, policy)
    host.documents = documents
    return host
