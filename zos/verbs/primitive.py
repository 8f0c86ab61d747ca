"""What a workload type is: one class per folder of `zos/primitives/`, found by looking."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar, Generic, TypeVar

import zos.primitives
from zos.errors import Status, ZosError
from zos.model.capacity import Capacity
from zos.model.challenge import GRID_TYPES, Challenge
from zos.model.decode import Fields
from zos.model.deployment import ResultState
from zos.model.evidence import Evidence
from zos.model.names import WorkloadId
from zos.verbs.steps import Step

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


class Unchanged(ZosError):
    """The change cannot be made; the workload goes on as it was."""

    reason = "workload.unchanged"
    status = Status.FAILED_PRECONDITION
    text = "{problem}"


@dataclass(frozen=True, slots=True)
class Sibling:
    """Another workload of the same deployment."""

    type: str
    data: Mapping[str, Any]
    state: ResultState


@dataclass(frozen=True, slots=True)
class Need:
    """A workload that another one cannot be made without."""

    name: str
    shared: bool = False
    """Of a sharable type: it may live in any deployment of the twin on this node."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Read-only surroundings of a plan."""

    twin: int
    contract: int
    name: str
    siblings: Mapping[str, Sibling] = field(default_factory=dict)
    paused: bool = False
    evidence: Evidence | None = None
    """Set when something is to be dropped."""

    def proof(self) -> Evidence:
        """The evidence, which a plan that drops data must have."""
        if self.evidence is None:
            raise AssertionError("a drop was planned without evidence")
        return self.evidence


Outcomes = Mapping[str, Any]
"""What the doors answered, by the id in the step."""


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
    features: ClassVar[tuple[str, ...]] = ()
    """What the node offers because of this type, beside the type itself."""

    def parse(self, data: Fields) -> S:
        """The user's words, checked."""
        raise NotImplementedError

    @property
    def challenge(self) -> Challenge:
        """The type's piece of the signed text; those of the grid's own types stand in the model."""
        return GRID_TYPES[self.wire_type]

    def check(self, spec: S, path: str, siblings: Mapping[str, str]) -> None:
        """Refuse what only shows beside the other workloads (name → type) of the deployment."""

    def capacity(self, spec: S) -> Capacity:
        """What it takes of the node."""
        return Capacity()

    def change(self, want: S, have: S, facts: Facts) -> None:
        """Raise Unchanged when the one cannot become the other in place."""

    def needs(self, spec: S) -> tuple[Need, ...]:
        """What has to be there first: the workload waits while one of these is being made."""
        return ()

    def make(self, id: WorkloadId, spec: S, facts: Facts, previous: S | None = None) -> tuple[Step, ...]:
        """All steps that make or heal it; each is safe to repeat, and its daemon compares with what is there.

        `previous` is the spec that was in force before, for the rare part that only the old one had.
        """
        raise NotImplementedError

    def drop(self, id: WorkloadId, spec: S, facts: Facts) -> tuple[Step, ...]:
        """All steps that remove what `make` made of this spec."""
        raise NotImplementedError

    def result(self, id: WorkloadId, spec: S, done: Outcomes, facts: Facts) -> Any:
        """`result.data`, as clients read it."""
        return None


@cache
def _loaded(name: str) -> Primitive[Any]:
    module = importlib.import_module(f"zos.primitives.{name}")
    found = module.PRIMITIVE
    if not isinstance(found, Primitive):
        raise TypeError(f"zos.primitives.{name}.PRIMITIVE is no Primitive")
    return found


def find() -> dict[str, Primitive[Any]]:
    """Every type there is, by its wire name, in the order in which they are made."""
    names = sorted(entry.name for entry in pkgutil.iter_modules(zos.primitives.__path__) if entry.ispkg)
    return ordered(_loaded(name) for name in names)


def ordered(primitives: Iterable[Primitive[Any]]) -> dict[str, Primitive[Any]]:
    """A topological sort of `after` and `before`; names decide where those do not."""
    waiting = {one.wire_type: one for one in primitives}
    needs = {name: {other for other in one.after if other in waiting} for name, one in waiting.items()}
    for name, one in waiting.items():
        for other in one.before:
            if other in needs:
                needs[other].add(name)
    done: dict[str, Primitive[Any]] = {}
    while waiting:
        free = sorted(name for name in waiting if needs[name] <= done.keys())
        if not free:
            raise ValueError(f"the order of {', '.join(sorted(waiting))} is a circle")
        for name in free:
            done[name] = waiting.pop(name)
    return done
