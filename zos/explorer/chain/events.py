"""What the events of blocks say: which entities to read again, and what the chain's state does not keep. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from zos.explorer.chain import rows
from zos.explorer.store.changes import EventFacts
from zos.explorer.store.schema import MAX_INT
from zos.substrate import Event


@dataclass(slots=True)
class EventSummary:
    """The events of some blocks, which may be added in any order."""

    farms: set[int] = field(default_factory=set)
    nodes: set[int] = field(default_factory=set)
    twins: set[int] = field(default_factory=set)
    contracts: set[int] = field(default_factory=set)
    pricing: set[int] = field(default_factory=set)
    farming: set[int] = field(default_factory=set)
    providers: set[int] = field(default_factory=set)
    price: bool = False
    facts: EventFacts = field(default_factory=EventFacts)
    contract_records: dict[int, tuple[int, Any]] = field(default_factory=dict)
    """Contract → block and record, for contracts that are gone before their state was read."""
    uptime_positions: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Node → block and position of its newest report; several blocks may carry the same second."""

    def add(self, events: Iterable[Event], block: int, time: int) -> None:
        """Take in the events of a block (`time`: its unix seconds)."""
        for position, event in enumerate(events):
            entity = _ENTITIES.get((event.pallet, event.name))
            if entity is not None:
                getattr(self, entity[0]).add(_id(event.fields, entity[1]))
            elif event.pallet == "TFTPriceModule":
                self.price = True
            self._record(event, block, position, time)

    def _record(self, event: Event, block: int, position: int, time: int) -> None:
        fields, facts = event.fields, self.facts
        match event.name:
            case "NodeUptimeReported":
                self._record_uptime(fields, block, position)
            case "NodeStored" | "NodeUpdated":
                node = _id(fields, "id")
                facts.node_updates[node] = max(time, facts.node_updates.get(node, 0))
            case "ContractCreated" | "ContractUpdated":
                contract = _id(fields, "contract_id")
                if event.name == "ContractCreated":
                    facts.created[contract] = time
                if block >= self.contract_records.get(contract, (0, None))[0]:
                    self.contract_records[contract] = (block, fields)
            case "ContractBilled":
                facts.bills.append(rows.bill(fields, block, position))

    def _record_uptime(self, fields: Iterable[Any], block: int, position: int) -> None:
        node, time, uptime = (min(int(one), MAX_INT) for one in fields)
        is_newest = (block, position) >= self.uptime_positions.get(node, (0, 0))
        if is_newest:
            self.uptime_positions[node] = block, position
            self.facts.uptimes[node] = time, uptime
        if is_newest or (node, time) not in self.facts.uptime_reports:
            self.facts.uptime_reports[node, time] = uptime


NEED_TIME = frozenset({"NodeStored", "NodeUpdated", "ContractCreated"})
"""Events of which the block's time is recorded."""
_GRID, _CONTRACTS = "TfgridModule", "SmartContractModule"
_ENTITIES: dict[tuple[str, str], tuple[str, str]] = {
    **{(_GRID, f"Farm{what}"): ("farms", "id") for what in ("Stored", "Updated", "Deleted", "MarkedAsDedicated")},
    (_GRID, "FarmPayoutV2AddressRegistered"): ("farms", "farm_id"),
    (_GRID, "FarmCertificationSet"): ("farms", "farm_id"),
    (_GRID, "FarmingPolicySet"): ("farms", "farm_id"),
    **{(_GRID, f"Node{what}"): ("nodes", "id") for what in ("Stored", "Updated", "Deleted")},
    (_GRID, "NodePublicConfigStored"): ("nodes", "node_id"),
    (_GRID, "NodeCertificationSet"): ("nodes", "node_id"),
    (_GRID, "PowerTargetChanged"): ("nodes", "node_id"),
    (_GRID, "PowerStateChanged"): ("nodes", "node_id"),
    (_CONTRACTS, "NodeExtraFeeSet"): ("nodes", "node_id"),
    **{(_GRID, f"Twin{what}"): ("twins", "id") for what in ("Stored", "Updated", "Deleted")},
    (_GRID, "TwinOwnershipTransferred"): ("twins", "twin_id"),
    (_GRID, "PricingPolicyStored"): ("pricing", "id"),
    (_GRID, "FarmingPolicyStored"): ("farming", "id"),
    (_GRID, "FarmingPolicyUpdated"): ("farming", "id"),
    (_CONTRACTS, "SolutionProviderCreated"): ("providers", "solution_provider_id"),
    (_CONTRACTS, "SolutionProviderApproved"): ("providers", "solution_provider_id"),
    **{
        (_CONTRACTS, name): ("contracts", "contract_id")
        for name in (
            *("ContractCreated", "ContractUpdated", "ContractCanceled", "NodeContractCanceled"),
            *("NameContractCanceled", "RentContractCanceled", "IPsReserved", "IPsFreed", "UpdatedUsedResources"),
            *("ContractGracePeriodStarted", "ContractGracePeriodEnded", "ContractGracePeriodElapsed"),
        )
    },
}
"""Event → which set of `EventSummary`, and the field with the entity's id."""


def _id(fields: Any, name: str) -> int:
    """An event's entity: by name, the first of a tuple, or the only field."""
    if isinstance(fields, Mapping):
        return int(fields[name])
    return int(fields[0] if isinstance(fields, tuple) else fields)
