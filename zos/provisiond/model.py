"""What provisiond keeps about a deployment. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from zos.model.deployment import Deployment, Result, ResultState, Workload, decode
from zos.model.evidence import Evidence
from zos.provisiond.api.types import HistoryEntry

HISTORY = 60
"""How many entries of a history are kept."""
DETAIL = 2000
"""The most characters of an entry's detail."""
LIVE = (ResultState.OK, ResultState.PAUSED)


class Making(StrEnum):
    """How far a first making came, before its first success."""

    NONE = ""
    """Nothing of it was asked of any daemon."""
    FRESH = "fresh"
    """Nothing of it was there before, and nobody but the node has written to what was made of it."""
    USED = "used"
    """Something was there before, or a machine or server was asked for: its tenant may have data in it."""


class Phase(StrEnum):
    """Where a contract is in its life on this node. `lifecycle.py` has every transition."""

    WAITING = "waiting"
    """A document is accepted and not compared with its contract yet; nothing is made."""
    ACTIVE = "active"
    """Its workloads are made and kept."""
    PAUSED = "paused"
    """Active, and not paid: machines are paused."""
    REFUSED = "refused"
    """The contract does not carry the document; nothing was made. Another document may come."""
    ENDING = "ending"
    """The contract is over: everything is removed, then the record."""


@dataclass(frozen=True, slots=True)
class Item:
    """A workload and how far it is."""

    version: int
    name: str
    type: str
    data: Mapping[str, Any]
    metadata: str = ""
    description: str = ""
    state: ResultState = ResultState.INIT
    message: str = ""
    created: int = 0
    """Unix seconds of the last transition."""
    result: Any = None
    applied: Mapping[str, Any] | None = None
    """The data that is in force on the node; None before the first success."""
    applied_version: int = 0
    leaving: bool = False
    """A signed update has removed it, or replaced it by another of its name; it goes before that one is made."""
    begun: bool = False
    """INIT: its memory was granted. What waits keeps its share: refused later, it would leave half a machine behind."""
    making: Making = Making.NONE
    cleared: bool = False
    """ERROR: what its making left behind was given back, but for what is held. Earlier releases gave nothing back."""
    held: bool = False
    """It is not ok, and what was made of it stays, so it is billed."""
    unchanged: str = ""
    """Why the last change of it could not be made; empty when it could."""

    def workload(self) -> Workload:
        """As clients read it."""
        refused = f"its change was refused: {self.unchanged}" if self.unchanged else ""
        result = Result(self.created, self.state, self.message or refused, self.result)
        return Workload(self.version, self.name, self.type, self.data, self.metadata, self.description, result)

    def is_failed(self) -> bool:
        """It could not be made, and nothing of it was ever in force."""
        return self.state is ResultState.ERROR and self.applied is None

    def settled(self, state: ResultState, now: int, message: str = "", result: Any = None) -> Item:
        """The same workload with another state and its result; `now` in Unix seconds."""
        settled = dataclasses.replace(self, state=state, message=message, created=now, result=result)
        return dataclasses.replace(settled, begun=False, cleared=self.making is Making.NONE, held=False)

    def is_to_clear(self) -> bool:
        """It could not be made, and what its making left behind is still to be given back."""
        return self.is_failed() and not self.cleared and not self.leaving

    def takes(self) -> bool:
        """Something of it runs on the node, or is about to."""
        is_left = self.is_failed() and not self.cleared and self.making is not Making.NONE
        return self.state in LIVE or self.applied is not None or self.begun or is_left


@dataclass(frozen=True, slots=True)
class Incoming:
    """An accepted document that is not compared with its contract yet."""

    document: Mapping[str, Any]
    """As clients send it."""
    signed: bool = False
    """Its owner sent it, and its signatures were checked when it came."""
    at: int = 0
    """Unix seconds when it was accepted."""
    digests: tuple[str, ...] = ()
    """SHA-256 (hex) by which its contract may name it (`pull.digests`); none in records of earlier releases."""
    size: int = 0
    """Bytes that it takes in memory, about; 0 when its record counts it."""
    length: int = 0
    """Bytes of it as clients send it, about; 0 likewise."""


@dataclass(frozen=True, slots=True)
class Record:
    """A deployment in the ledger."""

    twin: int
    contract: int
    version: int
    phase: Phase = Phase.WAITING
    metadata: str = ""
    description: str = ""
    requirement: Mapping[str, Any] = field(default_factory=dict)
    items: tuple[Item, ...] = ()
    incoming: Incoming | None = None
    """The first document of a WAITING one, or the next of any other; an ENDING one has none."""
    ending: Evidence | None = None
    """ENDING: the proof that the contract is over."""
    refusal: str = ""
    """Why the last document was refused; empty once one is in force."""
    refused_version: int = -1
    """Of that document."""
    hash: str = ""
    """By which the contract carries the document in force."""
    block: int = 0
    """Finalized block at which the contract was last compared; 0: it never carried a document of this twin."""
    offered: int = 0
    """The newest version that was taken in, whether it came into force or not."""
    size: int = 0
    """Bytes that the document in force takes in memory, about, or the first one before that."""
    length: int = 0
    """Bytes of that document as clients read it, about and without results; 0 in records of earlier releases."""
    history: tuple[HistoryEntry, ...] = ()
    log: tuple[Mapping[str, Any], ...] = ()
    """Of a record of version 1 until the store has moved it into the log's own file."""

    def is_ours(self) -> bool:
        """A contract of this node carries it, or did: only then has the chain anything to hear of it."""
        return self.block > 0 and self.phase is not Phase.ENDING

    def is_idle(self) -> bool:
        """Nothing of it is on the node, or about to be."""
        return not any(item.takes() or item.held for item in self.items)

    def item(self, name: str) -> Item | None:
        """The workload of this name that is to be."""
        return next((item for item in self.items if item.name == name and not item.leaving), None)

    def leaving(self, name: str) -> Item | None:
        """The workload of this name that is to go."""
        return next((item for item in self.items if item.name == name and item.leaving), None)

    def with_item(self, item: Item) -> Record:
        """With one workload replaced, or added behind."""
        if not any(_is_same(old, item) for old in self.items):
            return dataclasses.replace(self, items=(*self.items, item))
        return dataclasses.replace(self, items=tuple(item if _is_same(old, item) else old for old in self.items))

    def without_item(self, item: Item) -> Record:
        """With one workload gone."""
        return dataclasses.replace(self, items=tuple(old for old in self.items if not _is_same(old, item)))

    def noted(self, entry: HistoryEntry) -> Record:
        """With an entry appended to the history; a repeated one only gets a newer time."""
        entry = dataclasses.replace(entry, detail=entry.detail[:DETAIL])
        history = self.history
        if history and _words(history[-1]) == _words(entry):
            history = history[:-1]
        return dataclasses.replace(self, history=(*history, entry)[-HISTORY:])

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

    def siblings(self) -> dict[str, Item]:
        """The workloads that are to be, by name."""
        return {item.name: item for item in self.items if not item.leaving}


def _is_same(one: Item, other: Item) -> bool:
    return (one.name, one.leaving) == (other.name, other.leaving)


def _words(entry: HistoryEntry) -> tuple[str, str, str]:
    return entry.what, entry.detail, entry.workload


def item_of(workload: Workload, now: int) -> Item:
    """A workload at its beginning."""
    return Item(
        workload.version,
        workload.name,
        workload.type,
        workload.data,
        workload.metadata,
        workload.description,
        created=now,
    )


def upgrade_1(body: dict[str, Any]) -> dict[str, Any]:
    """A record of version 1, which told its phase by five fields."""
    ending, refused, incoming = body.get("ending"), body.get("refused", ""), body.get("incoming")
    if ending:
        phase = Phase.ENDING
    elif refused:
        phase = Phase.REFUSED
    elif incoming and not body.get("block"):
        phase = Phase.WAITING
    else:
        phase = Phase.PAUSED if body.get("paused") else Phase.ACTIVE
    kept = {name: value for name, value in body.items() if name not in ("paused", "refused", "story", "incoming")}
    return {
        **kept,
        "phase": phase.value,
        "refusal": refused,
        "incoming": {"document": incoming, "signed": False} if incoming and not ending else None,
        "history": body.get("story", []),
    }
