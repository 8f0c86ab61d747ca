"""What zdbd records, and what it and the processes of its disks tell each other. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from zos.zdbd.api.types import Mode, Namespace


@dataclass(frozen=True, slots=True)
class NamespaceRecord:
    """A namespace that was asked for (ledger `namespaces`, by its id), and the port of its pool's process."""

    namespace: Namespace
    port: int


@dataclass(frozen=True, slots=True)
class Space:
    """A namespace, as its disk's process is told of it."""

    id: str
    folder: str
    size: int
    is_sequential: bool
    password: str = field(repr=False)
    is_public: bool
    is_frozen: bool


@dataclass(frozen=True, slots=True)
class Desired:
    """All that a disk's process is to serve."""

    port: int
    addresses: tuple[str, ...]
    sync: bool
    spaces: tuple[Space, ...]


@dataclass(frozen=True, slots=True)
class SpaceReport:
    """A namespace as it is served."""

    entries: int = 0
    used: int = 0
    problem: str = ""
    """Why it is not served."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a disk's process answers."""

    spaces: Mapping[str, SpaceReport] = field(default_factory=dict)
    problem: str = ""
    """Why it is not reached as it should be."""

    @property
    def is_whole(self) -> bool:
        """Nothing is to be tried again."""
        return not self.problem and not any(space.problem for space in self.spaces.values())


@dataclass(frozen=True, slots=True)
class ObservedServer:
    """A disk's process that runs."""

    told: Desired | None = None
    """What it was told last."""
    report: Report = field(default_factory=Report)


def space(namespace: Namespace) -> Space:
    """A namespace in the words of its disk's process."""
    return Space(
        id=namespace.id,
        folder=str(namespace.path),
        size=namespace.size,
        is_sequential=namespace.mode is Mode.SEQ,
        password=namespace.password,
        is_public=namespace.public,
        is_frozen=namespace.frozen,
    )
