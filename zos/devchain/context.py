"""What a pallet's code is given while a call or a block is executed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from zos.devchain.errors import Refusal
from zos.devchain.state import Overlay, Typed
from zos.scale.pallet import Pallet

_BARE: dict[str, bool] = {}
"""Events by name: whether they carry nothing."""


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
    pays: bool = False
    """Whether the call that runs costs its fee although it is of a kind that is free."""

    @property
    def seconds(self) -> int:
        """Unix seconds of this block."""
        return self.now // 1000

    def get(self, name: str, *keys: Any) -> Any:
        """The value under `keys`, or the item's default."""
        return self.storage.get(name, *keys)

    def part(self, name: str, *keys: Any, field: str) -> Any:
        """One field of a stored struct; None when there is no entry."""
        return self.storage.part(name, *keys, field=field)

    def has(self, name: str, *keys: Any) -> bool:
        """Whether there is an entry."""
        return self.storage.has(name, *keys)

    def put(self, name: str, *keys_and_value: Any) -> None:
        """Stores the last argument under the keys before it."""
        self.storage.put(name, *keys_and_value)

    def drop(self, name: str, *keys: Any) -> None:
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
        bare = _BARE.get(name)
        if bare is None:
            declared = next(one for one in self.pallets[pallet].events if one.name == event)
            bare = _BARE[name] = not declared.fields
        inner = event if bare else {event: content}
        phase = "Initialization" if self.extrinsic is None else {"ApplyExtrinsic": self.extrinsic}
        self.events.append({"phase": phase, "event": {pallet: inner}, "topics": []})

    def need(self, true: object, error: str) -> None:
        """Refuse with `Pallet.Error` unless something holds."""
        if not true:
            pallet, _, name = error.partition(".")
            raise Refusal(pallet, name)

    @contextlib.contextmanager
    def isolated(self) -> Iterator[None]:
        """A storage layer of its own: a refusal inside leaves nothing behind, but is raised on."""
        typed, before = self.storage, len(self.events)
        assert isinstance(typed.store, Overlay)
        layer = Overlay(typed.store)
        self.storage = typed.over(layer)
        try:
            yield
        except Exception:
            del self.events[before:]
            raise
        else:
            layer.merge()
        finally:
            self.storage = typed
