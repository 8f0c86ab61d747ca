"""What must hold in every history. `Watch` looks all the while, `Rest` once nothing goes wrong any more."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any

from zos.bus import TooSlow, Unreachable
from zos.model.names import ROOT, split_workload_id
from zos.provisiond.api.errors import NoSuchDeployment
from zos.sim.hosts import MEMORY, NO_FLIST
from zos.sim.node import SimNode
from zos.sim.tenants import Lease, Tenant
from zos.storaged.api.types import PoolKind
from zos.storaged.model import ObservedPool
from zos.storaged.steps import MakeTombstone

FINAL = ("memory", "there is no flist at")
"""Words in errors that are final for a good reason: the node is full, or what a tenant named is not there."""

MOVED_ON = "contract hash does not match deployment hash"


class Bugs(logging.Handler):
    """Collects what the daemons' journals say about bugs of ours."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            self.found.append(f"{record.getMessage()}: {record.exc_info[1]!r}")
        elif "incident" in record.getMessage():
            self.found.append(record.getMessage())


class Watch:
    """Looks every second: what was taken away, and whether there is too much of anything."""

    def __init__(self, node: SimNode, tenants: list[Tenant]) -> None:
        self.node = node
        self.tenants = tenants
        self.violations: list[str] = []
        self.looks = 0
        self._buried = 0

    def look(self) -> None:
        """Checks the invariants on what happened since the last look."""
        self.looks += 1
        steps = self.node.hosts.storaged.steps
        for step in steps[self._buried :]:
            if isinstance(step, MakeTombstone):
                self._evidence(step.id)
        self._buried = len(steps)
        self._memory()
        self._storage()

    def _wrong(self, text: str) -> None:
        line = f"{self.node.loop.time():8.1f} {text}"
        if text not in {one[9:] for one in self.violations}:
            self.violations.append(line)

    def _evidence(self, id: str) -> None:
        """A disk or volume went: its contract is over at a final block, or its owner signed a version without it."""
        twin, contract, name = split_workload_id(id.removeprefix(ROOT))
        if self._over(contract):
            return
        own = [lease for tenant in self.tenants if tenant.user.twin == twin for lease in tenant.leases]
        versions = [one for lease in own if lease.contract == contract for one in lease.versions]
        if any(name not in one.names for one in versions):
            return
        if versions and all(one.names[name]["data"].get("flist") == NO_FLIST for one in versions):
            return  # it could not be made, and nobody wrote to it
        self._wrong(f"{id} was removed without evidence")

    def _over(self, contract: int) -> bool:
        key = self.node.chain.runtime.key("SmartContractModule", "Contracts", contract)
        devchain = self.node.chain.node
        return devchain.state.at(key, devchain.finalized, devchain.head.number) is None

    def _memory(self) -> None:
        """Guests together never have more than the node can give."""
        sizes = {
            f"{lease.user.twin}-{lease.contract}-{name}": int(one["data"]["compute_capacity"]["memory"])
            for tenant in self.tenants
            for lease in tenant.leases
            for version in lease.versions
            for name, one in version.names.items()
            if one["type"] == "zmachine"
        }
        used = sum(sizes.get(id, 0) for id in self.node.hosts.vmd.guests)
        if used > MEMORY:
            self._wrong(f"guests have {used} bytes of memory, the node {MEMORY}")

    def _storage(self) -> None:
        for device in self.node.hosts.storaged.disks.values():
            used = sum(size for _, size in _sizes(device.observed))
            if used > device.size:
                self._wrong(f"{device.path} holds {used} bytes of {device.size}")


class Rest:
    """What a node at rest must look like, from the chain's word and from what users signed."""

    def __init__(self, node: SimNode, tenants: list[Tenant]) -> None:
        self.node = node
        self.tenants = tenants
        self.unclear = 0

    async def problems(self) -> list[str]:
        """What is not as it must be (yet)."""
        try:
            documents = {int(one["contract_id"]): one for one in await self.node.provisiond.list()}
            changes = {contract: await self.node.provisiond.changes(contract) for contract in documents}
        except (Unreachable, TooSlow, NoSuchDeployment) as err:
            return [str(err)]
        found: list[str] = []
        self.unclear, alive = 0, dict(open_on_chain(self.node))
        leases = {(lease.user.twin, lease.contract): lease for tenant in self.tenants for lease in tenant.leases}
        for contract in range(1, int(self.node.chain.get("SmartContractModule.ContractID")) + 1):
            if contract not in alive:
                found += self._gone(contract, documents)
                continue
            on_chain = alive[contract]
            lease = leases.get((int(on_chain["twin_id"]), contract))
            if lease is None:
                self.unclear += 1  # a reorganisation gave it another number than its owner was told
                continue
            found += self._there(lease, on_chain, documents.get(contract))
            found += self._waited(lease, on_chain, changes.get(contract, []))
        return found

    def _gone(self, contract: int, documents: dict[int, Any]) -> Iterator[str]:
        """Nothing of it is left, in the API or below."""
        if contract in documents:
            yield f"contract {contract} is over and still listed"
        yield from (f"contract {contract} is over and {what} is there" for what in self._left(contract))

    def _left(self, contract: int) -> Iterator[str]:
        for id in self._things():
            if split_workload_id(id.removeprefix(ROOT))[1] == contract:
                yield id

    def _things(self) -> Iterator[str]:
        for device in self.node.hosts.storaged.disks.values():
            yield from device.observed.disks
            yield from device.observed.volumes
        yield from self._namespaces()
        yield from self.node.hosts.vmd.guests
        yield from self.node.hosts.flistd.mounts

    def _namespaces(self) -> Iterator[str]:
        """Namespaces of 0-db that are served."""
        for server in self.node.hosts.zdbd.servers.values():
            if server.told is not None:
                yield from (space.id for space in server.told.spaces)

    def _is_clear(self, lease: Lease, on_chain: Any) -> bool:
        """Whether the chain carries what the node was given; else no claim can be made of what runs."""
        carried = bytes(on_chain["contract_type"]["NodeContract"]["deployment_hash"]).decode()
        return lease.last.accepted and lease.last.hash == carried

    def _waited(self, lease: Lease, on_chain: Any, changes: Iterable[Any]) -> Iterator[str]:
        """No workload had a final error for what only had to wait."""
        if self._is_clear(lease, on_chain):
            for error in finals(changes, int(lease.last.body["version"])):
                yield f"contract {lease.contract} had the final error of {error}"

    def _there(self, lease: Lease, on_chain: Any, document: Any) -> Iterator[str]:
        last = lease.last
        if not self._is_clear(lease, on_chain):
            self.unclear += 1
            return
        where = f"contract {lease.contract} version {last.body['version']}"
        if document is None:
            yield f"{where} was accepted and is not listed"
            return
        if document["version"] != last.body["version"]:
            yield f"{where} was accepted last, in force is version {document['version']}"
            return
        results = {one["name"]: one["result"] for one in document["workloads"]}
        if results.keys() != last.names.keys():
            yield f"{where} has {sorted(last.names)}, listed are {sorted(results)}"
        live = [name for name, result in results.items() if result["state"] == "ok"]
        for name, result in results.items():
            if result["state"] != "ok" and not _is_full(results, result):
                yield f"{where}: {name} is {result['state']} ({result['message']})"
        yield from self._runs(lease, last.names, live, where)
        yield from self._billed(lease, last.names, live, where)

    def _runs(self, lease: Lease, wanted: dict[str, Any], live: list[str], where: str) -> Iterator[str]:
        things, served = set(self._things()), set(self._namespaces())
        for name in live:
            id, kind = f"{lease.user.twin}-{lease.contract}-{name}", wanted[name]["type"]
            if (kind != "network" and id not in things) or (kind == "zdb" and id not in served):
                yield f"{where}: {name} is ok and not there"
        for id in self._left(lease.contract):
            name = split_workload_id(id.removeprefix(ROOT))[2]
            if name in wanted and name not in live:
                yield f"{where}: {name} is not ok, and {id} is there"
            if name not in wanted:
                yield f"{where} has no {name}, and {id} is there"

    def _billed(self, lease: Lease, wanted: dict[str, Any], live: list[str], where: str) -> Iterator[str]:
        told = self.node.chain.get("SmartContractModule.NodeContractResources", lease.contract)["used"]
        machines = [wanted[name]["data"]["compute_capacity"] for name in live if wanted[name]["type"] == "zmachine"]
        used = {
            "cru": sum(one["cpu"] for one in machines),
            "mru": sum(one["memory"] for one in machines),
            "sru": sum(self._sizes(lease.contract, PoolKind.SSD)),
            "hru": sum(self._sizes(lease.contract, PoolKind.HDD)),
        }
        for unit, count in used.items():
            if told[unit] != count:
                yield f"{where}: the chain bills {told[unit]} {unit}, {count} are in use"

    def _sizes(self, contract: int, kind: PoolKind) -> Iterator[int]:
        for device in self.node.hosts.storaged.disks.values():
            for id, size in _sizes(device.observed) if device.kind is kind else ():
                if split_workload_id(id.removeprefix(ROOT))[1] == contract:
                    yield size

    async def empty(self) -> list[str]:
        """After every contract is over: what is left of anything."""
        found = await self.problems()
        network = self.node.hosts.networkd
        found += [f"namespace {name} is left" for name in network.spaces if name.startswith("n-")]
        found += [f"tap {name} is left" for name in network.root.links if name.startswith("t-")]
        found += [f"{id} is left" for id in self._things()]
        return found


def _sizes(pool: ObservedPool) -> Iterator[tuple[str, int]]:
    yield from ((id, int(disk.size)) for id, disk in pool.disks.items())
    yield from ((id, int(volume.limit)) for id, volume in pool.volumes.items())


def open_on_chain(node: SimNode) -> Iterator[tuple[int, Any]]:
    """Every contract that is not over at the best block, with its id."""
    for id in range(1, int(node.chain.get("SmartContractModule.ContractID")) + 1):
        contract = node.chain.get("SmartContractModule.Contracts", id)
        if contract is not None and _is_open(contract):
            yield id, contract


def _is_open(contract: Any) -> bool:
    return contract["state"] == "Created" or "GracePeriod" in contract["state"]


def _is_full(results: dict[str, Any], result: Any) -> bool:
    """An error for want of memory is final; whoever needs such a workload fails with it."""
    return result["state"] == "error" and any(word in result["message"] for word in FINAL)


def finals(changes: Iterable[Any], newest: int) -> list[str]:
    """Errors in a log of changes that nobody had a reason for.

    A version whose contract had moved on to a newer one before the node compared them is refused for good.
    """
    return [
        f"{one['name']}: {one['result']['message']}"
        for one in changes
        if one["result"]["state"] == "error"
        and not any(word in one["result"]["message"] for word in FINAL)
        and not (one["version"] < newest and MOVED_ON in one["result"]["message"])
    ]
