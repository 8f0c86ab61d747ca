"""A host over dictionaries: for tests and simulations."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from zos.errors import ZosError
from zos.flistd.api.errors import FlistMismatch, FlistUnreachable, MountFailed
from zos.flistd.api.types import MountId
from zos.flistd.host.contract import Content
from zos.flistd.model import ObservedMount, ObservedMounts, ObservedTree
from zos.flistd.steps import DropMount, DropTree, MountTree, PutMount, Step


@dataclass
class FakeHost:
    """Remembers what was mounted; `web` is what lies at which URL."""

    web: dict[str, Content | ZosError] = field(default_factory=dict)
    kept: dict[str, Content] = field(default_factory=dict)
    trees: dict[str, bool] = field(default_factory=dict)
    mounts: dict[MountId, tuple[ObservedMount, ...]] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)
    silent: set[str] = field(default_factory=set)
    """URLs that nobody answers at, for ever."""
    broken: type[Step] | None = None
    """Steps of this kind fail."""
    hung: set[str] = field(default_factory=set)
    """Mounts and trees at which no step comes back."""
    told: dict[str, str] = field(default_factory=dict)
    """What cannot be read, by flist."""
    cramped: bool = False
    tidied: int = 0
    callback: Callable[[], None] = lambda: None

    def on_change(self, callback: Callable[[], None]) -> None:
        self.callback = callback

    def close(self) -> None:
        """Holds no descriptors."""

    def kill(self, source: str) -> None:
        """The process that serves this flist dies, and the manager is told."""
        self.trees[source] = False
        self.callback()

    async def obtain(self, url: str, hash: str, tenant: str) -> Content:
        if hash in self.kept:
            return self.kept[hash]
        self.fetched.append(url)
        if url in self.silent:
            await asyncio.Event().wait()
        found = self.web.get(url)
        if found is None:
            raise FlistUnreachable(url=url, problem="nobody answers")
        if isinstance(found, ZosError):
            raise found
        if hash and found.flist != hash:
            raise FlistMismatch(url=url, found=found.flist, expected=hash)
        self.kept[found.flist] = found
        return found

    async def known(self, flists: Collection[str]) -> Mapping[str, Content]:
        return {flist: self.kept[flist] for flist in flists if flist in self.kept}

    async def tidy(self, wanted: Mapping[str, Collection[str]]) -> None:
        self.tidied += 1
        self.kept = {flist: content for flist, content in self.kept.items() if flist in wanted}

    async def is_cramped(self) -> bool:
        return self.cramped

    async def observe(self) -> ObservedMounts:
        return ObservedMounts(
            tuple(ObservedTree(source, alive) for source, alive in self.trees.items()), dict(self.mounts)
        )

    async def troubles(self) -> Mapping[str, str]:
        return dict(self.told)

    async def apply(self, step: Step) -> None:
        if self.broken is not None and isinstance(step, self.broken):
            raise MountFailed(action=step.describe(), problem="the fake was told to")
        if (step.source if isinstance(step, MountTree | DropTree) else step.id) in self.hung:
            await asyncio.Event().wait()
        self.steps.append(step)
        match step:
            case MountTree(source):
                self.trees[source] = True
            case DropTree(source):
                self.trees.pop(source, None)
            case PutMount(id, source, upper):
                if not self.trees.get(source):
                    raise MountFailed(action=step.describe(), problem="nobody serves it")
                self.mounts[id] = (*self.mounts.get(id, ()), ObservedMount(source, upper))
            case DropMount(id):
                self.mounts.pop(id, None)
