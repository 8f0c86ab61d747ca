"""How much each twin's documents may take of provisiond's memory and disk: most of what they ask for is free. Pure.

What is live is paid for by its size. A document that no contract carries, or of which nothing could be made, costs its
twin nothing more, however long it is.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable

from zos.model.deployment import Deployment, encode
from zos.model.units import KiB, MiB
from zos.provisiond.api.errors import NodeHasTooManyWaiting, TooManyWaiting, TooMuchKept
from zos.provisiond.lifecycle import weight
from zos.provisiond.model import Phase, Record

RECORD = int(KiB(16))
"""Bytes that a record takes beside its documents, about: its history, log and worker."""
MOST_WAITING, MOST_WAITING_BYTES = 100, int(MiB(4))
"""Deployments of one twin that no contract carries (yet), and the bytes that all but the last of them take."""
ALL_WAITING_BYTES = int(MiB(64))
"""Of all twins. One that has some waiting may have half of what the others leave, and whoever has most gives way."""
MOST_IDLE_BYTES, MOST_BYTES = int(MiB(16)), int(MiB(64))
"""Of all but the last of one twin's deployments that contracts carry: those of which nothing is here, and all."""


def waits(deployment: Deployment, records: Iterable[Record]) -> tuple[int, ...]:
    """The contracts whose documents give way to one that no contract carries yet; raises when it has no room."""
    waiting = {record.contract: record for record in records if not record.block}
    own = [record for record in waiting.values() if record.twin == deployment.twin_id]
    held: Counter[int] = Counter()
    for record in waiting.values():
        held[record.twin] += _bytes(record)
    mine = held[deployment.twin_id]
    if len(own) >= MOST_WAITING or mine >= MOST_WAITING_BYTES:
        raise TooManyWaiting(twin=deployment.twin_id, count=len(own))
    gone: list[int] = []
    while (left := ALL_WAITING_BYTES - held.total()) <= 0 or mine > left:
        most = max(held, key=lambda twin: held[twin])
        one = min((one for one in waiting.values() if one.twin == most), key=_age)
        if held[most] - _bytes(one) < mine:
            raise NodeHasTooManyWaiting()
        held[most] -= _bytes(one)
        gone.append(waiting.pop(one.contract).contract)
    return tuple(gone)


def keeps(deployment: Deployment, records: Iterable[Record], before: Record | None = None) -> None:
    """Refuse what a twin has no room for among what contracts carry; `before` is what it follows on."""
    own = [record for record in records if record.twin == deployment.twin_id and record.block]
    idle = [record for record in own if record.is_idle()]
    for found, most, what in ((idle, MOST_IDLE_BYTES, "of which nothing runs"), (own, MOST_BYTES, "in all")):
        held = sum(RECORD + _bytes(one) for one in found)
        if held < most or (before is not None and (before not in found or _size(deployment) <= before.size)):
            continue
        raise TooMuchKept(twin=deployment.twin_id, count=len(found), what=what, most=most)


def _bytes(record: Record) -> int:
    return record.size + (record.incoming.size if record.incoming is not None else 0)


def _size(deployment: Deployment) -> int:
    return weight(json.dumps(encode(deployment)))


def _age(record: Record) -> tuple[bool, int]:
    """What was refused goes before what still waits, the oldest first."""
    since = max((item.created for item in record.items), default=0)
    return record.phase is not Phase.REFUSED, since
