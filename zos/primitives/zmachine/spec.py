"""What the user writes for a zmachine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from zos.model.decode import Fields
from zos.model.units import Bytes, GiB, MiB

LEAST_MEMORY = MiB(250)
SMALL_ROOT = MiB(500)
LARGE_ROOT = GiB(2)
MYCELIUM_SEED = 6
"""Bytes."""
NOT_NETWORKS = ("ygg", "pub", "mycelium")


@dataclass(frozen=True, slots=True)
class MountSpec:
    """A disk or volume of the deployment, and where the machine sees it."""

    name: str
    target: str


@dataclass(frozen=True, slots=True)
class MyceliumSpec:
    """A place in the Mycelium overlay: in a network of the user's, and there at the seed's address."""

    network: str
    seed: bytes


@dataclass(frozen=True, slots=True)
class ZmachineSpec:
    """A machine."""

    flist: str
    network: str
    ip: str
    cpu: int
    memory: Bytes
    root: Bytes
    """Of the root file system: what was asked for, or the least for such a machine."""
    planetary: bool = False
    """It gets an address in the planetary network as well."""
    mycelium: MyceliumSpec | None = None
    """Its place in the Mycelium overlay."""
    mounts: tuple[MountSpec, ...] = ()
    entrypoint: str = ""
    env: Mapping[str, str] = field(default_factory=dict)


def least_root(cpu: int, memory: int) -> Bytes:
    """The smallest root file system of a machine of that size."""
    return SMALL_ROOT if cpu * memory // GiB(8) == 0 else LARGE_ROOT


def parse(data: Fields) -> ZmachineSpec:
    """The user's words, checked; what this node cannot do yet is refused by name."""
    if not data.text("flist"):
        data.refuse("flist", "must be given")
    network = data.object("network")
    interfaces = list(network.objects("interfaces"))
    if len(interfaces) != 1:
        network.refuse("interfaces", f"must have exactly one entry, not {len(interfaces)}")
    capacity = data.object("compute_capacity")
    cpu, memory = capacity.uint("cpu", 8), capacity.uint("memory")
    if cpu < 1:
        capacity.refuse("cpu", "must be at least 1")
    if memory < LEAST_MEMORY:
        capacity.refuse("memory", f"{memory} is below the least of {LEAST_MEMORY} bytes")
    least = least_root(cpu, memory)
    size = data.uint("size")
    if 0 < size < least:
        data.refuse("size", f"{size} is below the least of {least} bytes for such a machine")
    _refuse_unoffered(data, network)
    return ZmachineSpec(
        flist=data.text("flist"),
        network=_network(interfaces[0]),
        ip=_address(interfaces[0]),
        cpu=cpu,
        memory=Bytes(memory),
        root=Bytes(max(size, least)),
        planetary=network.flag("planetary"),
        mycelium=_mycelium(network.optional("mycelium")),
        mounts=tuple(_mount(one) for one in data.objects("mounts")),
        entrypoint=data.text("entrypoint"),
        env=data.mapping("env"),
    )


def _refuse_unoffered(data: Fields, network: Fields) -> None:
    if network.text("public_ip"):
        network.refuse("public_ip", "this node offers no public addresses")
    if data.texts("gpu"):
        data.refuse("gpu", "this node offers no GPU")


def _network(interface: Fields) -> str:
    name = interface.text("network")
    if not name or name in NOT_NETWORKS:
        interface.refuse("network", f"`{name}` is no name of a network")
    return name


def _mycelium(data: Fields | None) -> MyceliumSpec | None:
    if data is None:
        return None
    # Go's decoder takes a key in any case, so clients write it in both.
    name = data.text("network") or data.text("Network")
    if not name or name in NOT_NETWORKS:
        data.refuse("network", f"`{name}` is no name of a network")
    seed = data.hex("hex_seed")
    if len(seed) != MYCELIUM_SEED or seed in (bytes(MYCELIUM_SEED), b"\xff" * MYCELIUM_SEED):
        data.refuse("hex_seed", f"must be {MYCELIUM_SEED} bytes in hexadecimal, not all of them 00 or ff")
    return MyceliumSpec(name, seed)


def _address(interface: Fields) -> str:
    text = interface.text("ip")
    try:
        return str(IPv4Address(text))
    except ValueError:
        interface.refuse("ip", f"`{text}` is no IPv4 address")


def _mount(data: Fields) -> MountSpec:
    target = data.text("mountpoint")
    if not target.startswith("/") or target.rstrip("/") == "" or ".." in target.split("/"):
        data.refuse("mountpoint", f"`{target}` is no place to mount at; give an absolute path below /")
    return MountSpec(data.text("name"), target)
