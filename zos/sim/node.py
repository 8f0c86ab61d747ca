"""A whole node in this process: its real daemons on their own fake hosts, the devchain, a bus, and virtual time."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from nacl.signing import SigningKey

from zos.bus import DaemonClient, TooSlow, Unreachable
from zos.capacityd.daemon import Capacityd
from zos.chain.daemon import ChainDaemon
from zos.devchain.genesis import Genesis
from zos.flistd.daemon import Flistd
from zos.mycelium.daemon import Config as MyceliumConfig
from zos.mycelium.daemon import Mycelium
from zos.networkd.daemon import Networkd
from zos.provisiond.api import NoSuchDeployment, ProvisiondClient
from zos.provisiond.daemon import Provisiond
from zos.runtime.config import NodeConfig
from zos.runtime.daemon import Daemon
from zos.sim import workloads as w
from zos.sim.bus import SimBus, Switchboard
from zos.sim.chain import URL, SimChain, key_of
from zos.sim.daemons import Core0, MakeHost, Unit
from zos.sim.hosts import Hosts, Machine, Trouble, chain_host, provisioning
from zos.sim.life import task_factory
from zos.sim.loop import VirtualClock, VirtualLoop
from zos.storaged.daemon import Storaged
from zos.substrate import LocalKey, address
from zos.vmd.daemon import Vmd
from zos.zdbd.daemon import Zdbd

C = TypeVar("C", bound=DaemonClient)

TERMS = {"document_link": "http://zos.tf/terms/v0.1", "document_hash": "9021d4dee05a661e2cb6838152c67f25"}
MONEY = 10**10
"""Units of 1e-7 TFT that everybody begins with."""
FARM = 1
SHM = Path("/dev/shm")


@dataclass(frozen=True)
class User:
    """Somebody with a twin on the chain."""

    name: str
    twin: int
    key: LocalKey


class SimNode:
    """Node 1 of farm 1. `users` is how many people there are; the farmer is another."""

    def __init__(
        self,
        seed: int = 0,
        *,
        folder: Path | None = None,
        users: int = 1,
        jitter: float = 0.0,
        lag: int = 2,
        genesis: Genesis | None = None,
        **configs: Any,
    ) -> None:
        """`configs` are the daemons' configurations by their names."""
        loop = asyncio.get_running_loop()
        if not isinstance(loop, VirtualLoop):
            raise TypeError("a simulated node needs zos.sim.loop.VirtualLoop")
        self.loop = loop
        loop.set_task_factory(task_factory)
        self.seed = seed
        self.chance = random.Random(seed)
        # Jitter of back-offs is drawn from the module's own generator.
        random.seed(seed)
        self.clock = VirtualClock(loop)
        self.switchboard = Switchboard(random.Random(seed + 1), jitter)
        self.hosts = Hosts(self.chance)
        self.units: dict[str, Unit] = {}
        self._given = folder
        self._stack = AsyncExitStack()
        self._key = SigningKey(hashlib.sha256(b"sim node %d" % seed).digest())
        self._genesis = genesis or Genesis()
        self._lag = lag
        self._configs = configs
        self._names = [f"user{number}" for number in range(users)]
        self.users: tuple[User, ...] = ()
        self.chain: SimChain
        self.folder: Path
        self.bus: SimBus

    # Beginning and end

    async def __aenter__(self) -> SimNode:
        self.folder = self._given or Path(tempfile.mkdtemp(prefix="zos-sim-", dir=SHM if SHM.is_dir() else None))
        self.bus = SimBus(self.folder / "run", self.switchboard)
        try:
            await self._begin()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def _begin(self) -> None:
        rich = {address(key_of(name).public): MONEY for name in (*self._names, "farmer")}
        rich[address(self._key.verify_key.encode())] = MONEY
        genesis = Genesis(
            balances={**rich, **self._genesis.balances},
            billing_frequency=self._genesis.billing_frequency,
            billing=self._genesis.billing,
        )
        self.chain = await self._stack.enter_async_context(SimChain(self.clock, genesis, self._lag).running())
        await self._people()
        for cls, make_host in self._daemons():
            self.add(cls, make_host=make_host)
        await asyncio.gather(*(unit.ready() for unit in self.units.values()))
        async with asyncio.timeout(300):
            await self.chain.until(lambda: self.chain.get("TfgridModule.NodeID"))
            known = self.chain.node.head.number
            await self.chain.until(lambda: self.chain.node.finalized >= known)

    async def _people(self) -> None:
        self.chain.send(key_of("farmer"), "TfgridModule", "user_accept_tc", **TERMS)
        self.chain.send(key_of("farmer"), "TfgridModule", "create_twin", relay=None, pk=None)
        last = self.chain.call(key_of("farmer"), "TfgridModule", "create_farm", name="farm", public_ips=[])
        for name in self._names:
            self.chain.send(key_of(name), "TfgridModule", "user_accept_tc", **TERMS)
            self.chain.send(key_of(name), "TfgridModule", "create_twin", relay=None, pk=None)
        await last
        self.users = tuple(
            User(name, int(self.chain.get("TfgridModule.TwinIdByAccountID", key_of(name).public)), key_of(name))
            for name in self._names
        )

    async def __aexit__(self, *_: object) -> None:
        for unit in reversed(self.units.values()):
            await unit.stop()
        await self._stack.aclose()
        if self._given is None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _daemons(self) -> tuple[tuple[type[Daemon], MakeHost], ...]:
        hosts = self.hosts
        return (
            (Core0, lambda rt, life, cls, args: self._key),
            (Storaged, lambda rt, life, cls, args: hosts.fenced(hosts.storaged, life)),
            (Networkd, lambda rt, life, cls, args: hosts.fenced(hosts.networkd, life)),
            (Mycelium, lambda rt, life, cls, args: hosts.mycelium),
            (Flistd, lambda rt, life, cls, args: hosts.fenced(hosts.flistd, life)),
            (Vmd, lambda rt, life, cls, args: hosts.fenced(hosts.vmd, life)),
            (Zdbd, lambda rt, life, cls, args: hosts.fenced(hosts.zdbd, life)),
            (ChainDaemon, lambda rt, life, cls, args: chain_host(rt.bus, self.chain.connect)),
            (Provisiond, lambda rt, life, cls, args: provisioning(rt.bus, args[1], args[2], hosts.documents)),
            (Capacityd, lambda rt, life, cls, args: Machine(self.clock.monotonic)),
        )

    def _config(self, name: str) -> Any:
        defaults = {"mycelium": MyceliumConfig(port=0, discovery=())}
        return self._configs.get(name, defaults.get(name))

    # Daemons

    def add(self, cls: type[Daemon], *, make_host: MakeHost | None = None, config: Any = None) -> Unit:
        """Run one more daemon."""
        node = NodeConfig(
            farm_id=FARM,
            chain=(URL,),
            hub="http://hub",
            run_dir=self.folder / "run",
            state_dir=self.folder / "state",
        )
        settings = self._config(cls.name) if config is None else config
        unit = Unit(cls, self.switchboard, node, self.clock, config=settings, make_host=make_host)
        self.units[cls.name] = unit
        unit.start()
        return unit

    def kill(self, daemon: str) -> None:
        """SIGKILL; it is started again half a second later."""
        self.units[daemon].kill()

    def kill_after(self, steps: int, daemon: str) -> None:
        """Kill a daemon between two steps of the event loop, so many from now: in the middle of whatever it awaits."""
        self.loop.after_steps(steps, self.units[daemon].kill)

    async def stop(self, daemon: str) -> None:
        """End a daemon, and leave it ended."""
        await self.units[daemon].stop()

    async def start(self, daemon: str) -> None:
        """Start a daemon that was stopped; returns when it serves."""
        self.units[daemon].start()
        await self.units[daemon].ready()

    async def restart(self, daemon: str) -> None:
        """Kill it, and wait until it serves again."""
        await self.stop(daemon)
        await self.start(daemon)

    def trouble(self, daemon: str) -> Trouble:
        """What goes wrong below a daemon."""
        return self.hosts.of(daemon)

    def client(self, cls: type[C]) -> C:
        """A client of a daemon, from outside."""
        return cls(self.bus)

    @property
    def provisiond(self) -> ProvisiondClient:
        return ProvisiondClient(self.bus)

    # What users do

    @property
    def user(self) -> User:
        return self.users[0]

    async def contract(self, body: Mapping[str, Any], user: User | None = None, data: str = "") -> int:
        """A contract for a document, on the chain; returns its id."""
        events = await self.chain.call(
            (user or self.user).key,
            "SmartContractModule",
            "create_node_contract",
            node_id=1,
            deployment_hash=w.hash_of(body),
            deployment_data=data,
            public_ips=0,
            solution_provider_id=None,
        )
        made = next(event for event in events if event.name == "ContractCreated")
        return int(made.fields["contract_id"])

    async def deploy(self, *workloads: Mapping[str, Any], user: User | None = None) -> int:
        """Make a contract and push its document, as clients do; returns the contract's id."""
        user = user or self.user
        body = w.document(user.twin, 0, workloads)
        contract = await self.contract(body, user)
        body["contract_id"] = contract
        await self.provisiond.deploy(w.signed(body, user.key, user.twin), user.twin)
        return contract

    async def update(
        self, contract: int, *workloads: Mapping[str, Any], version: int, user: User | None = None
    ) -> None:
        """Change the contract, and push the next version."""
        user = user or self.user
        body = w.document(user.twin, contract, workloads, version)
        await self.set_hash(contract, body, user)
        await self.provisiond.update(w.signed(body, user.key, user.twin), user.twin)

    async def set_hash(self, contract: int, body: Mapping[str, Any], user: User | None = None, data: str = "") -> None:
        """Have the contract carry another document."""
        await self.chain.call(
            (user or self.user).key,
            "SmartContractModule",
            "update_node_contract",
            contract_id=contract,
            deployment_hash=w.hash_of(body),
            deployment_data=data,
        )

    async def cancel(self, contract: int, user: User | None = None) -> None:
        key = (user or self.user).key
        await self.chain.call(key, "SmartContractModule", "cancel_contract", contract_id=contract)

    # What can be seen

    async def results(self, contract: int) -> dict[str, Mapping[str, Any]]:
        """The results of a deployment's workloads by their names; empty when there is no such deployment."""
        try:
            found = await self.provisiond.get(contract)
        except NoSuchDeployment:
            return {}
        return {one["name"]: one["result"] for one in found["workloads"]}

    async def state(self, contract: int, name: str) -> str:
        """A workload's state, or `gone`."""
        found = (await self.results(contract)).get(name)
        return str(found["state"]) if found else "gone"

    async def becomes(self, contract: int, name: str, wanted: str, within: float = 300.0) -> Mapping[str, Any]:
        """Wait until a workload is in a state (`gone`: no more there); returns its result."""
        found: Mapping[str, Any] = {}

        async def there() -> bool:
            nonlocal found
            try:
                results = await self.results(contract)
            except (Unreachable, TooSlow):
                return False  # provisiond is down at the moment
            found = results.get(name, {})
            return str(found.get("state", "gone")) == wanted

        await self.until(there, within, lambda: f"{name} of contract {contract} is {json.dumps(found)}, not {wanted}")
        return found

    async def until(
        self, claim: Callable[[], Any], within: float = 300.0, explain: Callable[[], str] = lambda: ""
    ) -> None:
        """Let virtual time pass until a claim holds."""
        end = self.loop.time() + within
        while True:
            answer = claim()
            if await answer if asyncio.iscoroutine(answer) else answer:
                return
            if self.loop.time() > end:
                raise AssertionError(explain() or f"it is not so after {within:.0f} s of virtual time")
            await asyncio.sleep(0.5)

    async def settle(self, quiet: float = 40.0, within: float = 900.0) -> None:
        """Let virtual time pass until deployments have not changed for so many seconds."""
        seen, since = "", self.loop.time()
        end = since + within
        while self.loop.time() - since < quiet:
            if self.loop.time() > end:
                raise AssertionError(f"deployments still change after {within:.0f} s of virtual time")
            try:
                now = json.dumps(await self.provisiond.list())
            except (Unreachable, TooSlow):
                now = ""
            if now != seen or not now:
                seen, since = now, self.loop.time()
            await asyncio.sleep(1.0)


def names(workloads: Sequence[Mapping[str, Any]]) -> list[str]:
    return [str(one["name"]) for one in workloads]
