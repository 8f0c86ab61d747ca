"""What storaged can do to the machine: one step, one effect, safe to repeat. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from zos.model.units import show
from zos.storaged.api.types import Kind


@dataclass(frozen=True, slots=True)
class Format:
    """Make a pool on a blank device; `again` when our own earlier attempt was cut off."""

    pool: str
    device: str
    again: bool = False


@dataclass(frozen=True, slots=True)
class Mount:
    """Mount a pool at its place."""

    pool: str
    device: str


@dataclass(frozen=True, slots=True)
class Prepare:
    """Make the pool's folders and switch quotas on."""

    pool: str


@dataclass(frozen=True, slots=True)
class Measure:
    """Find out whether the device is an SSD, and write that down on the pool."""

    pool: str
    device: str
    rotational: bool


@dataclass(frozen=True, slots=True)
class CreateDisk:
    """Make a blank disk."""

    pool: str
    id: str
    size: int


@dataclass(frozen=True, slots=True)
class GrowDisk:
    """Make a disk longer, in place."""

    pool: str
    id: str
    size: int


@dataclass(frozen=True, slots=True)
class FinishFill:
    """Put a whole image in the place of its blank disk."""

    pool: str
    id: str
    part: str
    size: int
    image: str


@dataclass(frozen=True, slots=True)
class DropPart:
    """Throw away an image that was cut off on its way."""

    pool: str
    part: str


@dataclass(frozen=True, slots=True)
class CreateVolume:
    """Make an empty volume with its limit."""

    pool: str
    id: str
    size: int


@dataclass(frozen=True, slots=True)
class LimitVolume:
    """Set a volume's limit."""

    pool: str
    id: str
    size: int


@dataclass(frozen=True, slots=True)
class Bury:
    """Move a disk or volume to the tombstones and make it read-only."""

    pool: str
    kind: Kind
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Raise:
    """Move a tombstone back to its place and make it writable."""

    pool: str
    kind: Kind
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Erase:
    """Delete a tombstone for good."""

    pool: str
    kind: Kind
    name: str


@dataclass(frozen=True, slots=True)
class CreateCache:
    """Make the node's cache volume."""

    pool: str
    size: int


@dataclass(frozen=True, slots=True)
class LimitCache:
    """Set the cache volume's limit."""

    pool: str
    size: int


@dataclass(frozen=True, slots=True)
class MountCache:
    """Show the cache volume at its place."""

    pool: str


Step = (
    Format
    | Mount
    | Prepare
    | Measure
    | CreateDisk
    | GrowDisk
    | FinishFill
    | DropPart
    | CreateVolume
    | LimitVolume
    | Bury
    | Raise
    | Erase
    | CreateCache
    | LimitCache
    | MountCache
)

_WORDS: dict[type[Step], str] = {
    Format: "format {device} as pool {pool}",
    Mount: "mount {device} as pool {pool}",
    Prepare: "prepare pool {pool}",
    Measure: "measure {device}",
    CreateDisk: "create disk {id} of {size}",
    GrowDisk: "grow disk {id} to {size}",
    FinishFill: "put image {image} on disk {id}",
    DropPart: "throw away the cut-off copy {part}",
    CreateVolume: "create volume {id} of {size}",
    LimitVolume: "limit volume {id} to {size}",
    Bury: "keep {kind} {id} as {name}",
    Raise: "bring {kind} {id} back from {name}",
    Erase: "erase {name}",
    CreateCache: "create the cache volume of {size}",
    LimitCache: "limit the cache volume to {size}",
    MountCache: "mount the cache volume",
}


def describe(step: Step) -> str:
    """A step as words that follow `could not`."""
    facts = {name: getattr(step, name) for name in step.__dataclass_fields__}
    if "size" in facts:
        facts["size"] = show(facts["size"])
    return _WORDS[type(step)].format(**facts)
