"""What zdbd needs of a host; contract tests run on the real one and on the fake."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from zos.zdbd.model import ObservedServer
from zos.zdbd.steps import Step


class Host(Protocol):
    """The processes of the disks."""

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call back when a process ends by itself."""

    def pools(self) -> frozenset[str]:
        """The pools whose process runs."""

    async def observe(self, pool: str) -> ObservedServer | None:
        """The process of a pool, asked just now; None when it does not run. Raises when it does not answer."""

    async def apply(self, steps: Sequence[Step]) -> None:
        """Apply the steps in order; raises at the first that fails."""

    async def close(self) -> None:
        """End every process, each when what it acknowledged is on the disk."""
