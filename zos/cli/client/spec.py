"""Parses the user's YAML file; an error names the path of the mistake. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from zos.cli.client.yamlfile import BadSpec, Table, load
from zos.model.deployment import NAME, NAME_LIMIT, RESERVED
from zos.model.units import Bytes, GiB, MiB
from zos.storaged.api.check import promised
from zos.storaged.api.types import Kind

FIRST_SUBNET, LAST_SUBNET = 2, 254
RANGE = IPv4Network("10.20.0.0/16")
PRIVATE = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))
MEMORY = MiB(512)


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """A user network of the user's file."""

    name: str
    range: IPv4Network
    access: bool
    """The user wants to connect to it by WireGuard."""
    nodes: tuple[int, ...]
    """Nodes that are in the network even without a machine."""


@dataclass(frozen=True, slots=True)
class MountSpec:
    """A disk or a shared directory of a machine."""

    name: str
    kind: str
    """`zmount` or `volume`"""
    size: Bytes
    at: str
    is_alone: bool = False
    """It stands in the file by itself, and outlives the machine."""


@dataclass(frozen=True, slots=True)
class StoreSpec:
    """A disk or volume by itself; at most one machine mounts it."""

    name: str
    kind: str
    size: Bytes
    node: int
    """0: that of the machine that mounts it, else we choose."""


@dataclass(frozen=True, slots=True)
class MachineSpec:
    """A machine of the user's file."""

    name: str
    node: int
    """0 lets us choose."""
    network: str
    ip: IPv4Address | None
    flist: str
    cpu: int
    memory: Bytes
    root: Bytes
    entrypoint: str
    env: Mapping[str, str]
    mounts: tuple[MountSpec, ...]
    planetary: bool = False
    """It gets an address in the planetary network as well."""
    mycelium: bool = False
    """The same in the Mycelium overlay."""


@dataclass(frozen=True, slots=True)
class ZdbSpec:
    """A 0-db namespace."""

    name: str
    node: int
    """0 lets us choose."""
    size: Bytes
    mode: str
    password: str = field(repr=False)
    public: bool


@dataclass(frozen=True, slots=True)
class Spec:
    """The user's file, checked."""

    name: str
    description: str
    networks: tuple[NetworkSpec, ...]
    machines: tuple[MachineSpec, ...]
    stores: tuple[StoreSpec, ...] = ()
    zdbs: tuple[ZdbSpec, ...] = ()


def parse(text: str) -> Spec:
    """Parse the file's text."""
    top = Table(load(text), "")
    networks = tuple(_network(name, table) for name, table in _named(top, "networks"))
    alone = (*_stores(top, "disks", "zmount"), *_stores(top, "volumes", "volume"))
    stores = {store.name: store for store in alone}
    machines = tuple(_machine(name, table, networks, stores) for name, table in _named(top, "machines"))
    zdbs = tuple(_zdb(name, table) for name, table in _named(top, "zdb"))
    spec = Spec(top.text("name"), top.text("description"), networks, machines, tuple(stores.values()), zdbs)
    top.done()
    _check_name(spec.name, "name")
    if not networks and not machines and not stores and not zdbs:
        raise BadSpec(path="the file", problem="names neither networks nor machines nor disks nor zdb")
    _check_unique(spec)
    return _with_addresses_in_env(spec)


def rounded(spec: Spec) -> Iterator[str]:
    """What nodes make of sizes that no disk can have, for people."""
    disks = {one.name: one.size for one in spec.stores if one.kind == "zmount"}
    disks |= {one.name: one.size for machine in spec.machines for one in machine.mounts if one.kind == "zmount"}
    for name, size in disks.items():
        if (real := promised(Kind.DISK, size)) != size:
            yield f"disk {name}: {size} bytes are rounded up to {real}"


def _named(table: Table, key: str) -> Iterator[tuple[str, Table]]:
    for name, value in table.tables(key):
        _check_name(name, value.path)
        yield name, value


def _check_name(name: str, path: str) -> None:
    if not NAME.fullmatch(name) or len(name) > NAME_LIMIT or name in RESERVED:
        problem = f"`{name}` is not a name; use 1 to {NAME_LIMIT} letters, digits and underscores"
        raise BadSpec(path=path, problem=problem)


def _network(name: str, table: Table) -> NetworkSpec:
    text = table.text("range", str(RANGE))
    try:
        found = IPv4Network(text)
    except ValueError:
        table.refuse("range", f"`{text}` is not a network such as {RANGE}")
    if found.prefixlen != 16:
        table.refuse("range", f"{found} must be a /16, from which each node gets a /24")
    if not any(found.subnet_of(private) for private in PRIVATE):
        # A public one hides what it belongs to (a name server, say); 100.64.0.0/10 is the grid's own.
        table.refuse("range", f"{found} must lie in {', '.join(map(str, PRIVATE))}")
    spec = NetworkSpec(name, found, table.flag("access"), table.numbers("nodes", 1, 2**32 - 1))
    table.done()
    return spec


def _stores(top: Table, key: str, kind: str) -> Iterator[StoreSpec]:
    for name, table in _named(top, key):
        yield StoreSpec(name, kind, table.size("size"), table.number("node", 0, 0, 2**32 - 1))
        table.done()


def _machine(
    name: str, table: Table, networks: tuple[NetworkSpec, ...], stores: Mapping[str, StoreSpec]
) -> MachineSpec:
    only = networks[0].name if len(networks) == 1 else ""
    network = table.text("network", only)
    known = {spec.name: spec for spec in networks}
    if network not in known:
        table.refuse("network", f"must be one of {', '.join(known) or 'the networks, and the file has none'}")
    mounts = (*_mounts(table, "disks", "zmount", stores), *_mounts(table, "volumes", "volume", stores))
    machine = MachineSpec(
        name=name,
        node=table.number("node", 0, 0, 2**32 - 1),
        network=network,
        ip=_ip(table, known[network].range),
        flist=table.text("flist"),
        cpu=table.number("cpu", 1, 1, 255),
        memory=table.size("memory", MEMORY),
        root=table.size("root", GiB(1)),
        entrypoint=table.text("entrypoint"),
        env=table.texts("env"),
        mounts=mounts,
        planetary=table.flag("planetary"),
        mycelium=table.flag("mycelium"),
    )
    table.done()
    if not machine.flist:
        table.refuse("flist", "is missing; it names what the machine boots")
    if machine.memory < MiB(250):
        table.refuse("memory", "must be at least 250MiB")
    return machine


def _zdb(name: str, table: Table) -> ZdbSpec:
    spec = ZdbSpec(
        name=name,
        node=table.number("node", 0, 0, 2**32 - 1),
        size=table.size("size"),
        mode=table.text("mode", "user"),
        password=table.text("password"),
        public=table.flag("public"),
    )
    table.done()
    if not spec.size:
        table.refuse("size", "must be more than 0")
    if spec.mode not in ("user", "seq"):
        table.refuse("mode", f"must be user or seq, not {spec.mode}")
    if len(spec.password.encode()) > 63:
        table.refuse("password", "must be at most 63 bytes")
    return spec


def _ip(table: Table, range: IPv4Network) -> IPv4Address | None:
    text = table.text("ip")
    if not text:
        return None
    try:
        ip = IPv4Address(text)
    except ValueError:
        table.refuse("ip", f"`{text}` is not an IPv4 address")
    third, last = ip.packed[2:]
    if ip not in range or not FIRST_SUBNET <= third <= LAST_SUBNET or not 2 <= last <= 254:
        low, high = range.network_address + 256 * FIRST_SUBNET + 2, range.network_address + 256 * LAST_SUBNET + 254
        table.refuse("ip", f"{ip} must lie in {low} to {high}, with a last part from 2 to 254")
    return ip


def _mounts(table: Table, key: str, kind: str, stores: Mapping[str, StoreSpec]) -> Iterator[MountSpec]:
    for name, entry in _named(table, key):
        store = stores.get(name)
        is_alone = store is not None and store.kind == kind and entry.get("size") is None
        size = store.size if store is not None and is_alone else entry.size("size")
        mount = MountSpec(name, kind, size, entry.text("at"), is_alone)
        entry.done()
        if not mount.size:
            entry.refuse("size", "must be more than 0")
        if not mount.at.startswith("/") or mount.at == "/":
            entry.refuse("at", "must be an absolute path in the machine, and not /")
        yield mount


def _check_unique(spec: Spec) -> None:
    seen: dict[str, str] = {}
    for path, name in _names(spec):
        if name in seen:
            raise BadSpec(path=path, problem=f"the name `{name}` is taken by {seen[name]}")
        seen[name] = path
    users: dict[str, str] = {}
    for machine in spec.machines:
        for mount in machine.mounts:
            if users.setdefault(mount.name, machine.name) != machine.name:
                problem = f"`{mount.name}` is mounted by {users[mount.name]} already"
                raise BadSpec(path=f"machines.{machine.name}", problem=problem)
    taken: dict[tuple[str, IPv4Address], str] = {}
    for machine in spec.machines:
        if machine.ip is not None:
            other = taken.setdefault((machine.network, machine.ip), machine.name)
            if other != machine.name:
                raise BadSpec(path=f"machines.{machine.name}.ip", problem=f"{machine.ip} is {other}'s")


def _names(spec: Spec) -> Iterator[tuple[str, str]]:
    for network in spec.networks:
        yield f"networks.{network.name}", network.name
    for zdb in spec.zdbs:
        yield f"zdb.{zdb.name}", zdb.name
    for machine in spec.machines:
        yield f"machines.{machine.name}", machine.name
        for mount in machine.mounts:
            if not mount.is_alone:
                yield f"machines.{machine.name}.{mount.name}", mount.name
    for store in spec.stores:
        yield f"{'disks' if store.kind == 'zmount' else 'volumes'}.{store.name}", store.name


REFERENCE = re.compile(r"\$\{([a-zA-Z0-9_]+)\.ip\}")


def _with_addresses_in_env(spec: Spec) -> Spec:
    """Refuse `${NAME.ip}` of a machine that is not in the file. compose() fills in the addresses."""
    names = {machine.name for machine in spec.machines}
    for machine in spec.machines:
        for key, value in machine.env.items():
            for wanted in REFERENCE.findall(value):
                if wanted not in names:
                    path = f"machines.{machine.name}.env.{key}"
                    raise BadSpec(path=path, problem=f"there is no machine `{wanted}`")
    return spec
