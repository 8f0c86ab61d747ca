"""What a workload type is: one class per folder of `zos/primitives/`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from zos.errors import Status, ZosError
from zos.model.capacity import Capacity
from zos.model.challenge import GRID_TYPES, Challenge
from zos.model.decode import Fields
from zos.model.deployment import ResultState
from zos.model.evidence import Evidence
from zos.model.names import WorkloadId
from zos.verbs.step import Answers, Step, Steps

S = TypeVar("S")


class BadWorkload(ZosError):
    """A rule of the type that needs more than one field to be seen broken."""

    reason = "workload.bad"
    status = Status.INVALID_ARGUMENT
    text = "{path}: {problem}"


class NotReady(ZosError):
    """A workload that this one uses is not there or not ok."""

    reason = "workload.not_ready"
    status = Status.FAILED_PRECONDITION
    text = "{what}"


class Waiting(ZosError):
    """A workload that this one uses is still being made."""

    reason = "workload.waiting"
    status = Status.UNAVAILABLE
    text = "waiting for {what}"


@contextlib.contextmanager
def refused_at(path: str) -> Iterator[None]:
    """Tell a daemon's refusal by where in the document it is about; daemons know other names for things."""
    try:
        yield
    except ZosError as err:
        raise BadWorkload(path=path, problem=err.facts.get("problem") or err.explain()) from None


class Unchanged(ZosError):
    """The change cannot be made; the workload goes on as it was."""

    reason = "workload.unchanged"
    status = Status.FAILED_PRECONDITION
    text = "{problem}"


class Mountable(StrEnum):
    """How a machine sees a workload that it mounts."""

    DISK = "disk"
    """A block device."""
    FOLDER = "folder"


@dataclass(frozen=True, slots=True)
class Source:
    """Where the node keeps what a machine mounts."""

    path: Path


@dataclass(frozen=True, slots=True)
class Need:
    """A workload that another one cannot be made without."""

    name: str
    shared: bool = False
    """Of a sharable type: it may live in any deployment of the twin on this node."""


@dataclass(frozen=True, slots=True)
class Sibling:
    """Another workload of the same deployment."""

    type: Primitive[Any]
    spec: Any
    """What is in force, or what is to be made."""
    state: ResultState
    result: Any = None
    """The `result.data` of its last success."""

    def uses(self, name: str) -> bool:
        """A running or paused machine that needs the workload of this name."""
        is_there = self.state in (ResultState.OK, ResultState.PAUSED)
        return self.type.is_machine and is_there and Need(name) in self.type.needs(self.spec)


@dataclass(frozen=True, slots=True)
class Facts:
    """What a plan may know of its surroundings."""

    twin: int
    contract: int
    name: str
    siblings: Mapping[str, Sibling] = field(default_factory=dict)
    paused: bool = False
    evidence: Evidence | None = None
    """Set when something is to be dropped."""
    processors: int = 0
    """The node's; set where a document is checked."""

    def proof(self) -> Evidence:
        """The evidence, which a plan that drops data must have."""
        if self.evidence is None:
            raise AssertionError("a drop was planned without evidence")
        return self.evidence


class Primitive(Generic[S]):
    """One workload type. Pure: it parses, counts and plans; the executor acts."""

    wire_type: ClassVar[str]
    after: ClassVar[tuple[str, ...]] = ()
    """Types that are made before this one, when a deployment has them."""
    before: ClassVar[tuple[str, ...]] = ()
    sharable: ClassVar[bool] = False
    """The name is the twin's on this node, over all its deployments."""
    updatable: ClassVar[bool] = True
    pausable: ClassVar[bool] = False
    is_machine: ClassVar[bool] = False
    """Its workloads are machines of vmd, under the workload's id."""
    mountable: ClassVar[Mountable | None] = None
    """How a machine of the deployment can mount it; None: not at all."""
    features: ClassVar[tuple[str, ...]] = ()
    """What the node offers because of this type, beside the type itself."""

    def parse(self, data: Fields) -> S:
        """What the user wrote, checked; called once for each document."""
        raise NotImplementedError

    @property
    def challenge(self) -> Challenge:
        """The type's piece of the signed text; those of the grid's own types stand in the model."""
        return GRID_TYPES[self.wire_type]

    def check(self, spec: S, path: str, facts: Facts) -> None:
        """Refuse what only shows beside the deployment's other workloads, and whatever a daemon would refuse for good.

        Called before the document is accepted: every sibling is there, and none has a result.
        """

    def capacity(self, spec: S) -> Capacity:
        """What it takes of the node."""
        return Capacity()

    def source(self, id: WorkloadId, name: str) -> Step[Source]:
        """The step that finds where a mountable workload lies."""
        raise NotImplementedError

    def change(self, spec: S, previous: S, facts: Facts) -> None:
        """Raise Unchanged when the previous spec, which is in force, cannot become this one."""

    def needs(self, spec: S) -> tuple[Need, ...]:
        """What has to be there first: the workload waits while one of these is being made."""
        return ()

    def make(self, id: WorkloadId, spec: S, facts: Facts, previous: S | None = None) -> Steps:
        """All steps that make or heal it; each is safe to repeat, and its daemon compares with what is there.

        `previous` is the spec that was in force before, for the rare part that only the old one had.
        """
        raise NotImplementedError

    def drop(self, id: WorkloadId, spec: S, facts: Facts) -> tuple[Step[Any], ...]:
        """All steps that remove what `make` made of this spec."""
        raise NotImplementedError

    def result(self, id: WorkloadId, spec: S, answers: Answers, facts: Facts) -> Any:
        """`result.data`, as clients read it."""
        return None
