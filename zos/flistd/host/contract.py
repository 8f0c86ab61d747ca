"""What flistd needs of a host; the real one and the fake keep the same promise."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from zos.flist.info import Info
from zos.flistd.model import ObservedMounts
from zos.flistd.steps import Step


@dataclass(frozen=True, slots=True)
class Content:
    """A flist that is here: its hash, and what is to know about it."""

    flist: str
    info: Info


class Host(Protocol):
    """Fetches flists, observes what is mounted, mounts and unmounts."""

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call `callback` when a served flist loses its server."""

    def close(self) -> None:
        """Close connections and watches; what is mounted stays."""

    async def obtain(self, url: str, hash: str, tenant: str) -> Content:
        """The flist at a URL, checked and kept here. Without `hash` the URL is asked for a newer one first.

        `tenant` is whose share of the fetches at the same time it takes.
        """

    async def known(self, flists: Collection[str]) -> Mapping[str, Content]:
        """Those of some flists that were obtained before and are still whole here."""

    async def observe(self) -> ObservedMounts:
        """What is mounted, and whether it is served."""

    async def troubles(self) -> Mapping[str, str]:
        """What of served flists cannot be read now, in words, by flist."""

    async def apply(self, step: Step) -> None:
        """Take one step; raises MountFailed."""

    async def tidy(self, wanted: Mapping[str, Collection[str]]) -> None:
        """Keep the cache within its bounds; what belongs to the flists in `wanted` goes last."""

    async def is_cramped(self) -> bool:
        """Whether the cache has less room than it takes, or nearly."""
