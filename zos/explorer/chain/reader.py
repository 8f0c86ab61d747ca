"""Reads the grid's entities at one block, many at once. Answers that cannot be true raise ImplausibleAnswer."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from zos.explorer.chain import rows
from zos.explorer.chain.events import NEED_TIME, EventSummary
from zos.explorer.errors import ImplausibleAnswer
from zos.explorer.store.changes import Changes
from zos.substrate import Block, Chain, StatePruned

GRID = "TfgridModule"
CONTRACTS = "SmartContractModule"
PRICE = "TFTPriceModule"
KEYS_PER_QUERY = 200
PARALLEL_BLOCKS = 16


@dataclass(frozen=True, slots=True)
class Hosts:
    """Where the database says that changed contracts are: their nodes, and these nodes' farms."""

    nodes: frozenset[int] = frozenset()
    farms: frozenset[int] = frozenset()


class ChainReader:
    """Reads entities and events of one chain."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    async def time(self, block: Block) -> int:
        """Unix seconds of a block."""
        now = int(await self._chain.query("Timestamp", "Now", at=block.hash) or 0) // 1000
        if not now:
            raise ImplausibleAnswer(url=self._chain.url, block=block.number, problem="it has no time")
        return now

    # Events

    async def add_events(self, numbers: Iterable[int], summary: EventSummary) -> bool:
        """Add the events of these blocks, in this order; false when the chain no longer has the state of one."""
        for some in _chunks(list(numbers), PARALLEL_BLOCKS):
            found = await asyncio.gather(*(self._events(number) for number in some), return_exceptions=True)
            for number, answer in zip(some, found, strict=True):
                if isinstance(answer, StatePruned):
                    return False
                if isinstance(answer, BaseException):
                    raise answer
                summary.add(answer[0], number, answer[1])
        return True

    async def _events(self, number: int) -> tuple[Sequence[Any], int]:
        hash = await self._chain.block_hash(number)
        if hash is None:
            raise ImplausibleAnswer(url=self._chain.url, block=number, problem="it is final and has no hash")
        events = await self._chain.events(hash)
        if not events:
            # Every block sets the time, which is an event: a block without events is a wrong answer.
            raise ImplausibleAnswer(url=self._chain.url, block=number, problem="nothing happened in it")
        needs_time = any(event.name in NEED_TIME for event in events)
        return events, await self.time(Block(number, hash)) if needs_time else 0

    # Entities

    async def changed(self, summary: EventSummary, hosts: Hosts, at: Block) -> Changes:
        """The entities that events named, as they are at a block."""
        changes = Changes()
        await self._contracts(changes, sorted(summary.contracts), summary, at)
        await self._nodes(changes, sorted(summary.nodes), at)
        # Contracts reserve and free public addresses: their farms may have changed.
        farms = summary.farms | hosts.farms | await self._farms_of(changes, hosts, at)
        await self._farms(changes, sorted(farms), at)
        for item, target, ids, make in (
            ("Twins", changes.twins, summary.twins, rows.twin),
            ("PricingPolicies", changes.pricing, summary.pricing, rows.pricing_policy),
            ("FarmingPoliciesMap", changes.farming, summary.farming, rows.farming_policy),
        ):
            await self._map_values(GRID, item, target, sorted(ids), make, at)
        await self._map_values(
            CONTRACTS, "SolutionProviders", changes.providers, sorted(summary.providers), rows.solution_provider, at
        )
        if summary.price:
            changes.price = await self._price(at)
        return changes

    async def everything(self, summary: EventSummary, at: Block) -> Changes:
        """The whole grid at a block; `summary` has the events of the blocks before it."""
        await self._values("System", "Number", [()], at)
        changes = Changes(is_whole=True)
        nodes = [int(value["id"]) for value in await self._all(GRID, "Nodes", at)]
        farms = [int(value["id"]) for value in await self._all(GRID, "Farms", at)]
        contracts = [int(value["contract_id"]) for value in await self._all(CONTRACTS, "Contracts", at)]
        gone = summary.contract_records.keys() - set(contracts)
        await self._contracts(changes, contracts + sorted(gone), summary, at)
        await self._nodes(changes, nodes, at)
        await self._farms(changes, farms, at)
        for pallet, item, target, key, make in (
            (GRID, "Twins", changes.twins, "twin_id", rows.twin),
            (GRID, "PricingPolicies", changes.pricing, "pricing_policy_id", rows.pricing_policy),
            (GRID, "FarmingPoliciesMap", changes.farming, "farming_policy_id", rows.farming_policy),
            (CONTRACTS, "SolutionProviders", changes.providers, "solution_provider_id", rows.solution_provider),
        ):
            found = [make(value) for value in await self._all(pallet, item, at)]
            target.update({row[key]: row for row in found})
        changes.price = await self._price(at)
        return changes

    async def _contracts(self, changes: Changes, ids: Sequence[int], summary: EventSummary, at: Block) -> None:
        values = await self._values(CONTRACTS, "Contracts", [(id,) for id in ids], at)
        used = await self._values(CONTRACTS, "NodeContractResources", [(id,) for id in ids], at)
        billings = await self._values(CONTRACTS, "ContractBillingInformationByID", [(id,) for id in ids], at)
        for id, value, resources, billing in zip(ids, values, used, billings, strict=True):
            is_there = value is not None and int(value["contract_id"]) == id
            # Without the event that created it, the last bill is the best guess at a contract's age.
            created = summary.facts.created.get(id) or int((billing or {}).get("last_updated", 0))
            if is_there:
                changes.contracts[id] = rows.contract(value, resources, created)
            elif id in summary.contract_records:
                changes.contracts[id] = rows.contract(summary.contract_records[id][1], None, created) | {
                    "state": "Deleted"
                }
            else:
                changes.contracts[id] = None

    async def _nodes(self, changes: Changes, ids: Sequence[int], at: Block) -> None:
        values = await self._values(GRID, "Nodes", [(id,) for id in ids], at)
        powers = await self._values(GRID, "NodePower", [(id,) for id in ids], at, is_default=False)
        fees = await self._values(CONTRACTS, "DedicatedNodesExtraFee", [(id,) for id in ids], at)
        for id, value, power, fee in zip(ids, values, powers, fees, strict=True):
            is_there = value is not None and int(value["id"]) == id
            changes.nodes[id] = rows.node(value, power, fee) if is_there else None

    async def _farms(self, changes: Changes, ids: Sequence[int], at: Block) -> None:
        values = await self._values(GRID, "Farms", [(id,) for id in ids], at)
        payouts = await self._values(GRID, "FarmPayoutV2AddressByFarmID", [(id,) for id in ids], at)
        for id, value, payout in zip(ids, values, payouts, strict=True):
            is_there = value is not None and int(value["id"]) == id
            changes.farms[id] = rows.farm(value, payout) if is_there else None

    async def _farms_of(self, changes: Changes, hosts: Hosts, at: Block) -> set[int]:
        """Farms of nodes that may not be in the database yet."""
        nodes = {row["node_id"] for row in changes.contracts.values() if row} | hosts.nodes
        read = {id: both[0]["farm_id"] for id, both in changes.nodes.items() if both}
        asked = sorted(nodes - read.keys() - {0})
        values = await self._values(GRID, "Nodes", [(id,) for id in asked], at)
        return {int(value["farm_id"]) for value in values if value} | {read[id] for id in nodes & read.keys()}

    async def _map_values(
        self, pallet: str, item: str, target: dict[int, Any], ids: Sequence[int], make: Any, at: Block
    ) -> None:
        values = await self._values(pallet, item, [(id,) for id in ids], at)
        for id, value in zip(ids, values, strict=True):
            target[id] = make(value) if value and int(value.get("id", id)) == id else None

    async def _price(self, at: Block) -> dict[str, int] | None:
        runtime = await self._chain.runtime()
        items = {"price": "TftPrice", "average": "AverageTftPrice", "minimum": "MinTftPrice", "maximum": "MaxTftPrice"}
        if not runtime.has_item(PRICE, "TftPrice"):
            return None
        found = {
            name: await self._chain.query(PRICE, item, at=at.hash) if runtime.has_item(PRICE, item) else 0
            for name, item in items.items()
        }
        return {name: int(value or 0) for name, value in found.items()}

    async def _all(self, pallet: str, item: str, at: Block) -> list[Any]:
        runtime = await self._chain.runtime()
        if not runtime.has_item(pallet, item):
            return []
        return await self._chain.entries(pallet, item, at.hash, limit=10_000_000)

    async def _values(
        self, pallet: str, item: str, keys: Collection[tuple[Any, ...]], at: Block, *, is_default: bool = True
    ) -> list[Any]:
        """Values by key. `is_default`: an absent one is the item's default (else None)."""
        runtime = await self._chain.runtime()
        if not keys or not runtime.has_item(pallet, item):
            return [None] * len(keys)
        sentinel = "0x" + runtime.key("System", "Number").hex()
        found: list[Any] = []
        for some in _chunks(list(keys), KEYS_PER_QUERY):
            wanted = ["0x" + runtime.key(pallet, item, *key).hex() for key in some]
            (answer,) = await self._chain.rpc("state_queryStorageAt", [sentinel, *wanted], at.hash)
            raw = {key: bytes.fromhex(value[2:]) for key, value in answer["changes"] if value is not None}
            # A wiped or lying RPC node answers null to everything: the block number, asked along, tells.
            number = runtime.value("System", "Number", raw.get(sentinel))
            if number != at.number:
                raise ImplausibleAnswer(url=self._chain.url, block=at.number, problem="its state is not of that block")
            found += [runtime.value(pallet, item, raw.get(key)) if is_default or key in raw else None for key in wanted]
        return found


def _chunks(items: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
