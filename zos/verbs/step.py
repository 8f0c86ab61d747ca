"""A step: one call on one daemon, with every choice made. The modules beside this one hold each daemon's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from zos.bus.client import Bus, DaemonClient

A = TypeVar("A")
A_co = TypeVar("A_co", covariant=True)
C = TypeVar("C", bound=DaemonClient)


class Clients:
    """Clients of the node's daemons, by their class."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._made: dict[type[DaemonClient], Any] = {}

    def of(self, kind: type[C]) -> C:
        """Makes the client when it is asked for the first time."""
        if kind not in self._made:
            self._made[kind] = kind(self._bus)
        client: C = self._made[kind]
        return client


class Step(Generic[A_co]):
    """Subclasses are frozen dataclasses. Performing one twice does no harm; its answer is an `A`.

    A step that uses what an earlier one answered (a path, a device) holds that step and asks `answers` for it.
    """

    __slots__ = ()
    drops: ClassVar[bool] = False
    """It removes something."""
    erases: ClassVar[bool] = False
    """It removes what a tenant may have written to, and has evidence."""
    runs: ClassVar[bool] = False
    """From here on a tenant may write to what was made of his workload."""

    def describe(self) -> str:
        """As the history of a deployment shows it."""
        raise NotImplementedError

    async def perform(self, clients: Clients, answers: Answers) -> A_co:
        """Calls the daemon. The executor may call this again after a kill; the daemon then finds it done."""
        raise NotImplementedError

    async def is_there(self, clients: Clients) -> bool:
        """Of a step that erases: whether the node has what it would remove."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Beside:
    """Rows of steps that need nothing of each other: they are performed side by side, each row in its order."""

    rows: tuple[tuple[Step[Any], ...], ...]


Steps = tuple[Step[Any] | Beside, ...]
"""In the order in which they are performed."""


def each(steps: Steps) -> Iterator[Step[Any]]:
    """Without regard to which of them are performed side by side."""
    for one in steps:
        if isinstance(one, Beside):
            for row in one.rows:
                yield from row
        else:
            yield one


class Answers:
    """What the daemons answered to the steps of one workload so far."""

    def __init__(self) -> None:
        self._answers: dict[Step[Any], Any] = {}

    def __getitem__(self, step: Step[A]) -> A:
        answer: A = self._answers[step]
        return answer

    def put(self, step: Step[A], answer: A) -> None:
        self._answers[step] = answer
