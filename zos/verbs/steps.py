"""The steps: what a primitive may ask of the daemons, one call on one door each. Frozen, repeatable, no choices left.

A step that needs what an earlier one answered (a path, a device) names that one by its id; the runner fills it in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from zos.flistd.api.types import MountId
from zos.model.evidence import Evidence
from zos.model.units import Bytes
from zos.mycelium.api.types import IdentityId
from zos.networkd.api.types import NetId, Network, Tap, TapId
from zos.storaged.api.types import DiskId, VolumeId
from zos.vmd.api.types import MachineId


@dataclass(frozen=True, slots=True)
class EnsureDisk:
    """A block file."""

    id: DiskId
    size: Bytes

    def describe(self) -> str:
        return f"disk {self.id}"


@dataclass(frozen=True, slots=True)
class DropDisk:
    """Take a disk away; storaged keeps a tombstone."""

    id: DiskId
    evidence: Evidence

    def describe(self) -> str:
        return f"drop disk {self.id}"


@dataclass(frozen=True, slots=True)
class EnsureVolume:
    """A folder with a limit."""

    id: VolumeId
    size: Bytes

    def describe(self) -> str:
        return f"volume {self.id}"


@dataclass(frozen=True, slots=True)
class DropVolume:
    """Take a volume away; storaged keeps a tombstone."""

    id: VolumeId
    evidence: Evidence

    def describe(self) -> str:
        return f"drop volume {self.id}"


@dataclass(frozen=True, slots=True)
class EnsureNetwork:
    """A network resource."""

    network: Network

    def describe(self) -> str:
        return f"network {self.network.name}"


@dataclass(frozen=True, slots=True)
class DropNetwork:
    """Take a network resource away."""

    id: NetId

    def describe(self) -> str:
        return f"drop network {self.id}"


@dataclass(frozen=True, slots=True)
class EnsureIdentity:
    """The key of a network of an earlier step in the Mycelium overlay."""

    network: NetId
    key: bytes = field(repr=False)

    def describe(self) -> str:
        return f"mycelium key of network {self.network}"


@dataclass(frozen=True, slots=True)
class DropIdentity:
    """Answer for a network's mycelium key no longer."""

    id: IdentityId

    def describe(self) -> str:
        return f"drop mycelium key of network {self.id}"


@dataclass(frozen=True, slots=True)
class NeedIdentity:
    """Go on only if this node is in the Mycelium overlay and answers for the network's key."""

    id: IdentityId

    def describe(self) -> str:
        return f"mycelium of network {self.id}"


@dataclass(frozen=True, slots=True)
class EnsureTap:
    """A machine's place in a network."""

    tap: Tap

    def describe(self) -> str:
        return f"tap for {self.tap.ip}" if self.tap.ip else f"{self.tap.place} tap"


@dataclass(frozen=True, slots=True)
class DropTap:
    """Take a tap away, on whichever network it is."""

    id: TapId

    def describe(self) -> str:
        return f"drop tap {self.id}"


@dataclass(frozen=True, slots=True)
class EnsureMount:
    """A flist seen as a folder; with `upper`, what is written goes to that volume of an earlier step."""

    id: MountId
    url: str
    upper: VolumeId | None = None

    def describe(self) -> str:
        return f"flist {self.url}"


@dataclass(frozen=True, slots=True)
class DropMount:
    """Unmount."""

    id: MountId

    def describe(self) -> str:
        return f"unmount {self.id}"


@dataclass(frozen=True, slots=True)
class FillDisk:
    """When the mounted flist is a disk image, copy it onto this disk once; else nothing."""

    disk: DiskId
    mount: MountId

    def describe(self) -> str:
        return f"image to disk {self.disk}"


@dataclass(frozen=True, slots=True)
class Attached:
    """A disk or volume of the same deployment, where a machine wants it."""

    name: str
    id: str
    is_volume: bool
    target: str


@dataclass(frozen=True, slots=True)
class EnsureMachine:
    """A machine on what earlier steps made."""

    id: MachineId
    hostname: str
    cpu: int
    memory: Bytes
    mount: MountId
    tap: TapId
    planetary: TapId | None = None
    mycelium: TapId | None = None
    attached: tuple[Attached, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    entrypoint: str = ""
    paused: bool = False

    def describe(self) -> str:
        return f"machine {self.id}"


@dataclass(frozen=True, slots=True)
class DropMachine:
    """End a machine."""

    id: MachineId

    def describe(self) -> str:
        return f"drop machine {self.id}"


Step = (
    EnsureDisk
    | DropDisk
    | EnsureVolume
    | DropVolume
    | EnsureNetwork
    | DropNetwork
    | EnsureIdentity
    | DropIdentity
    | NeedIdentity
    | EnsureTap
    | DropTap
    | EnsureMount
    | DropMount
    | FillDisk
    | EnsureMachine
    | DropMachine
)

DROPS = (DropDisk, DropVolume, DropNetwork, DropIdentity, DropTap, DropMount, DropMachine)
