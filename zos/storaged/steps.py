"""What storaged can do to the machine: one step, one effect, safe to repeat. `describe()` follows "could not". Pure."""

from __future__ import annotations

from dataclasses import dataclass

from zos.model.units import show
from zos.storaged.api.types import Kind


@dataclass(frozen=True, slots=True)
class FormatDevice:
    """Make a pool on a blank device; `again` when our own earlier attempt was cut off."""

    pool: str
    device: str
    again: bool = False

    def describe(self) -> str:
        return f"format {self.device} as pool {self.pool}"


@dataclass(frozen=True, slots=True)
class MountPool:
    """Mount a pool at its place."""

    pool: str
    device: str

    def describe(self) -> str:
        return f"mount {self.device} as pool {self.pool}"


@dataclass(frozen=True, slots=True)
class PreparePool:
    """Make the pool's folders and switch quotas on."""

    pool: str

    def describe(self) -> str:
        return f"prepare pool {self.pool}"


@dataclass(frozen=True, slots=True)
class MeasureDevice:
    """Find out whether the device is an SSD, and write that down on the pool."""

    pool: str
    device: str
    rotational: bool

    def describe(self) -> str:
        return f"measure {self.device}"


@dataclass(frozen=True, slots=True)
class CreateDisk:
    """Make a blank disk."""

    pool: str
    id: str
    size: int

    def describe(self) -> str:
        return f"create disk {self.id} of {show(self.size)}"


@dataclass(frozen=True, slots=True)
class GrowDisk:
    """Make a disk longer, in place."""

    pool: str
    id: str
    size: int

    def describe(self) -> str:
        return f"grow disk {self.id} to {show(self.size)}"


@dataclass(frozen=True, slots=True)
class FinishFill:
    """Put a whole image in the place of its blank disk."""

    pool: str
    id: str
    part: str
    size: int
    image: str

    def describe(self) -> str:
        return f"put image {self.image} on disk {self.id}"


@dataclass(frozen=True, slots=True)
class DropPart:
    """Throw away an image whose copy was cut off."""

    pool: str
    part: str

    def describe(self) -> str:
        return f"throw away the cut-off copy {self.part}"


@dataclass(frozen=True, slots=True)
class CreateVolume:
    """Make an empty volume with its limit, and give it to a user."""

    pool: str
    id: str
    size: int
    owner: int = 0

    def describe(self) -> str:
        return f"create volume {self.id} of {show(self.size)}"


@dataclass(frozen=True, slots=True)
class LimitVolume:
    """Set a volume's limit."""

    pool: str
    id: str
    size: int

    def describe(self) -> str:
        return f"limit volume {self.id} to {show(self.size)}"


@dataclass(frozen=True, slots=True)
class MakeTombstone:
    """Move a disk or volume to the tombstones and make it read-only."""

    pool: str
    kind: Kind
    id: str
    name: str

    def describe(self) -> str:
        return f"keep {self.kind} {self.id} as {self.name}"


@dataclass(frozen=True, slots=True)
class RestoreTombstone:
    """Move a tombstone back to its place and make it writable."""

    pool: str
    kind: Kind
    id: str
    name: str

    def describe(self) -> str:
        return f"bring {self.kind} {self.id} back from {self.name}"


@dataclass(frozen=True, slots=True)
class EraseTombstone:
    """Delete a tombstone for good."""

    pool: str
    kind: Kind
    name: str

    def describe(self) -> str:
        return f"erase {self.name}"


@dataclass(frozen=True, slots=True)
class CreateCache:
    """Make the node's cache volume."""

    pool: str
    size: int

    def describe(self) -> str:
        return f"create the cache volume of {show(self.size)}"


@dataclass(frozen=True, slots=True)
class LimitCache:
    """Set the cache volume's limit."""

    pool: str
    size: int

    def describe(self) -> str:
        return f"limit the cache volume to {show(self.size)}"


@dataclass(frozen=True, slots=True)
class MountCache:
    """Show the cache volume at its place."""

    pool: str

    def describe(self) -> str:
        return "mount the cache volume"


Step = (
    FormatDevice
    | MountPool
    | PreparePool
    | MeasureDevice
    | CreateDisk
    | GrowDisk
    | FinishFill
    | DropPart
    | CreateVolume
    | LimitVolume
    | MakeTombstone
    | RestoreTombstone
    | EraseTombstone
    | CreateCache
    | LimitCache
    | MountCache
)
