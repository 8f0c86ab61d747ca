"""What flistd does to the machine, one mount at a time. Each step is safe to repeat."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zos.flistd.api.types import MountId


@dataclass(frozen=True, slots=True)
class MountTree:
    """Serve a flist."""

    source: str

    @property
    def flist(self) -> str:
        """Which one."""
        return self.source.partition("-")[0]


@dataclass(frozen=True, slots=True)
class DropTree:
    """Unmount a flist; its process ends by itself."""

    source: str


@dataclass(frozen=True, slots=True)
class PutMount:
    """Show a served flist at a mount's place, under a writable layer when there is one."""

    id: MountId
    source: str
    upper: Path | None


@dataclass(frozen=True, slots=True)
class DropMount:
    """Clear a mount's place."""

    id: MountId


Step = MountTree | DropTree | PutMount | DropMount


def describe(step: Step) -> str:
    """For people."""
    match step:
        case MountTree(source):
            return f"serve the flist {source[:12]}…"
        case DropTree(source):
            return f"unmount the flist {source[:12]}…"
        case PutMount(id, _, upper):
            return f"mount {id}{' with a writable layer' if upper else ''}"
        case DropMount(id):
            return f"unmount {id}"
