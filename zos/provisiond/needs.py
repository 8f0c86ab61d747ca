"""Decides whether what a workload needs is there, on its way, or never coming. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from zos.errors import Status, ZosError
from zos.model.deployment import ResultState
from zos.provisiond.model import LIVE, Phase, Record
from zos.provisiond.plan import Types
from zos.verbs.primitive import Need, NotReady, Waiting


def check(needs: Iterable[Need], record: Record, records: Iterable[Record], types: Types, *, is_made: bool) -> None:
    """Raise Waiting while a needed workload is on its way, NotReady when it is not to come.

    `is_made`: the workload runs already and is only healed, so a change of what it needs is not waited for.
    """
    records = tuple(one for one in records if one.twin == record.twin)
    for need in needs:
        state, is_applied = _find(need, record, records, types)
        if state in LIVE or (is_made and is_applied):
            continue
        if state == ResultState.INIT:
            raise Waiting(what=need.name)
        raise NotReady(what=f"it needs `{need.name}`, which is {state}")


_CONFLICTS = (Status.ALREADY_EXISTS, Status.FAILED_PRECONDITION, Status.RESOURCE_EXHAUSTED)


def is_passing(err: ZosError, twin: int, records: Iterable[Record], types: Types) -> bool:
    """A conflict may pass while something of the twin is being removed: it may hold the address, port or space."""
    if isinstance(err, NotReady) or err.status not in _CONFLICTS:
        return False
    return any(
        item.type in types and (item.leaving or record.phase is Phase.ENDING)
        for record in records
        if record.twin == twin
        for item in record.items
    )


def _find(need: Need, record: Record, records: tuple[Record, ...], types: Types) -> tuple[str, bool]:
    places = (record, *(one for one in records if one.contract != record.contract)) if need.shared else (record,)
    coming = False
    for place in places:
        item = place.item(need.name)
        if place.phase is not Phase.ENDING and item is not None and _is_kind(need, item.type, types):
            return item.state, item.applied is not None
        coming = coming or _is_coming(need, place, types)
    return ("init" if coming else "missing"), False


def _is_coming(need: Need, record: Record, types: Types) -> bool:
    """A document that is accepted and not compared with its contract yet has it."""
    if record.incoming is None:
        return False
    listed: Any = record.incoming.document["workloads"]
    return any(one["name"] == need.name and _is_kind(need, one["type"], types) for one in listed)


def _is_kind(need: Need, type: str, types: Types) -> bool:
    return not need.shared or (type in types and types[type].sharable)
