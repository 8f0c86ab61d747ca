"""Taps: one ledger and one way to ask for a tap, whatever its place.

Whose plan makes a tap depends on its place: the network's (`manager.py`) or that of a bridge of the node
(`segments.py`).
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from zos.errors import Kind, ZosError
from zos.networkd import check, model, places
from zos.networkd.api.errors import BadTap
from zos.networkd.api.types import NetId, Place, Tap, TapId, TapInfo
from zos.networkd.host.contract import Host
from zos.networkd.model import Link
from zos.networkd.place import InNetwork
from zos.networkd.removals import Removals
from zos.runtime.daemon import Runtime
from zos.runtime.ledger import Ledger, Upgrade


def _placed(place: Place) -> Mapping[int, Upgrade]:
    """Version 1 had a ledger per place, whose records did not name it."""

    def upgrade(body: Any) -> Any:
        return {**body, "place": place.value}

    return {1: upgrade}


def open_ledger(rt: Runtime) -> Ledger[Tap]:
    """The ledger of taps, with what an earlier release kept in ledgers of their own."""
    taps = rt.ledger("taps", Tap, version=2, upgrades=_placed(Place.NETWORK))
    for place in (Place.PLANETARY, Place.MYCELIUM):
        folder = rt.state_dir / place.value
        if folder.exists():
            former = rt.ledger(place.value, Tap, version=2, upgrades=_placed(place))
            for id, tap in former.items():
                taps.put(id, tap)
                former.drop(id)
            with contextlib.suppress(OSError):  # a record that could not be read was set aside there
                folder.rmdir()
    return taps


class TapStore:
    """The taps that were asked for."""

    def __init__(self, ledger: Ledger[Tap], removals: Removals) -> None:
        self._ledger = ledger
        self.removals = removals

    def get(self, id: TapId) -> Tap | None:
        return self._ledger.get(id)

    def put(self, tap: Tap) -> None:
        self._ledger.put(tap.id, tap)

    def drop(self, id: TapId) -> None:
        if id in self._ledger:
            self.removals.add(model.tap(id))
            self._ledger.drop(id)

    def all(self) -> tuple[Tap, ...]:
        return tuple(tap for _, tap in self._ledger.items())

    def of_network(self, id: NetId) -> tuple[Tap, ...]:
        return tuple(tap for tap in self.all() if tap.network == id)

    def of_place(self, place: Place) -> tuple[Tap, ...]:
        return tuple(tap for tap in self.all() if tap.place is place)

    def devices(self) -> frozenset[str]:
        return frozenset(model.tap(tap.id) for tap in self.all())


class TapOwner(Protocol):
    """Who makes the taps of a place."""

    def lock(self, tap: Tap) -> AbstractAsyncContextManager[None]:
        """Held while a tap is accepted, made or removed."""

    async def admit(self, tap: Tap, before: Tap | None) -> Tap:
        """The tap as it is accepted; raises when it cannot be."""

    async def make(self, tap: Tap) -> TapInfo:
        """Make the tap, which is in the store."""

    async def remove(self, tap: Tap) -> None:
        """Remove the tap, which is no longer in the store."""

    def info(self, tap: Tap, observed: Link | None) -> TapInfo | None:
        """The answer for a tap; None while what it follows from is not known."""


class TapManager:
    """Accepts, removes and lists taps."""

    def __init__(
        self, host: Host, store: TapStore, networks: TapOwner, segments: TapOwner, wake: Callable[[], None]
    ) -> None:
        self._host = host
        self._store = store
        self._networks = networks
        self._segments = segments
        self._wake = wake

    async def ensure(self, desired: Tap) -> TapInfo:
        """Accept a tap and make it.

        A tap that is refused leaves the former one in force; one that only failed for now is made later.
        """
        tap = check.canonical_tap(dataclasses.replace(desired, waits=False, overlay=""))
        owner = self._owner(tap)
        async with owner.lock(tap):
            before = self._store.get(tap.id)
            if before is not None and before.place is not tap.place:
                raise BadTap(tap=tap.id, field="place", problem=f"is {before.place}; drop that tap first")
            tap = await owner.admit(tap, before)
            self._store.put(tap)
            try:
                return await owner.make(tap)
            except ZosError as err:
                if err.kind is not Kind.NOT_NOW:
                    self._put_back(tap.id, before)
                raise

    def _put_back(self, id: TapId, before: Tap | None) -> None:
        if before is None:
            self._store.drop(id)
        else:
            self._store.put(before)
        self._wake()

    async def drop(self, id: TapId) -> None:
        """Remove a tap; an unknown id is fine."""
        tap = self._store.get(id)
        if tap is None:
            return
        owner = self._owner(tap)
        async with owner.lock(tap):
            self._store.drop(id)
            await owner.remove(tap)
            self._store.removals.over((model.tap(id),))

    async def list(self) -> tuple[TapInfo, ...]:
        """All taps whose addresses are known, with their counters."""
        observed = await self._host.taps()
        infos = (self._owner(tap).info(tap, observed.get(model.tap(tap.id))) for tap in self._store.all())
        return tuple(info for info in infos if info is not None)

    def _owner(self, tap: Tap) -> TapOwner:
        return self._networks if isinstance(places.found()[tap.place], InNetwork) else self._segments
