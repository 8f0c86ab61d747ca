"""The root of everything we refuse.

A refusal is a class: its `reason` is stable and travels over the bus, its `text` says this level's part only,
and `hint` is the person's next move. The chain of causes is joined once, where it is shown (`explain`).
"""

from __future__ import annotations

import string
from collections.abc import Iterator
from enum import StrEnum
from typing import ClassVar


class Status(StrEnum):
    """gRPC's status words that we use; how a caller should take a refusal."""

    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    UNAVAILABLE = "UNAVAILABLE"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    ABORTED = "ABORTED"
    INTERNAL = "INTERNAL"


class Kind(StrEnum):
    """Four kinds of error, named after what happens next."""

    REFUSED = "refused"
    """Becomes the result of what was to be made or changed; what runs goes on."""
    NO_ROOM = "no room"
    """Likewise, with what is missing."""
    NOT_NOW = "not now"
    """The loop retries with back-off."""
    BUG = "our bug"
    """INTERNAL plus an incident id; the traceback stays in the journal."""


_KINDS = {
    Status.RESOURCE_EXHAUSTED: Kind.NO_ROOM,
    Status.UNAVAILABLE: Kind.NOT_NOW,
    Status.DEADLINE_EXCEEDED: Kind.NOT_NOW,
    Status.ABORTED: Kind.NOT_NOW,
    Status.INTERNAL: Kind.BUG,
}


class _Lenient(string.Formatter):
    """Formats what it has: a fact that an older or newer peer did not send must not hide the error."""

    def get_value(self, key: int | str, args: object, kwargs: object) -> object:
        facts = kwargs if isinstance(kwargs, dict) else {}
        return facts.get(key, f"<{key}>")


_FORMATTER = _Lenient()


class ZosError(Exception):
    """A refusal with a stable reason, the facts of this case and a hint.

    Subclasses set the class attributes; raising gives the facts: `raise PoolFull(need=size, gap=gap) from err`.
    """

    reason: ClassVar[str] = "zos.error"
    status: ClassVar[Status] = Status.INTERNAL
    text: ClassVar[str] = "{detail}"
    hint: ClassVar[str] = ""

    known: ClassVar[dict[str, type[ZosError]]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "reason" in cls.__dict__:
            ZosError.known[cls.reason] = cls

    def __init__(self, **facts: object) -> None:
        self.facts: dict[str, str] = {name: str(value) for name, value in facts.items()}
        super().__init__(_FORMATTER.vformat(self.text, (), self.facts))

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.facts))

    @property
    def kind(self) -> Kind:
        """What happens next with this error."""
        return _KINDS.get(self.status, Kind.REFUSED)

    def advice(self) -> str:
        """The hint with this case's facts filled in."""
        return _FORMATTER.vformat(self.hint, (), self.facts)

    def chain(self) -> Iterator[BaseException]:
        """This error and its causes, outermost first."""
        seen: BaseException | None = self
        while seen is not None:
            yield seen
            seen = seen.__cause__

    def explain(self) -> str:
        """The whole chain in one line, for people."""
        return ": ".join(str(part) or type(part).__name__ for part in self.chain())


def _rebuild(cls: type[ZosError], facts: dict[str, str]) -> ZosError:
    return cls(**facts)
