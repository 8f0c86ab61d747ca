"""From the user's spec to one deployment per node. Pure: every key, port and node is handed in."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from ipaddress import IPv4Address, IPv4Network

from zos.cli.client.mesh import Mesh, Place, lay_out, peers
from zos.cli.client.spec import REFERENCE, MachineSpec, NetworkSpec, Spec
from zos.errors import Status, ZosError
from zos.model.challenge import GRID_TYPES, workload_challenge
from zos.model.deployment import Deployment, SignatureRequest, SignatureRequirement, Workload

DATA_LIMIT = 512
"""Bytes that a contract's deployment data may have on the chain."""


class NoNode(ZosError):
    """There is no node to put things on."""

    reason = "cli.no_node"
    status = Status.NOT_FOUND
    text = "machine {machine} needs node {node}, which the chain does not know"
    hint = "zos node list shows the nodes there are"


class SubnetFull(ZosError):
    """All addresses of a node's subnet are given out."""

    reason = "cli.subnet_full"
    status = Status.RESOURCE_EXHAUSTED
    text = "network {network} has no address left on node {node}"


@dataclasses.dataclass(frozen=True, slots=True)
class Composed:
    """What is to be signed and sent."""

    deployments: Mapping[int, Deployment]
    """By node; contract id 0, as the contract is made after the hash is known."""
    meshes: tuple[Mesh, ...]
    addresses: Mapping[str, str]
    """Machine to private address."""


def assign(spec: Spec, nodes: Sequence[int], earlier: Mapping[str, int] | None = None) -> Spec:
    """The spec with a node for every machine: the one it names, else where it is, else the least used."""
    load = {node: sum(machine.node == node for machine in spec.machines) for node in nodes}
    placed = []
    for machine in spec.machines:
        node = machine.node or (earlier or {}).get(machine.name, 0)
        if not node and load:
            node = min(load, key=lambda one: (load[one], one))
            load[node] += 1
        if node not in load:
            raise NoNode(machine=machine.name, node=node or "any")
        placed.append(dataclasses.replace(machine, node=node))
    for network in spec.networks:
        for node in network.nodes:
            if node not in load:
                raise NoNode(machine=f"of network {network.name}", node=node)
    return dataclasses.replace(spec, machines=tuple(placed))


def members(spec: Spec, network: NetworkSpec) -> tuple[int, ...]:
    """The nodes of a network, each once."""
    nodes = [machine.node for machine in spec.machines if machine.network == network.name]
    return tuple(dict.fromkeys([*nodes, *network.nodes]))


def subnets_asked(spec: Spec, network: NetworkSpec) -> dict[int, str]:
    """The subnets that machines' fixed addresses ask for, by node."""
    return {
        machine.node: str(IPv4Network(f"{machine.ip}/24", strict=False))
        for machine in spec.machines
        if machine.network == network.name and machine.ip is not None
    }


def compose(
    spec: Spec,
    twin: int,
    places: Mapping[int, Place],
    *,
    pick: Callable[[list[int]], int],
    old: Mapping[str, Mesh] | None = None,
    earlier: Mapping[int, Deployment] | None = None,
    addresses: Mapping[str, str] | None = None,
) -> Composed:
    """The deployments of an assigned spec; `old`, `earlier`, `addresses` are an earlier run's, which this updates."""
    meshes: dict[str, Mesh] = {}
    for network in spec.networks:
        meshes[network.name] = lay_out(
            network.name,
            network.range,
            [_without_ports(places[node], meshes.values()) for node in members(spec, network)],
            access=network.access,
            wanted=subnets_asked(spec, network),
            old=(old or {}).get(network.name),
            pick=pick,
        )
    given = _addresses(spec, meshes, addresses or {})
    nodes = sorted({member.node for mesh in meshes.values() for member in mesh.members})
    deployments = {
        node: _updated(_deployment(spec, twin, node, meshes, given), (earlier or {}).get(node)) for node in nodes
    }
    return Composed(deployments, tuple(meshes.values()), given)


def _without_ports(place: Place, meshes: Iterable[Mesh]) -> Place:
    """The place, minus the ports that this run has given out there."""
    given = {member.port for mesh in meshes for member in mesh.members if member.node == place.node}
    return dataclasses.replace(place, used_ports=place.used_ports | given)


def _addresses(spec: Spec, meshes: Mapping[str, Mesh], earlier: Mapping[str, str]) -> dict[str, str]:
    given: dict[str, str] = {machine.name: str(machine.ip) for machine in spec.machines if machine.ip}
    for machine in spec.machines:
        if machine.name in given:
            continue
        subnet = IPv4Network(meshes[machine.network].member(machine.node).subnet)
        taken = {given.get(other.name) for other in spec.machines if other.network == machine.network}
        before = earlier.get(machine.name)
        if before and IPv4Address(before) in subnet and before not in taken:
            given[machine.name] = before
            continue
        # .1 is the node's own.
        free = (str(subnet.network_address + last) for last in range(2, 255))
        address = next((one for one in free if one not in taken), None)
        if address is None:
            raise SubnetFull(network=machine.network, node=machine.node)
        given[machine.name] = address
    return given


def _deployment(spec: Spec, twin: int, node: int, meshes: Mapping[str, Mesh], given: Mapping[str, str]) -> Deployment:
    overlaid = {machine.network for machine in spec.machines if machine.node == node and machine.mycelium}
    workloads = [
        _network(mesh, node, mesh.name in overlaid)
        for mesh in meshes.values()
        if any(member.node == node for member in mesh.members)
    ]
    for machine in spec.machines:
        if machine.node == node:
            workloads += [Workload(0, store.name, store.kind, {"size": store.size}) for store in machine.stores]
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
    """The text that the grid's clients know a deployment's project by."""
    fields = {"version": 3, "type": "vm", "name": name, "projectName": f"vm/{name}"}
    return json.dumps(fields, separators=(",", ":"))


def contract_data(name: str, pull: Mapping[str, str]) -> str:
    """What the contract carries: the project, and where the signed deployment lies (pull mode)."""
    fields = {"version": 3, "type": "vm", "name": name, "projectName": f"vm/{name}"}
    text = json.dumps({**fields, "pull": pull}, separators=(",", ":"))
    if len(text.encode()) > DATA_LIMIT:
        text = json.dumps({"version": 3, "pull": pull}, separators=(",", ":"))
    return text


def _mycelium_key(private_key: str) -> str:
    """A network's mycelium key on one node; it follows from the WireGuard key there, so an update keeps it."""
    return blake2b(b"mycelium", key=base64.b64decode(private_key), digest_size=32).hexdigest()


def _network(mesh: Mesh, node: int, in_mycelium: bool) -> Workload:
    me = mesh.member(node)
    accesses = []
    if mesh.way_in and mesh.way_in.node == node:
        accesses.append({"subnet": mesh.way_in.subnet, "node_id": node})
    more = {"mycelium": {"hex_key": _mycelium_key(me.private_key), "peers": []}} if in_mycelium else {}
    return Workload(
        version=0,
        name=mesh.name,
        type="network",
        metadata=json.dumps({"version": 3, "user_accesses": accesses}, separators=(",", ":")),
        data={
            "ip_range": mesh.range,
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
                for peer in peers(mesh, node)
            ],
            **more,
        },
    )


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
            "mounts": [{"name": store.name, "mountpoint": store.at} for store in machine.stores],
            "entrypoint": machine.entrypoint,
            "env": env,
        },
    )


def _updated(new: Deployment, old: Deployment | None) -> Deployment:
    """As the next version of an earlier one: untouched workloads keep their version, changed and new ones get it."""
    if old is None:
        return new
    version = old.version + 1

    def versioned(workload: Workload) -> Workload:
        before = old.workload(workload.name)
        if before is not None and _same(before, workload):
            return dataclasses.replace(workload, version=before.version)
        return dataclasses.replace(workload, version=version)

    return dataclasses.replace(new, version=version, workloads=tuple(map(versioned, new.workloads)))


def _same(one: Workload, other: Workload) -> bool:
    plain = (dataclasses.replace(workload, version=0) for workload in (one, other))
    first, second = (workload_challenge(workload, GRID_TYPES) for workload in plain)
    return first == second


def is_changed(new: Deployment, old: Deployment | None) -> bool:
    """Whether an update has anything to say."""
    if old is None:
        return True
    return {(w.name, w.version) for w in new.workloads} != {(w.name, w.version) for w in old.workloads}
