"""The text that is hashed and signed. Every piece follows the last without any separator.

The 13 workload types of grid v3 have their challenge here, because the format is the grid's and clients sign types
that this node may not offer; a type of our own brings its challenge in its primitive's folder.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_interface

from zos.model.decode import Fields, Malformed
from zos.model.deployment import Deployment, Workload

Pieces = Iterator[str]
Challenge = Callable[[Fields], Pieces]
# What Go prints for an address or network that was not given.
UNSET = "<nil>"
MACHINES = ("zmachine", "zmachine-light")


def _b(value: bool) -> str:
    return "true" if value else "false"


def _n(cidr: str) -> str:
    # With its host bits: `10.1.2.3/24` is signed as it is.
    return cidr or UNSET


def _size(data: Fields) -> Pieces:
    yield str(data.uint("size"))


def _zdb(data: Fields) -> Pieces:
    yield str(data.uint("size"))
    yield data.text("mode")
    yield data.text("password")
    yield _b(data.flag("public"))


def _nothing(data: Fields) -> Pieces:
    yield from ()


def _ip(data: Fields) -> Pieces:
    yield _b(data.flag("v4"))
    yield _b(data.flag("v6"))


def _wireguard(data: Fields) -> Pieces:
    yield _n(data.cidr("ip_range"))
    yield _n(data.cidr("subnet"))
    yield data.text("wireguard_private_key")
    yield str(data.uint("wireguard_listen_port", 16))
    # The grid's order, in which the key comes first and the subnet third.
    for peer in data.objects("peers"):
        yield peer.text("wireguard_public_key")
        yield peer.text("endpoint")
        yield _n(peer.cidr("subnet"))
        yield from map(_n, peer.cidrs("allowed_ips"))


def _mycelium(data: Fields) -> Pieces:
    # In lower case, however the client wrote it: the grid signs what it decoded.
    yield data.hex("hex_key").hex()
    yield from data.texts("peers")


def _network(data: Fields) -> Pieces:
    yield from _wireguard(data)
    if (mycelium := data.optional("mycelium")) is not None:
        yield from _mycelium(mycelium)


def _network_light(data: Fields) -> Pieces:
    yield from _wireguard(data)
    yield from _mycelium(data.object("mycelium"))


def _network_light_of_old(data: Fields) -> Pieces:
    yield _n(data.cidr("subnet"))
    yield from _mycelium(data.object("mycelium"))


def _network_light_without_wireguard(data: Fields) -> Pieces:
    yield _n(data.cidr("ip_range"))
    yield from _network_light_of_old(data)


def _interfaces(network: Fields) -> Pieces:
    for interface in network.objects("interfaces"):
        yield interface.text("network")
        yield interface.address("ip") or UNSET


def _mycelium_ip(network: Fields) -> Pieces:
    if (mycelium := network.optional("mycelium")) is not None:
        yield mycelium.text("Network")
        yield mycelium.hex("hex_seed").hex()


def _machine(network: Callable[[Fields], Pieces]) -> Challenge:
    def challenge(data: Fields) -> Pieces:
        capacity = data.object("compute_capacity")
        yield data.text("flist")
        yield from network(data.object("network"))
        yield str(data.uint("size"))
        yield str(capacity.uint("cpu", 8))
        yield str(capacity.uint("memory"))
        for mount in data.objects("mounts"):
            yield mount.text("name")
            yield mount.text("mountpoint")
        yield data.text("entrypoint")
        for key, value in sorted(data.mapping("env").items(), key=lambda item: item[0].encode()):
            yield f"{key}={value}"
        yield from data.texts("gpu")

    return challenge


def _machine_network(network: Fields) -> Pieces:
    yield network.text("public_ip")
    yield _b(network.flag("planetary"))
    yield from _interfaces(network)
    yield from _mycelium_ip(network)


def _machine_light_network(network: Fields) -> Pieces:
    yield from _interfaces(network)
    yield from _mycelium_ip(network)


def _gateway(name: str) -> Challenge:
    def challenge(data: Fields) -> Pieces:
        yield data.text(name)
        yield _b(data.flag("tls_passthrough"))
        yield from data.texts("backends")
        yield data.text("network")

    return challenge


def _zlogs(data: Fields) -> Pieces:
    yield data.text("zmachine")
    yield data.text("output")


def _encryption(data: Fields) -> Pieces:
    yield data.text("algorithm")
    yield data.hex("key").hex()


def _backend(data: Fields) -> Pieces:
    yield data.text("address")
    yield data.text("namespace")
    yield data.text("password")


def _qsfs(data: Fields) -> Pieces:
    yield str(data.uint("cache"))
    config = data.object("config")
    for name in ("minimal_shards", "expected_shards", "redundant_groups", "redundant_nodes", "max_zdb_data_dir_size"):
        yield str(config.uint(name, 32))
    yield from _encryption(config.object("encryption"))
    meta = config.object("meta")
    yield meta.text("type")
    meta_config = meta.object("config")
    yield meta_config.text("prefix")
    yield from _encryption(meta_config.object("encryption"))
    for backend in meta_config.objects("backends"):
        yield from _backend(backend)
    for group in config.objects("groups"):
        for backend in group.objects("backends"):
            yield from _backend(backend)
    yield config.object("compression").text("algorithm")


GRID_TYPES: dict[str, Challenge] = {
    "zmount": _size,
    "volume": _size,
    "zdb": _zdb,
    "ipv4": _nothing,
    "ip": _ip,
    "network": _network,
    "network-light": _network_light,
    "zmachine": _machine(_machine_network),
    "zmachine-light": _machine(_machine_light_network),
    "gateway-name-proxy": _gateway("name"),
    "gateway-fqdn-proxy": _gateway("fqdn"),
    "zlogs": _zlogs,
    "qsfs": _qsfs,
}

# Before September 2025 clients hashed network-light without its WireGuard fields.
OLD_DIALECT: dict[str, Challenge] = {**GRID_TYPES, "network-light": _network_light_of_old}


def workload_challenge(workload: Workload, challenges: dict[str, Challenge], path: str = "") -> str:
    """What a signature covers of one workload. Raises Malformed, whose path begins with `path`."""
    own = challenges.get(workload.type)
    if own is None:
        raise Malformed(path=f"{path}.type" if path else "type", problem=f"unknown type '{workload.type}'")
    head = f"{workload.version}{workload.name}{workload.type}{workload.metadata}{workload.description}"
    return head + "".join(own(Fields(workload.data, f"{path}.data" if path else "data")))


def deployment_challenge(deployment: Deployment, challenges: dict[str, Challenge] | None = None) -> bytes:
    """The challenge of a whole deployment, as bytes."""
    kinds = GRID_TYPES if challenges is None else challenges
    requirement = deployment.signature_requirement
    # Without the contract's id: the contract is created with this hash, so nobody knows it when the owner signs.
    pieces = [f"{deployment.version}{deployment.twin_id}{deployment.metadata}{deployment.description}"]
    pieces.append(str(deployment.expiration))
    for index, workload in enumerate(deployment.workloads):
        pieces.append(workload_challenge(workload, kinds, f"workloads[{index}]"))
    pieces += [f"{one.twin_id}{_b(one.required)}{one.weight}" for one in requirement.requests]
    pieces.append(f"{requirement.weight_required}{requirement.signature_style}")
    return "".join(pieces).encode()


def deployment_hash(deployment: Deployment, challenges: dict[str, Challenge] | None = None) -> bytes:
    """The 16 bytes that are signed; the contract carries them as 32 hex characters."""
    return hashlib.md5(deployment_challenge(deployment, challenges), usedforsecurity=False).digest()


def hashes(deployment: Deployment, challenges: dict[str, Challenge] | None = None) -> Iterator[bytes]:
    """The hash, then what clients of other dialects would have computed for the same deployment.

    A dialect is only tried when all that it leaves out is unset: everything that is said is signed.
    """
    kinds = GRID_TYPES if challenges is None else challenges
    lights = [{}, *_light_dialects(deployment)]
    machines = [{}, *_gpu_dialects(deployment, kinds)]
    seen: set[bytes] = set()
    for light, machine in itertools.product(lights, machines):
        digest = deployment_hash(deployment, {**kinds, **light, **machine})
        if digest not in seen:
            seen.add(digest)
            yield digest


def _light_dialects(deployment: Deployment) -> Iterator[dict[str, Challenge]]:
    light = [Fields(workload.data) for workload in deployment.workloads if workload.type == "network-light"]
    if not light or any(_uses_wireguard(data) for data in light):
        return
    # The TypeScript client for a node that does not report `wireguard`.
    yield {"network-light": _network_light_without_wireguard}
    if not any(data.cidr("ip_range") for data in light):
        yield {"network-light": _network_light_of_old}


def _uses_wireguard(data: Fields) -> bool:
    return bool(data.text("wireguard_private_key") or data.list("peers") or data.uint("wireguard_listen_port", 16))


def _gpu_dialects(deployment: Deployment, kinds: Mapping[str, Challenge]) -> Iterator[dict[str, Challenge]]:
    if any(_is_gpu_dialect(workload) for workload in deployment.workloads):
        yield {name: _gpus_per_entry(kinds[name]) for name in MACHINES if name in kinds}


MOST_GPU_TEXT = 64 * 1024
"""Bytes of GPU ids, each as often as that client writes it, in one machine; a real one has some hundred. What is longer
is hashed as everybody else does: a stranger chooses how many there are, and the product would be ours to make."""


def _is_gpu_dialect(workload: Workload) -> bool:
    if workload.type not in MACHINES:
        return False
    data = Fields(workload.data)
    gpus, entries = data.texts("gpu"), len(data.mapping("env"))
    return bool(gpus) and entries != 1 and entries * sum(map(len, gpus)) <= MOST_GPU_TEXT


def _gpus_per_entry(challenge: Challenge) -> Challenge:
    """The TypeScript client appends the whole GPU list once after each entry of env."""

    def dialect(data: Fields) -> Pieces:
        gpus = "".join(data.texts("gpu"))
        env = data.mapping("env")
        pieces = "".join(challenge(data))
        plain = "".join(f"{key}={env[key]}" for key in sorted(env, key=str.encode))
        head = pieces.removesuffix(plain + gpus)
        yield head + "".join(f"{key}={env[key]}{gpus}" for key in sorted(env, key=str.encode))

    return dialect


def mask(cidr: str) -> str:
    """The network of an address with prefix length, host bits cleared."""
    return str(ip_interface(cidr).network)
