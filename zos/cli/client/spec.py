"""Parses the user's YAML file; an error names the path of the mistake. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import Any, NoReturn

import yaml

from zos.errors import Status, ZosError
from zos.model.deployment import NAME, NAME_LIMIT, RESERVED
from zos.model.units import Bytes, GiB, MiB
from zos.runtime import data

SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)
SCALE = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
FIRST_SUBNET, LAST_SUBNET = 2, 254
RANGE = IPv4Network("10.20.0.0/16")
MEMORY = MiB(512)


class BadSpec(ZosError):
    """The file cannot be deployed as it is written."""

    reason = "cli.bad_spec"
    status = Status.INVALID_ARGUMENT
    text = "{path}: {problem}"
    hint = f"{data.folder('examples') / 'vm.yaml'} is a complete example"


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
    zdbs: tuple[ZdbSpec, ...] = ()


class _Table:
    """A mapping of the file, with its path; it records which keys were read, so that others can be refused."""

    def __init__(self, value: Any, path: str) -> None:
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise BadSpec(path=path or "the file", problem="must be a table of `key: value` lines")
        self.path = path
        self._values = {str(key): entry for key, entry in value.items()}
        self._asked: set[str] = set()

    def at(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def refuse(self, key: str, problem: str) -> NoReturn:
        raise BadSpec(path=self.at(key), problem=problem)

    def get(self, key: str, default: Any = None) -> Any:
        self._asked.add(key)
        value = self._values.get(key)
        return default if value is None else value

    def text(self, key: str, default: str = "") -> str:
        value = self.get(key, default)
        if isinstance(value, dict | list):
            self.refuse(key, "must be text")
        return str(value)

    def flag(self, key: str, default: bool = False) -> bool:
        value = self.get(key, default)
        if not isinstance(value, bool):
            self.refuse(key, "must be true or false")
        return value

    def number(self, key: str, default: int, low: int, high: int) -> int:
        value = self.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.refuse(key, f"must be a whole number from {low} to {high}")
        return value

    def size(self, key: str, default: Bytes | None = None) -> Bytes:
        value = self.get(key, default)
        if value is None:
            self.refuse(key, "is missing; give a size such as 1GiB")
        matched = SIZE.fullmatch(str(value).strip())
        if isinstance(value, bool) or not matched:
            self.refuse(key, f"`{value}` is not a size; write for instance 512MiB or 1GiB")
        return Bytes(int(float(matched[1]) * SCALE[matched[2].upper()]))

    def tables(self, key: str) -> Iterator[tuple[str, _Table]]:
        for name, value in _Table(self.get(key), self.at(key))._values.items():
            table = _Table(value, f"{self.at(key)}.{name}")
            _check_name(name, table.path)
            yield name, table

    def texts(self, key: str) -> dict[str, str]:
        table = _Table(self.get(key), self.at(key))
        return {name: table.text(name) for name in table._values}

    def done(self) -> None:
        """Refuse the keys that were not read: a misspelt key must not be ignored."""
        for key in self._values:
            if key not in self._asked:
                self.refuse(key, f"is not a key here; the keys are {', '.join(sorted(self._asked))}")


def parse(text: str) -> Spec:
    """Parse the file's text."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as err:
        raise BadSpec(path="the file", problem=f"is not YAML: {' '.join(str(err).split())}") from None
    top = _Table(document, "")
    networks = tuple(_network(name, table) for name, table in top.tables("networks"))
    machines = tuple(_machine(name, table, networks) for name, table in top.tables("machines"))
    zdbs = tuple(_zdb(name, table) for name, table in top.tables("zdb"))
    spec = Spec(top.text("name"), top.text("description"), networks, machines, zdbs)
    top.done()
    _check_name(spec.name, "name")
    if not networks and not machines and not zdbs:
        raise BadSpec(path="the file", problem="names no networks, machines or zdb")
    _check_unique(spec)
    return _with_addresses_in_env(spec)


def _check_name(name: str, path: str) -> None:
    if not NAME.fullmatch(name) or len(name) > NAME_LIMIT or name in RESERVED:
        problem = f"`{name}` is not a name; use 1 to {NAME_LIMIT} letters, digits and underscores"
        raise BadSpec(path=path, problem=problem)


def _network(name: str, table: _Table) -> NetworkSpec:
    text = table.text("range", str(RANGE))
    try:
        found = IPv4Network(text)
    except ValueError:
        table.refuse("range", f"`{text}` is not a network such as {RANGE}")
    if found.prefixlen != 16:
        table.refuse("range", f"{found} must be a /16, from which each node gets a /24")
    nodes = table.get("nodes", [])
    if not isinstance(nodes, list) or any(isinstance(node, bool) or not isinstance(node, int) for node in nodes):
        table.refuse("nodes", "must be a list of node ids")
    spec = NetworkSpec(name, found, table.flag("access"), tuple(nodes))
    table.done()
    return spec


def _machine(name: str, table: _Table, networks: tuple[NetworkSpec, ...]) -> MachineSpec:
    only = networks[0].name if len(networks) == 1 else ""
    network = table.text("network", only)
    known = {spec.name: spec for spec in networks}
    if network not in known:
        table.refuse("network", f"must be one of {', '.join(known) or 'the networks, and the file has none'}")
    mounts = tuple(_mounts(table, "disks", "zmount")) + tuple(_mounts(table, "volumes", "volume"))
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


def _zdb(name: str, table: _Table) -> ZdbSpec:
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


def _ip(table: _Table, range: IPv4Network) -> IPv4Address | None:
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


def _mounts(table: _Table, key: str, kind: str) -> Iterator[MountSpec]:
    for name, entry in table.tables(key):
        mount = MountSpec(name, kind, entry.size("size"), entry.text("at"))
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
            yield f"machines.{machine.name}.{mount.name}", mount.name


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
