"""The names and records of mounts, and what flistd observes of them. Pure.

    <mounts>/.trees/<flist>-<n>      a flist, served by a process of its own; shared by all mounts of it
    <mounts>/<id>                    the same seen again (bind), or an overlay over it

All three kinds of mount carry `<flist>-<n>` as their source, so that /proc says which one stands on which.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from zos.flistd.api.check import url_problem
from zos.flistd.api.errors import BadMount
from zos.flistd.api.types import Mount, MountId
from zos.runtime.linux import Mounted

TREES = ".trees"
FILE_SYSTEM = "fuse.zos"
OVERLAY = "overlay"
RW, WORK = "rw", "wd"
"""The folders below `upper`, as on every node of the grid."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_HASH = re.compile(r"[0-9a-f]{64}")
_SOURCE = re.compile(r"([0-9a-f]{64})-([0-9]{1,9})")
_UPPER = re.compile(r",upperdir=([^,]*)")


@dataclass(frozen=True, slots=True)
class MountRecord:
    """A mount that was asked for (ledger `mounts`), and the hash of its flist ("" while it is not fetched)."""

    mount: Mount
    flist: str = ""


@dataclass(frozen=True, slots=True)
class DesiredMount:
    """A mount that shall be there."""

    flist: str
    upper: Path | None


@dataclass(frozen=True, slots=True)
class ObservedTree:
    """A flist that is mounted."""

    source: str
    alive: bool
    """Somebody serves it; a dead one only gives errors."""

    @property
    def flist(self) -> str:
        """Hash of the flist."""
        return self.source.partition("-")[0]

    @property
    def number(self) -> int:
        """The last part of the source: the n-th mount of this flist."""
        return int(self.source.partition("-")[2])


@dataclass(frozen=True, slots=True)
class ObservedMount:
    """What is mounted at a mount's place; `source` is empty when it is not ours."""

    source: str
    upper: Path | None


@dataclass(frozen=True, slots=True)
class ObservedMounts:
    """Everything that is mounted below the folder of mounts."""

    trees: tuple[ObservedTree, ...] = ()
    mounts: Mapping[MountId, tuple[ObservedMount, ...]] = field(default_factory=dict)
    """Bottom first where several lie on each other."""


def canonical(asked: Mount, hub: str) -> Mount:
    """The request with its URL complete; raises BadMount."""
    if not _ID.fullmatch(asked.id):
        raise BadMount(mount=asked.id[:200], field="the id", problem="must be letters, digits, `.`, `_` and `-`")
    if asked.hash and not _HASH.fullmatch(asked.hash.lower()):
        raise BadMount(mount=asked.id, field="the hash", problem="must be 64 hex digits")
    url = asked.url
    if "://" not in url:
        if not hub or not url:
            raise BadMount(mount=asked.id, field="the URL", problem="names no host, and this node has no hub")
        url = f"{hub.rstrip('/')}/{url.lstrip('/')}"
    if problem := url_problem(url):
        raise BadMount(mount=asked.id, field="the URL", problem=problem)
    upper = asked.upper
    if upper is not None and (not upper.is_absolute() or set(str(upper)) & set(",:\\\n")):
        raise BadMount(mount=asked.id, field="upper", problem="must be an absolute path without , : and \\")
    return Mount(asked.id, url, upper, asked.hash.lower())


def observed_mounts(mounted: Iterable[Mounted], folder: Path, serving: frozenset[str]) -> ObservedMounts:
    """The mounts of mountinfo that are ours; `serving` are the sources that a process serves."""
    trees: list[ObservedTree] = []
    mounts: dict[MountId, tuple[ObservedMount, ...]] = {}
    for one in mounted:
        point = one.point
        ours = one.kind in (FILE_SYSTEM, OVERLAY) and _SOURCE.fullmatch(one.source) is not None
        if point.parent == folder / TREES and ours and point.name == one.source:
            trees.append(ObservedTree(one.source, one.source in serving))
        elif point.parent == folder and _ID.fullmatch(point.name):
            # Whatever lies at a mount's place counts, so that what does not belong there is cleared.
            id = MountId(point.name)
            upper = _UPPER.search(f",{one.options}")
            rw = Path(upper.group(1)).parent if upper else None
            mounts[id] = (*mounts.get(id, ()), ObservedMount(one.source if ours else "", rw))
    return ObservedMounts(tuple(trees), mounts)
