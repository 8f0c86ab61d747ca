"""Every transition of a contract's life on this node, as pure functions from record to record.

    (nothing) --submitted--> WAITING --put_in_force--> ACTIVE <--paused/resumed--> PAUSED
                             WAITING --refused-------> REFUSED --put_in_force--> ACTIVE
    every phase --ended--> ENDING --> (nothing)

`offered` puts the next document beside what is in force; `put_in_force` or `refused` is the answer to it.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

from zos.model.deployment import Deployment, ResultState, encode
from zos.model.evidence import Evidence
from zos.provisiond.model import LIVE, Incoming, Item, Phase, Record, item_of

RUNNING = (Phase.ACTIVE, Phase.PAUSED)


VALUE = 200
"""Bytes of memory that a value of a document takes beside its text, about."""


def weight(document: str) -> int:
    """Bytes that a document takes in memory, about: `[[],[],` is a tenth of what is made of it."""
    return len(document) + VALUE * sum(document.count(mark) for mark in "[{,")


class IllegalTransition(Exception):
    """A bug of ours: the caller must know the phase."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A record after a transition, and the workloads whose new states are to be logged."""

    record: Record
    log: tuple[Item, ...] = ()


def submitted(deployment: Deployment, now: int, digests: tuple[str, ...] = (), *, signed: bool = False) -> Moved:
    """A first document: every workload is `init`."""
    document = encode(deployment)
    text = json.dumps(document)
    record = Record(
        twin=deployment.twin_id,
        contract=deployment.contract_id,
        version=deployment.version,
        metadata=deployment.metadata,
        description=deployment.description,
        requirement=document["signature_requirement"],
        items=tuple(item_of(workload, now) for workload in deployment.workloads),
        incoming=Incoming(document, signed, now, digests),
        offered=deployment.version,
        size=weight(text),
        length=len(text),
    )
    return Moved(record, record.items)


def offered(
    record: Record, deployment: Deployment, now: int, digests: tuple[str, ...] = (), *, signed: bool = False
) -> Record:
    """The next document; one that was not compared yet gives way."""
    _demand(record, *(phase for phase in Phase if phase is not Phase.ENDING))
    document = encode(deployment)
    text = json.dumps(document)
    incoming = Incoming(document, signed, now, digests, weight(text), len(text))
    return dataclasses.replace(record, incoming=incoming, offered=max(record.offered, deployment.version))


def put_in_force(record: Record, deployment: Deployment, *, hash: str, block: int, paid: bool, now: int) -> Moved:
    """The contract carries the document: it is in force."""
    _demand(record, Phase.WAITING, Phase.REFUSED, *RUNNING)
    merged = dataclasses.replace(
        _merged(record, deployment, now),
        phase=Phase.ACTIVE if paid else Phase.PAUSED,
        version=deployment.version,
        metadata=deployment.metadata,
        description=deployment.description,
        requirement=encode(deployment)["signature_requirement"],
        incoming=None,
        size=(record.incoming.size if record.incoming is not None else 0) or record.size,
        length=(record.incoming.length if record.incoming is not None else 0) or record.length,
        refusal="",
        refused_version=-1,
        hash=hash,
        block=block,
    )
    changed = tuple(item for item in merged.items if _is_new(record, item) or _is_reworded(record, item))
    return Moved(merged, changed)


def refused(record: Record, deployment: Deployment, reason: str, now: int) -> Moved:
    """The contract does not carry the document: nothing of it is made, and what is in force stays so."""
    _demand(record, Phase.WAITING, Phase.REFUSED, *RUNNING)
    answered = dataclasses.replace(record, incoming=None, refusal=reason, refused_version=deployment.version)
    if record.phase in RUNNING:
        changed = [one for one in deployment.workloads if one.version == deployment.version]
        return Moved(answered, tuple(item_of(one, now).settled(ResultState.UNCHANGED, now, reason) for one in changed))
    failed = tuple(item.settled(ResultState.ERROR, now, reason) for item in record.items)
    return Moved(dataclasses.replace(answered, phase=Phase.REFUSED, items=failed), failed)


def paused(record: Record) -> Record:
    """The contract is not paid."""
    _demand(record, Phase.ACTIVE)
    return dataclasses.replace(record, phase=Phase.PAUSED)


def resumed(record: Record) -> Record:
    """The contract is paid again."""
    _demand(record, Phase.PAUSED)
    return dataclasses.replace(record, phase=Phase.ACTIVE)


def ended(record: Record, evidence: Evidence) -> Record:
    """The contract is over."""
    _demand(record, *(phase for phase in Phase if phase is not Phase.ENDING))
    # Where nothing was made nothing is removed: a network of that name may be another contract's by now.
    is_made = record.phase in RUNNING or record.block
    items = record.items if is_made else ()
    return dataclasses.replace(record, phase=Phase.ENDING, ending=evidence, incoming=None, items=items)


def kept(item: Item, now: int, reason: str) -> Item:
    """A workload as it was before a change that could not be made; it still runs."""
    if item.applied is None:
        return item
    back = dataclasses.replace(item, data=item.applied, version=item.applied_version, unchanged=reason)
    return dataclasses.replace(back, state=ResultState.OK, message="", created=now)


def _demand(record: Record, *phases: Phase) -> None:
    if record.phase not in phases:
        raise IllegalTransition(f"contract {record.contract} is {record.phase}")


def _merged(record: Record, deployment: Deployment, now: int) -> Record:
    """Workloads as the document has them, in its order; behind them what is to be removed."""
    if record.phase is Phase.REFUSED:
        # Nothing of the refused document was made, and its verdict says nothing about this one.
        return dataclasses.replace(record, items=tuple(item_of(one, now) for one in deployment.workloads))
    if record.phase is Phase.WAITING:
        items = tuple(_same_or_new(record.item(one.name), item_of(one, now)) for one in deployment.workloads)
        return dataclasses.replace(record, items=items)
    wanted: list[Item] = []
    removed = [item for item in record.items if item.leaving]
    for workload in deployment.workloads:
        old = record.item(workload.name)
        if old is not None and old.type == workload.type:
            # A version between this and the one in force may never have been compared: its changes are in this one.
            is_changed = workload.version > record.version
            new = item_of(workload, now)
            if is_changed and old.is_failed() and record.leaving(old.name) is None:
                # Whatever was made of it goes first: the new one is made as if there had been none.
                removed.append(dataclasses.replace(old, leaving=True))
                wanted.append(new)
            else:
                wanted.append(_reworded(old, new, now) if is_changed else old)
        else:
            wanted.append(item_of(workload, now))
    kept_items = {item.name: item.type for item in wanted}
    for item in record.items:
        if not item.leaving and kept_items.get(item.name) != item.type:
            removed.append(dataclasses.replace(item, leaving=True))
    return dataclasses.replace(record, items=(*wanted, *removed))


def _same_or_new(old: Item | None, new: Item) -> Item:
    """A WAITING record has the items of its first document already."""
    is_same = old is not None and (old.type, old.version, old.data) == (new.type, new.version, new.data)
    return old if old is not None and is_same else new


def _reworded(old: Item, new: Item, now: int) -> Item:
    if old.applied == new.data and old.state in LIVE:
        # Only its words changed: there is nothing to make, and nothing to wait for.
        same = dataclasses.replace(old, metadata=new.metadata, description=new.description, data=new.data)
        return dataclasses.replace(
            same, version=new.version, applied_version=new.version, unchanged="", created=now, message=old.message
        )
    return dataclasses.replace(
        old,
        version=new.version,
        data=new.data,
        metadata=new.metadata,
        description=new.description,
        state=ResultState.INIT,
        message="",
        unchanged="",
    )


def _is_reworded(before: Record, item: Item) -> bool:
    """It is as it was, under another version: clients wait for an answer to that one."""
    old = before.item(item.name)
    return item.state in LIVE and not item.leaving and old is not None and old.version != item.version


def _is_new(before: Record, item: Item) -> bool:
    if item.leaving or item.state is not ResultState.INIT:
        return False
    old = before.item(item.name)
    return old is None or old.version != item.version or before.phase is Phase.REFUSED
