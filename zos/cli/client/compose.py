"""Makes one deployment per node out of the user's file. Pure: keys, ports and nodes are parameters."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from hashlib import blake2b
from ipaddress import IPv4Address, IPv4Network

from zos.cli.client.network import Candidate, NetworkPlan, peers, plan_network
from zos.cli.client.spec import REFERENCE, MachineSpec, NetworkSpec, Spec, ZdbSpec
from zos.errors import Status, ZosError
from zos.model.challenge import GRID_TYPES, workload_challenge
from zos.model.deployment import Deployment, SignatureRequest, SignatureRequirement, Workload

DATA_LIMIT = 512
"""Bytes that a contract's deployment data may have on the chain."""


class NoNode(ZosError):
    """Something names a node that is not on the chain, or there is no node for it at all."""

    reason = "cli.no_node"
    status = Status.NOT_FOUND
    text = "{what} needs node {node}, which the chain does not know"
    hint = "zos node list shows all nodes, and which have hard disks (zdb)"


class Elsewhere(ZosError):
    """A machine can only mount what is on its own node."""

    reason = "cli.elsewhere"
    status = Status.FAILED_PRECONDITION
    text = "machine {machine} is for node {node}, and what it mounts is on node {home}"
    hint = "give both the same node"


class SubnetFull(ZosError):
    """Every address of a node's subnet is in use."""

    reason = "cli.subnet_full"
    status = Status.RESOURCE_EXHAUSTED
    text = "network {network} has no address left on node {node}"


@dataclasses.dataclass(frozen=True, slots=True)
class Composed:
    """What the user is to sign."""

    deployments: Mapping[int, Deployment]
    """By node. The contract id is 0: a contract is made from the hash."""
    networks: tuple[NetworkPlan, ...]
    addresses: Mapping[str, str]
    """Private address by machine."""


def assign(
    spec: Spec, nodes: Sequence[int], earlier: Mapping[str, int] | None = None, hdd: Collection[int] = ()
) -> Spec:
    """The spec with a node for everything: the one it names, else that of what it mounts, else its `earlier` one, else
    the least loaded; for namespaces one of those with hard disks (`hdd`)."""
    named = [*(one.node for one in spec.machines), *(one.node for one in spec.zdbs)]
    load = {node: named.count(node) for node in nodes}
    earlier = earlier or {}
    homes = {store.name: store.node or earlier.get(store.name, 0) for store in spec.stores}

    def choose(what: str, node: int, choice: Collection[int]) -> int:
        if not node and choice:
            node = min(choice, key=lambda id: (load[id], id))
            load[node] += 1
        if node not in load:
            raise NoNode(what=what, node=node or "any")
        return node

    machines = []
    for machine in spec.machines:
        mounted = next((homes[mount.name] for mount in machine.mounts if homes.get(mount.name)), 0)
        node = machine.node or mounted or earlier.get(machine.name, 0)
        if mounted and mounted != node:
            raise Elsewhere(machine=machine.name, node=node, home=mounted)
        node = choose(f"machine {machine.name}", node, load)
        machines.append(dataclasses.replace(machine, node=node))
        homes |= {mount.name: node for mount in machine.mounts if mount.is_alone}
    stores = [
        dataclasses.replace(store, node=choose(f"{store.kind} {store.name}", homes[store.name], load))
        for store in spec.stores
    ]
    zdbs = [
        dataclasses.replace(
            zdb, node=choose(f"zdb {zdb.name}", zdb.node or earlier.get(zdb.name, 0), load.keys() & set(hdd))
        )
        for zdb in spec.zdbs
    ]
    for network in spec.networks:
        for node in network.nodes:
            choose(f"network {network.name}", node, load)
    return dataclasses.replace(spec, machines=tuple(machines), stores=tuple(stores), zdbs=tuple(zdbs))


def members(spec: Spec, network: NetworkSpec) -> tuple[int, ...]:
    """The nodes of a network, each once."""
    nodes = [machine.node for machine in spec.machines if machine.network == network.name]
    return tuple(dict.fromkeys([*nodes, *network.nodes]))


def requested_subnets(spec: Spec, network: NetworkSpec) -> dict[int, str]:
    """The subnets that machines' fixed addresses require, by node."""
    return {
        machine.node: str(IPv4Network(f"{machine.ip}/24", strict=False))
        for machine in spec.machines
        if machine.network == network.name and machine.ip is not None
    }


def compose(
    spec: Spec,
    twin: int,
    candidates: Mapping[int, Candidate],
    *,
    pick: Callable[[list[int]], int],
    old: Mapping[str, NetworkPlan] | None = None,
    earlier: Mapping[int, Deployment] | None = None,
    addresses: Mapping[str, str] | None = None,
    failed: Mapping[int, frozenset[str]] | None = None,
) -> Composed:
    """The deployments of a spec whose machines have nodes. `old`, `earlier`, `addresses`: of the run to update.

    `failed`: the workloads that a node could not make, which are to be made again.
    """
    networks: dict[str, NetworkPlan] = {}
    for network in spec.networks:
        networks[network.name] = plan_network(
            network.name,
            network.range,
            [_without_ports(candidates[node], networks.values()) for node in members(spec, network)],
            access=network.access,
            wanted=requested_subnets(spec, network),
            old=(old or {}).get(network.name),
            pick=pick,
        )
    given = _addresses(spec, networks, addresses or {})
    nodes = sorted(
        {member.node for plan in networks.values() for member in plan.members}
        | {one.node for one in spec.stores}
        | {one.node for one in spec.zdbs}
    )
    deployments = {
        node: _updated(
            _deployment(spec, twin, node, networks, given),
            (earlier or {}).get(node),
            (failed or {}).get(node, frozenset()),
        )
        for node in nodes
    }
    return Composed(deployments, tuple(networks.values()), given)


def _without_ports(candidate: Candidate, networks: Iterable[NetworkPlan]) -> Candidate:
    """The candidate with the ports that this run has chosen on its node as used."""
    chosen = {member.port for plan in networks for member in plan.members if member.node == candidate.node}
    return dataclasses.replace(candidate, used_ports=candidate.used_ports | chosen)


def _addresses(spec: Spec, networks: Mapping[str, NetworkPlan], earlier: Mapping[str, str]) -> dict[str, str]:
    given: dict[str, str] = {machine.name: str(machine.ip) for machine in spec.machines if machine.ip}
    for machine in spec.machines:
        if machine.name in given:
            continue
        subnet = IPv4Network(networks[machine.network].member(machine.node).subnet)
        taken = {given.get(other.name) for other in spec.machines if other.network == machine.network}
        before = earlier.get(machine.name)
        if before and IPv4Address(before) in subnet and before not in taken:
            given[machine.name] = before
            continue
        # .1 is the node's own address.
        free = (str(subnet.network_address + last) for last in range(2, 255))
        address = next((one for one in free if one not in taken), None)
        if address is None:
            raise SubnetFull(network=machine.network, node=machine.node)
        given[machine.name] = address
    return given


def _deployment(
    spec: Spec, twin: int, node: int, networks: Mapping[str, NetworkPlan], given: Mapping[str, str]
) -> Deployment:
    overlaid = {machine.network for machine in spec.machines if machine.node == node and machine.mycelium}
    workloads = [
        _network(plan, node, plan.name in overlaid)
        for plan in networks.values()
        if any(member.node == node for member in plan.members)
    ]
    workloads += [_zdb(zdb) for zdb in spec.zdbs if zdb.node == node]
    workloads += [Workload(0, one.name, one.kind, {"size": one.size}) for one in spec.stores if one.node == node]
    for machine in spec.machines:
        if machine.node == node:
            own = (mount for mount in machine.mounts if not mount.is_alone)
            workloads += [Workload(0, mount.name, mount.kind, {"size": mount.size}) for mount in own]
            workloads.append(_machine(machine, given))
    return Deployment(
        version=0,
        twin_id=twin,
        contract_id=0,
        metadata=metadata(spec.name),
        description=spec.description,
        signature_requirement=SignatureRequirement((SignatureRequest(twin, False, 1),), 1),
        workloads=tuple(workloads),
    )


def metadata(name: str) -> str:
    """The text by which the grid's clients find a deployment's project."""
    fields = {"version": 3, "type": "vm", "name": name, "projectName": f"vm/{name}"}
    return json.dumps(fields, separators=(",", ":"))


def contract_data(name: str, pull: Mapping[str, str]) -> str:
    """The contract's data: the project, and where nodes fetch the signed deployment."""
    fields = {"version": 3, "type": "vm", "name": name, "projectName": f"vm/{name}"}
    text = json.dumps({**fields, "pull": pull}, separators=(",", ":"))
    if len(text.encode()) > DATA_LIMIT:
        text = json.dumps({"version": 3, "pull": pull}, separators=(",", ":"))
    return text


def _mycelium_key(private_key: str) -> str:
    """A network's mycelium key on one node, derived from its WireGuard key there, so that an update keeps it."""
    return blake2b(b"mycelium", key=base64.b64decode(private_key), digest_size=32).hexdigest()


def _network(plan: NetworkPlan, node: int, in_mycelium: bool) -> Workload:
    me = plan.member(node)
    accesses = []
    if plan.user and plan.user.node == node:
        accesses.append({"subnet": plan.user.subnet, "node_id": node})
    more = {"mycelium": {"hex_key": _mycelium_key(me.private_key), "peers": []}} if in_mycelium else {}
    return Workload(
        version=0,
        name=plan.name,
        type="network",
        metadata=json.dumps({"version": 3, "user_accesses": accesses}, separators=(",", ":")),
        data={
            "ip_range": plan.range,
            "subnet": me.subnet,
            "wireguard_private_key": me.private_key,
            "wireguard_listen_port": me.port,
            "peers": [
                {
                    "subnet": peer.subnet,
                    "wireguard_public_key": peer.public_key,
                    "allowed_ips": list(peer.allowed_ips),
                    "endpoint": peer.endpoint,
                }
                for peer in peers(plan, node)
            ],
            **more,
        },
    )


def _zdb(zdb: ZdbSpec) -> Workload:
    data = {"size": zdb.size, "mode": zdb.mode, "password": zdb.password, "public": zdb.public}
    return Workload(version=0, name=zdb.name, type="zdb", data=data)


def _machine(machine: MachineSpec, given: Mapping[str, str]) -> Workload:
    seed = blake2b(machine.name.encode(), digest_size=6).hexdigest()
    more = {"mycelium": {"network": machine.network, "hex_seed": seed}} if machine.mycelium else {}
    env = {key: REFERENCE.sub(lambda found: given[found[1]], value) for key, value in machine.env.items()}
    return Workload(
        version=0,
        name=machine.name,
        type="zmachine",
        data={
            "flist": machine.flist,
            "network": {
                "public_ip": "",
                "planetary": machine.planetary,
                "interfaces": [{"network": machine.network, "ip": given[machine.name]}],
                **more,
            },
            "size": machine.root,
            "compute_capacity": {"cpu": machine.cpu, "memory": machine.memory},
            "mounts": [{"name": mount.name, "mountpoint": mount.at} for mount in machine.mounts],
            "entrypoint": machine.entrypoint,
            "env": env,
        },
    )


def _updated(new: Deployment, old: Deployment | None, failed: frozenset[str]) -> Deployment:
    """The next version of an earlier deployment. Workloads that did not change, and are there, keep their version."""
    if old is None:
        return new
    version = old.version + 1

    def versioned(workload: Workload) -> Workload:
        before = old.workload(workload.name)
        if before is not None and _same(before, workload) and workload.name not in failed:
            return dataclasses.replace(workload, version=before.version)
        return dataclasses.replace(workload, version=version)

    return dataclasses.replace(new, version=version, workloads=tuple(map(versioned, new.workloads)))


def _same(one: Workload, other: Workload) -> bool:
    plain = (dataclasses.replace(workload, version=0) for workload in (one, other))
    first, second = (workload_challenge(workload, GRID_TYPES) for workload in plain)
    return first == second


def is_changed(new: Deployment, old: Deployment | None) -> bool:
    """Whether an update changes anything."""
    if old is None:
        return True
    return {(w.name, w.version) for w in new.workloads} != {(w.name, w.version) for w in old.workloads}
