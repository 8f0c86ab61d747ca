"""What building or removing a lab does to the machine, one action each. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zos.lab.addresses import Addresses
from zos.lab.topology import Box
from zos.model.units import Bytes


@dataclass(frozen=True, slots=True)
class MakeFolder:
    """A folder of the lab's own."""

    path: Path

    def describe(self) -> str:
        return f"folder {self.path}"


@dataclass(frozen=True, slots=True)
class MakeMountPoint:
    """A folder of the machine that boxes mount theirs over; claimed, so that the last lab removes it again."""

    path: Path

    def describe(self) -> str:
        return f"mount point {self.path}"


@dataclass(frozen=True, slots=True)
class WriteFile:
    """A file of the lab's own."""

    path: Path
    text: str

    def describe(self) -> str:
        return f"file {self.path}"


@dataclass(frozen=True, slots=True)
class CopyTree:
    """A box's own copy of a folder of the machine (empty when the machine has none)."""

    source: Path
    target: Path

    def describe(self) -> str:
        return f"copy of {self.source} in {self.target}"


@dataclass(frozen=True, slots=True)
class MakeCertificates:
    """An authority and a server's certificate for these addresses."""

    folder: Path
    addresses: tuple[str, ...]

    def describe(self) -> str:
        return "certificates"


@dataclass(frozen=True, slots=True)
class MakeDisk:
    """A sparse file that stands for a disk."""

    path: Path
    size: Bytes

    def describe(self) -> str:
        return f"disk {self.path}"


@dataclass(frozen=True, slots=True)
class AttachLoop:
    """A block device for a disk's file."""

    path: Path

    def describe(self) -> str:
        return f"loop device for {self.path}"


@dataclass(frozen=True, slots=True)
class StartBox:
    """A box: its namespaces, its init."""

    box: Box
    addresses: Addresses

    def describe(self) -> str:
        return f"box {self.box.name}"


@dataclass(frozen=True, slots=True)
class ConnectHost:
    """This machine's own interface in the lab's network."""

    addresses: Addresses

    def describe(self) -> str:
        return f"this machine's interface {self.addresses.host_link}"


@dataclass(frozen=True, slots=True)
class KillBox:
    """End a box's init; the kernel ends everything inside."""

    name: str
    pid: int

    def describe(self) -> str:
        return f"end of box {self.name}"


@dataclass(frozen=True, slots=True)
class DisconnectHost:
    def describe(self) -> str:
        return "removal of this machine's interface"


@dataclass(frozen=True, slots=True)
class Unmount:
    """Remove a mount that something left in the machine's own mount namespace."""

    path: Path

    def describe(self) -> str:
        return f"unmount of {self.path}"


@dataclass(frozen=True, slots=True)
class DetachLoop:
    """Let go of a disk's block device."""

    device: Path

    def describe(self) -> str:
        return f"release of {self.device}"


@dataclass(frozen=True, slots=True)
class RemoveFolder:
    """Delete a folder of the lab's own with all that is in it."""

    path: Path

    def describe(self) -> str:
        return f"removal of {self.path}"


@dataclass(frozen=True, slots=True)
class ReleaseMountPoints:
    """Delete the mount points that labs made, if they are empty and no other lab needs them."""

    def describe(self) -> str:
        return "removal of mount points"


Step = (
    MakeFolder
    | MakeMountPoint
    | WriteFile
    | CopyTree
    | MakeCertificates
    | MakeDisk
    | AttachLoop
    | StartBox
    | ConnectHost
    | KillBox
    | DisconnectHost
    | Unmount
    | DetachLoop
    | RemoveFolder
    | ReleaseMountPoints
)
