"""What a pallet's code is given while a call or a block is executed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from zos.devchain.errors import Refusal
from zos.devchain.state import Typed
from zos.scale.pallet import Pallet


@dataclass
class Context:
    """Storage, events, the block."""

    storage: Typed
    pallets: Mapping[str, Pallet]
    block: int
    now: int
    """Unix milliseconds of this block."""
    author: bytes
    extrinsic: int | None = None
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def seconds(self) -> int:
        """Unix seconds of this block."""
        return self.now // 1000

    def get(self, name: str, *keys: Any) -> Any:
        """A stored value."""
        return self.storage.get(name, *keys)

    def has(self, name: str, *keys: Any) -> bool:
        """Whether there is an entry."""
        return self.storage.has(name, *keys)

    def put(self, name: str, *keys_and_value: Any) -> None:
        """Store a value."""
        self.storage.put(name, *keys_and_value)

    def drop(self, name: str, *keys: Any) -> None:
        """Remove an entry."""
        self.storage.drop(name, *keys)

    def count(self, name: str) -> int:
        """The next number of a counter."""
        number = int(self.get(name)) + 1
        self.put(name, number)
        return number

    def emit(self, name: str, *values: Any, **named: Any) -> None:
        """Raise an event, `Pallet.Event`."""
        pallet, _, event = name.partition(".")
        content: Any = named or (values[0] if len(values) == 1 else values)
        declared = next(one for one in self.pallets[pallet].events if one.name == event)
        inner = {event: content} if declared.fields else event
        phase = "Initialization" if self.extrinsic is None else {"ApplyExtrinsic": self.extrinsic}
        self.events.append({"phase": phase, "event": {pallet: inner}, "topics": []})

    def need(self, true: object, error: str) -> None:
        """Refuse with `Pallet.Error` unless something holds."""
        if not true:
            pallet, _, name = error.partition(".")
            raise Refusal(pallet, name)
