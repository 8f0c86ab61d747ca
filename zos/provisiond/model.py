"""What provisiond keeps about a deployment. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from zos.model.deployment import (
    Deployment,
    Result,
    ResultState,
    Workload,
    decode,
    encode,
    encode_workload,
)
from zos.model.evidence import Evidence
from zos.provisiond.api.types import Link

STORY = 60
"""How many links of a story are kept."""
LOG, KEPT = 4000, 2000
"""How long a log may become, and how many of its newest entries stay in any case."""
LIVE = (ResultState.OK, ResultState.PAUSED)


@dataclass(frozen=True, slots=True)
class Item:
    """A workload that is wished for, and how far it is."""

    version: int
    name: str
    type: str
    data: dict[str, Any]
    metadata: str = ""
    description: str = ""
    state: ResultState = ResultState.INIT
    message: str = ""
    created: int = 0
    result: Any = None
    applied: dict[str, Any] | None = None
    """The data that is in force on the node; None before the first success."""
    applied_version: int = 0
    leaving: bool = False
    """The tenant's signed update has removed it; it is listed until its resources are gone."""

    def workload(self) -> Workload:
        """As clients read it."""
        result = Result(self.created, self.state, self.message, self.result)
        return Workload(self.version, self.name, self.type, self.data, self.metadata, self.description, result)


@dataclass(frozen=True, slots=True)
class Record:
    """A deployment in the ledger."""

    twin: int
    contract: int
    version: int
    metadata: str = ""
    description: str = ""
    requirement: dict[str, Any] = field(default_factory=dict)
    items: tuple[Item, ...] = ()
    log: tuple[dict[str, Any], ...] = ()
    """Every transition, as `changes` answers it."""
    incoming: dict[str, Any] | None = None
    """A document that is accepted and not compared to its contract yet."""
    paused: bool = False
    ending: Evidence | None = None
    """The contract is over: everything goes."""
    refused: str = ""
    """Why the contract does not carry this deployment; nothing of it was made."""
    block: int = 0
    """Finalized block at which the contract was last compared."""
    story: tuple[Link, ...] = ()

    def item(self, name: str) -> Item | None:
        """The workload of this name."""
        return next((item for item in self.items if item.name == name), None)

    def with_item(self, item: Item) -> Record:
        """With one workload replaced, or added behind."""
        if self.item(item.name) is None:
            return dataclasses.replace(self, items=(*self.items, item))
        return dataclasses.replace(self, items=tuple(item if old.name == item.name else old for old in self.items))

    def without_item(self, name: str) -> Record:
        """With one workload gone."""
        return dataclasses.replace(self, items=tuple(item for item in self.items if item.name != name))

    def logged(self, item: Item) -> Record:
        """With a transition appended; in a long log the oldest of versions that are over make room."""
        log = (*self.log, encode_workload(item.workload()))
        if len(log) > LOG:
            live = {(one.name, one.version) for one in (*self.items, item)}
            old = tuple(entry for entry in log[:-KEPT] if (entry["name"], entry["version"]) in live)
            log = (*old[-KEPT:], *log[-KEPT:])
        return dataclasses.replace(self, log=log)

    def without_attempts(self, version: int) -> Record:
        """Without what was logged of a version that was refused before: clients would take it for the new try's."""
        return dataclasses.replace(self, log=tuple(entry for entry in self.log if entry["version"] != version))

    def told(self, link: Link) -> Record:
        """With a link appended to the story; a repeated one is only moved on."""
        story = self.story
        if story and (story[-1].what, story[-1].detail, story[-1].workload) == (link.what, link.detail, link.workload):
            story = story[:-1]
        return dataclasses.replace(self, story=(*story, link)[-STORY:])

    def deployment(self) -> Deployment:
        """As clients read it, workloads in their order."""
        return dataclasses.replace(
            decode(
                {
                    "version": self.version,
                    "twin_id": self.twin,
                    "contract_id": self.contract,
                    "metadata": self.metadata,
                    "description": self.description,
                    "signature_requirement": self.requirement,
                }
            ),
            workloads=tuple(item.workload() for item in self.items if not item.leaving),
        )

    @property
    def is_active(self) -> bool:
        """Has something that runs, or may."""
        return any(item.state not in (ResultState.ERROR, ResultState.DELETED) for item in self.items)


def fresh(deployment: Deployment, now: int) -> Record:
    """A new deployment: everything `init`, the document waiting for its contract."""
    record = Record(
        twin=deployment.twin_id,
        contract=deployment.contract_id,
        version=deployment.version,
        metadata=deployment.metadata,
        description=deployment.description,
        requirement=encode(deployment)["signature_requirement"],
        incoming=encode(deployment),
    )
    for workload in deployment.workloads:
        item = item_of(workload, now)
        record = record.with_item(item).logged(item)
    return record


def item_of(workload: Workload, now: int) -> Item:
    """A workload at its beginning."""
    return Item(
        workload.version,
        workload.name,
        workload.type,
        dict(workload.data),
        workload.metadata,
        workload.description,
        created=now,
    )


def settled(item: Item, state: ResultState, now: int, message: str = "", result: Any = None) -> Item:
    """An item that has come to a state."""
    return dataclasses.replace(item, state=state, message=message, created=now, result=result)


def moved(item: Item, workload: Workload) -> Item:
    """The same workload in a newer wording."""
    return dataclasses.replace(
        item,
        version=workload.version,
        data=dict(workload.data),
        metadata=workload.metadata,
        description=workload.description,
    )


def kept(item: Item, now: int) -> Item:
    """The workload as it was before a change that could not be made; it still runs."""
    if item.applied is None:
        return item
    return dataclasses.replace(
        item, data=item.applied, version=item.applied_version, state=ResultState.OK, message="", created=now
    )


def siblings(record: Record) -> Mapping[str, Item]:
    """The deployment's workloads by name."""
    return {item.name: item for item in record.items if not item.leaving}
