"""What storaged needs of a host; the real one and the fake keep the same promise."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Protocol

from zos.storaged.api.types import Kind
from zos.storaged.model import Fill, ObservedDevice, ObservedPool
from zos.storaged.steps import Step

Item = tuple[Kind, str]


class Host(Protocol):
    """Observes devices and pools, takes steps, copies images."""

    async def devices(self) -> tuple[ObservedDevice, ...]:
        """The devices that may be pools."""

    async def observe(self, pool: str, only: Item | None = None) -> ObservedPool:
        """A pool's file system; with `only`, of its contents just that disk or volume."""

    async def apply(self, steps: Sequence[Step]) -> None:
        """Take the steps, in order; raises at the first that fails."""

    async def fill(self, fill: Fill, stop: threading.Event) -> None:
        """Copy an image to the disk's part file, to its end and synced; ends early when told to stop."""
