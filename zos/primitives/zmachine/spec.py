"""What the user writes for a zmachine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from zos.model.decode import Fields
from zos.model.units import Bytes, GiB, MiB
from zos.primitives.zmachine import attachments
from zos.primitives.zmachine.attachment import Attachment

LEAST_MEMORY = MiB(250)
SMALL_ROOT = MiB(500)
LARGE_ROOT = GiB(2)


@dataclass(frozen=True, slots=True)
class MountSpec:
    """A disk or volume of the deployment, and where the machine sees it."""

    name: str
    target: str


@dataclass(frozen=True, slots=True)
class ZmachineSpec:
    """What the user asks of a machine."""

    flist: str
    attachments: tuple[Attachment, ...]
    """Its network interfaces, in the order in which the guest has them."""
    cpu: int
    memory: Bytes
    root: Bytes
    """Of the root file system: what was asked for, or the least for such a machine."""
    mounts: tuple[MountSpec, ...] = ()
    entrypoint: str = ""
    env: Mapping[str, str] = field(default_factory=dict)


def least_root(cpu: int, memory: int) -> Bytes:
    """The smallest root file system of a machine of that size."""
    # The grid's rule: a small root as long as cores times GiB of memory are less than 8.
    return SMALL_ROOT if cpu * memory // GiB(8) == 0 else LARGE_ROOT


def parse(data: Fields) -> ZmachineSpec:
    """What the user wrote, checked; what this node cannot do yet is refused by name."""
    if not data.text("flist"):
        data.refuse("flist", "must be given")
    network = data.object("network")
    attached = attachments.parse(network)
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
        attachments=attached,
        cpu=cpu,
        memory=Bytes(memory),
        root=Bytes(max(size, least)),
        mounts=tuple(_mount(one) for one in data.objects("mounts")),
        entrypoint=data.text("entrypoint"),
        env=data.mapping("env"),
    )


def _refuse_unoffered(data: Fields, network: Fields) -> None:
    if network.text("public_ip"):
        network.refuse("public_ip", "this node offers no public addresses")
    if data.texts("gpu"):
        data.refuse("gpu", "this node offers no GPU")


def _mount(data: Fields) -> MountSpec:
    """Any mountpoint: an image reads none, and clients send `/` for its boot disk. For containers see `door.py`."""
    return MountSpec(data.text("name"), data.text("mountpoint"))
