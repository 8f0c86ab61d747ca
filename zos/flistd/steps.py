"""What flistd can do to the machine: one mount or unmount each, safe to repeat. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zos.flistd.api.types import MountId


@dataclass(frozen=True, slots=True)
class MountTree:
    """Starts the process that serves the flist of `source` by FUSE."""

    source: str

    @property
    def flist(self) -> str:
        return self.source.partition("-")[0]

    def describe(self) -> str:
        return f"serve the flist {self.source[:12]}…"


@dataclass(frozen=True, slots=True)
class DropTree:
    """Unmount a flist; its process ends by itself."""

    source: str

    def describe(self) -> str:
        return f"unmount the flist {self.source[:12]}…"


@dataclass(frozen=True, slots=True)
class PutMount:
    """Show a served flist at a mount's place, under a writable layer when there is one."""

    id: MountId
    source: str
    upper: Path | None

    def describe(self) -> str:
        return f"mount {self.id}{' with a writable layer' if self.upper else ''}"


@dataclass(frozen=True, slots=True)
class DropMount:
    """Unmounts what is at a mount's place and removes the place."""

    id: MountId

    def describe(self) -> str:
        return f"unmount {self.id}"


Step = MountTree | DropTree | PutMount | DropMount
