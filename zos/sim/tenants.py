"""Users of a random history: they deploy, change and cancel as grid clients do, and remember what they were told."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from zos.bus import Incident, TooSlow, Unreachable
from zos.errors import Kind, ZosError
from zos.model.units import GiB
from zos.provisiond.api import DeploymentExists, NameTaken
from zos.sim import workloads as w
from zos.sim.chain import CallRefused, key_of
from zos.sim.hosts import NO_FLIST
from zos.sim.node import SimNode, User

PATIENCE = 600.0
"""Seconds for which a client pushes a document that cannot be taken in just now."""


@dataclass
class Version:
    """A document that was signed."""

    body: dict[str, Any]
    accepted: bool = False
    """The node said yes to it, or has to fetch it."""
    refusal: str = ""
    """What it said instead."""

    @property
    def hash(self) -> str:
        """As the contract has it."""
        return w.hash_of(self.body)

    @property
    def names(self) -> dict[str, dict[str, Any]]:
        """The workloads by their names."""
        return {str(one["name"]): one for one in self.body["workloads"]}


@dataclass(frozen=True)
class Page:
    """A document on the Web, and how a contract names it."""

    url: str
    document: bytes

    @property
    def named(self) -> str:
        """The contract's data."""
        return json.dumps({"pull": {"url": self.url, "sha256": hashlib.sha256(self.document).hexdigest()}})


@dataclass
class Lease:
    """A contract with all that was deployed on it."""

    user: User
    contract: int
    versions: list[Version] = field(default_factory=list)
    cancelled: bool = False

    @property
    def last(self) -> Version:
        """The newest document that the node took, or the first."""
        return next((one for one in reversed(self.versions) if one.accepted), self.versions[0])


class Tenant:
    """One user at work; everything that he does is drawn from his own chance."""

    def __init__(self, node: SimNode, user: User, chance: random.Random) -> None:
        self.node = node
        self.user = user
        self.leases: list[Lease] = []
        self.done: list[str] = []
        self.is_broke = False
        self._chance = chance

    async def live(self, actions: int) -> None:
        """Acts that many times, with pauses between."""
        for _ in range(actions):
            await asyncio.sleep(self._chance.choice((0.0, 0.3, 2.0, 7.0, 15.0)) * self._chance.random() * 2)
            try:
                await self._act()
            except CallRefused as err:
                # His money is gone, or a reorganisation moved his contract: he is told, and goes on.
                self._note(f"refused by the chain: {err}")

    async def _act(self) -> None:
        alive = [lease for lease in self.leases if not lease.cancelled]
        if self.is_broke:
            await self.pay()
            return
        what = self._chance.choices(
            ("deploy", "update", "twice", "cancel", "starve"), (4.0, 4.0 * bool(alive), bool(alive), len(alive), 0.7)
        )[0]
        if what == "deploy" and len(alive) < 3:
            await self.deploy()
        elif what == "cancel":
            await self.cancel(self._chance.choice(alive))
        elif what == "starve":
            await self.starve()
        elif alive:
            lease = self._chance.choice(alive)
            await self.update(lease)
            if what == "twice":
                await self.update(lease)

    def _note(self, text: str) -> None:
        self.done.append(f"{self.node.loop.time():8.1f} {self.user.name} {text}")

    # What he wants

    def _network(self) -> dict[str, Any] | None:
        """A network under a name that none of his other deployments has."""
        taken = {name for lease in self.leases if not lease.cancelled for one in lease.versions for name in one.names}
        free = [number for number in range(3) if f"net{number}" not in taken]
        if not free:
            return None
        number = self._chance.choice(free)
        more: dict[str, Any] = {}
        if self._chance.random() < 0.3:
            more["mycelium"] = {"hex_key": bytes([self.user.twin, number] * 16).hex(), "peers": []}
        return w.network(f"net{number}", self.user.twin * 10 + number, **more)

    def _machine(self, name: str, network: Mapping[str, Any], mounts: list[tuple[str, str]], ip: int) -> dict[str, Any]:
        place: dict[str, Any] = {}
        subnet = str(network["data"]["subnet"]).removesuffix("0/24")
        if "mycelium" in network["data"]:
            place["mycelium"] = {"network": network["name"], "hex_seed": f"0a0b0c0d0e{ip:02x}"}
        machine = w.zmachine(
            name,
            mounts,
            str(network["name"]),
            f"{subnet}{ip}",
            planetary=self._chance.random() < 0.2,
            memory=int(GiB(6)) if self._chance.random() < 0.15 else int(GiB(1)),
            size=int(GiB(1)) if self._chance.random() < 0.5 else 0,
            flist=self._flist(mounts),
        )
        machine["data"]["network"].update(place)
        return machine

    def _flist(self, mounts: list[tuple[str, str]]) -> str:
        if ("disk", "/disk") in mounts and self._chance.random() < 0.2:
            return "http://hub/image.fl"
        return NO_FLIST if self._chance.random() < 0.15 else "http://hub/vm.fl"

    def _wanted(self) -> list[dict[str, Any]]:
        chance = self._chance
        wanted: list[dict[str, Any]] = []
        mounts = []
        if chance.random() < 0.5:
            wanted.append(w.zmount("disk", int(GiB(chance.randint(1, 4)))))
            mounts.append(("disk", "/disk"))
        if chance.random() < 0.3:
            wanted.append(w.volume("vol", int(GiB(1))))
            mounts.append(("vol", "/vol"))
        if chance.random() < 0.2:
            wanted.append(w.zdb("db", int(GiB(chance.randint(1, 3))), chance.choice(("user", "seq"))))
        network = self._network() if chance.random() < 0.8 else None
        if network is not None:
            wanted.append(network)
            for number in range(chance.randint(0, 2)):
                wanted.append(self._machine(f"vm{number}", network, mounts if not number else [], 5 + number))
        # The order in a document says nothing about the order of making.
        chance.shuffle(wanted)
        return wanted or [w.zmount("disk")]

    def _changed(self, before: Version, version: int) -> list[dict[str, Any]]:
        """The next version: something is added, removed or grown."""
        chance = self._chance
        kept = [json.loads(json.dumps(one)) for one in before.body["workloads"]]
        used = {one["name"] for vm in kept if vm["type"] == "zmachine" for one in vm["data"]["mounts"]}
        used |= {vm["data"]["network"]["interfaces"][0]["network"] for vm in kept if vm["type"] == "zmachine"}
        loose = [one for one in kept if one["name"] not in used]
        what = chance.choice(("add", "add", "remove", "grow", "nothing"))
        if what == "remove" and loose and len(kept) > 1:
            kept.remove(chance.choice(loose))
        elif what == "grow":
            for one in kept:
                if one["type"] in ("zmount", "zdb"):
                    one["data"]["size"] += int(GiB(1))
                    one["version"] = version
        elif what == "add":
            names = {str(one["name"]) for one in kept}
            free = next(name for name in ("more0", "more1", "more2", f"more{version}v") if name not in names)
            make = chance.choice((w.zmount, w.volume, w.zdb))
            kept.append({**make(free), "version": version})
        return kept

    # What he does

    async def deploy(self) -> None:
        """Creates a contract, then pushes the document for it."""
        body = w.document(self.user.twin, 0, self._wanted())
        page = self._page(body)
        contract = await self.node.contract(body, self.user, page.named if page else "")
        body["contract_id"] = contract
        lease = Lease(self.user, contract, [Version(body)])
        self.leases.append(lease)
        self._note(f"deploys {contract}: {', '.join(lease.versions[0].names)}")
        await self._hand_over(lease, lease.versions[0], page)

    async def update(self, lease: Lease) -> None:
        """The contract's hash, then the next version."""
        if not lease.last.accepted:
            return
        if not self._carries(lease):
            self._note(f"finds something else under number {lease.contract}")
            return
        version = int(lease.last.body["version"]) + 1
        body = w.document(self.user.twin, lease.contract, self._changed(lease.last, version), version)
        new = Version(body)
        lease.versions.append(new)
        self._note(f"updates {lease.contract} to version {version}: {', '.join(new.names)}")
        page = self._page(body)
        await self.node.set_hash(lease.contract, body, self.user, page.named if page else "")
        await self._hand_over(lease, new, page)

    def _carries(self, lease: Lease) -> bool:
        """Whether the contract is still his, or a reorganisation gave its number away."""
        found = self.node.chain.get("SmartContractModule.Contracts", lease.contract)
        kind = found["contract_type"] if found is not None and int(found["twin_id"]) == self.user.twin else {}
        carried = bytes(kind["NodeContract"]["deployment_hash"]).decode() if "NodeContract" in kind else ""
        return carried in {version.hash for version in lease.versions}

    def _page(self, body: Mapping[str, Any]) -> Page | None:
        """Some documents are put on the Web, for the node to fetch; the others are pushed."""
        if self._chance.random() >= 0.3:
            return None
        return Page(f"http://hub/deployments/{w.hash_of(body)}", w.signed(body, self.user.key, self.user.twin))

    async def _hand_over(self, lease: Lease, version: Version, page: Page | None) -> None:
        if page is None:
            await self._push(lease, version)
        else:
            await self._publish(lease, version, page)

    async def _publish(self, lease: Lease, version: Version, page: Page) -> None:
        """Nobody asks the node to fetch it, and nobody hears of a refusal: it has to take it in by itself."""
        await asyncio.sleep(self._chance.choice((0.0, 0.0, 20.0)))
        self.node.hosts.documents[page.url] = page.document
        version.accepted = True
        end = self.node.loop.time() + PATIENCE
        verdict = "not fetched yet"
        while verdict != "fetched" and self.node.loop.time() < end:
            await asyncio.sleep(1.0)
            if await self._has(lease, version):
                verdict = "fetched"
        self._note(f"version {version.body['version']} of {lease.contract} is {verdict}")

    async def _push(self, lease: Lease, version: Version) -> None:
        """As clients do: again while the node cannot, and an accepted one whose answer was lost is recognised."""
        document = w.signed(version.body, self.user.key, self.user.twin)
        client = self.node.provisiond
        push = client.update if version.body["version"] else client.deploy
        end = self.node.loop.time() + PATIENCE
        while True:
            try:
                await push(document, self.user.twin)
                version.accepted = True
            except (Unreachable, TooSlow, NameTaken) as err:
                version.refusal = err.explain()
                if await self._has(lease, version):
                    version.accepted = True
                elif self.node.loop.time() < end:
                    await asyncio.sleep(1.0)
                    continue
            except DeploymentExists:
                version.accepted = await self._has(lease, version)
            except Incident as err:
                version.refusal = f"BUG {err.explain()}"
            except ZosError as err:
                version.refusal = err.explain()
                if await self._has(lease, version):
                    version.accepted = True
                elif err.kind is Kind.NOT_NOW and self.node.loop.time() < end:
                    await asyncio.sleep(1.0)
                    continue
            verdict = "accepted" if version.accepted else f"refused: {version.refusal}"
            self._note(f"version {version.body['version']} of {lease.contract} is {verdict}")
            return

    async def _has(self, lease: Lease, version: Version) -> bool:
        """Whether the node knows this version already."""
        try:
            changes = await self.node.provisiond.changes(lease.contract)
            found = await self.node.provisiond.get(lease.contract)
        except ZosError:
            return False
        wanted = int(version.body["version"])
        if not wanted:
            return {one["name"] for one in found["workloads"]} == version.names.keys()
        return int(found["version"]) == wanted or any(int(one["version"]) == wanted for one in changes)

    async def cancel(self, lease: Lease) -> None:
        """Cancels the contract; the node is told by the chain alone."""
        self._note(f"cancels {lease.contract}")
        await self.node.cancel(lease.contract, self.user)
        lease.cancelled = True

    async def starve(self) -> None:
        """All his money goes away; the next bill puts his contracts into grace."""
        self._note("spends all his money")
        self.is_broke = True
        await self.node.chain.call(
            self.user.key, "Balances", "transfer_all", dest={"Id": key_of("farmer").public}, keep_alive=True
        )

    async def pay(self) -> None:
        self._note("has money again")
        self.is_broke = False
        dest = {"Id": self.user.key.public}
        await self.node.chain.call(key_of("farmer"), "Balances", "transfer", dest=dest, value=10**9)
