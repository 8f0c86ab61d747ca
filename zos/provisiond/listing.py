"""Lists of deployments as JSON, whole or brief: what is not asked for is never written, and an answer is bounded. Pure.

Whoever asks needs a few hundred bytes for it; what is answered may be all that a twin has here.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from zos.model.deployment import ResultState, encode
from zos.model.units import MiB
from zos.provisiond.api.errors import TooMuchToList
from zos.provisiond.model import Item, Record

MOST_LISTED = int(MiB(4))
"""Bytes of a list."""
_OVER = (ResultState.ERROR, ResultState.DELETED)


def is_active(record: Record) -> bool:
    """Whether a deployment has more than failed and deleted workloads."""
    return any(item.state not in _OVER for item in record.items if not item.leaving)


def whole(records: Collection[Record]) -> bytes:
    """Deployments as clients read them; raises TooMuchToList."""
    if sum(record.length for record in records) > MOST_LISTED:
        # A refusal costs nothing to ask for, again and again.
        raise TooMuchToList(most=MOST_LISTED)
    return _joined(encode(record.deployment()) for record in records)


def brief(records: Iterable[Record], types: Collection[str] = (), keys: Collection[str] = ()) -> bytes:
    """Names, types and results of workloads, in the same form; raises TooMuchToList.

    With types, only workloads of these; of their data, these keys, in any case.
    """
    names = frozenset(key.lower() for key in keys)
    return _joined(_brief(record, types, names) for record in records)


def _brief(record: Record, types: Collection[str], keys: frozenset[str]) -> dict[str, Any] | None:
    items = [item for item in record.items if not item.leaving and (not types or item.type in types)]
    if not items:
        return None
    workloads = [_brief_workload(item, keys) for item in items]
    return {"twin_id": record.twin, "contract_id": record.contract, "workloads": workloads}


def _brief_workload(item: Item, keys: frozenset[str]) -> dict[str, Any]:
    result = item.workload().result
    told = {"created": result.created, "state": result.state, "message": result.message, "data": result.data}
    data = {key: value for key, value in item.data.items() if key.lower() in keys} if keys else {}
    return {"name": item.name, "type": item.type, "data": data, "result": told}


def _joined(documents: Iterable[Any]) -> bytes:
    return b"[" + b",".join(_bounded(documents)) + b"]"


def _bounded(documents: Iterable[Any]) -> Iterator[bytes]:
    size = 0
    for document in documents:
        if document is None:
            continue
        data = json.dumps(document).encode()
        size += len(data) + 1
        if size > MOST_LISTED:
            raise TooMuchToList(most=MOST_LISTED)
        yield data
