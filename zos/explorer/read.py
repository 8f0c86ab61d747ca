"""Reads the grid's entities at one block, many at once, and believes no answer that cannot be true."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from zos.explorer import project
from zos.explorer.errors import ChainDoubtful
from zos.explorer.project import TIMED, Touched
from zos.explorer.store import Changes
from zos.substrate import Block, Chain, StatePruned

GRID = "TfgridModule"
CONTRACTS = "SmartContractModule"
PRICE = "TFTPriceModule"
AT_ONCE = 200
ABREAST = 16


@dataclass(frozen=True, slots=True)
class Known:
    """What the store knows of touched contracts: their nodes, and those nodes' farms."""

    nodes: frozenset[int] = frozenset()
    farms: frozenset[int] = frozenset()


class Reader:
    """Reads of one chain."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    async def time(self, block: Block) -> int:
        """Unix seconds of a block."""
        now = int(await self._chain.query("Timestamp", "Now", at=block.hash) or 0) // 1000
        if not now:
            raise ChainDoubtful(url=self._chain.url, block=block.number, problem="it has no time")
        return now

    # Events

    async def happened(self, numbers: Iterable[int], into: Touched) -> bool:
        """Take in the events of these blocks, in this order; false when the chain no longer has the state of one."""
        for some in _chunks(list(numbers), ABREAST):
            found = await asyncio.gather(*(self._events(number) for number in some), return_exceptions=True)
            for number, answer in zip(some, found, strict=True):
                if isinstance(answer, StatePruned):
                    return False
                if isinstance(answer, BaseException):
                    raise answer
                into.fold(answer[0], number, answer[1])
        return True

    async def _events(self, number: int) -> tuple[Sequence[Any], int]:
        hash = await self._chain.block_hash(number)
        if hash is None:
            raise ChainDoubtful(url=self._chain.url, block=number, problem="it is final and has no hash")
        events = await self._chain.events(hash)
        if not events:
            # Every block sets the time, which is an event: silence is no word.
            raise ChainDoubtful(url=self._chain.url, block=number, problem="nothing happened in it")
        timed = any(event.name in TIMED for event in events)
        return events, await self.time(Block(number, hash)) if timed else 0

    # Entities

    async def touched(self, touched: Touched, known: Known, at: Block) -> Changes:
        """The touched entities as they are at a block."""
        changes = Changes()
        await self._contracts(changes, sorted(touched.contracts), touched, at)
        await self._nodes(changes, sorted(touched.nodes), at)
        # Public addresses are reserved and freed by contracts: their farms may have changed.
        farms = touched.farms | known.farms | await self._farms_of(changes, known, at)
        await self._farms(changes, sorted(farms), at)
        for item, room, ids, make in (
            ("Twins", changes.twins, touched.twins, project.twin),
            ("PricingPolicies", changes.pricing, touched.pricing, project.pricing_policy),
            ("FarmingPoliciesMap", changes.farming, touched.farming, project.farming_policy),
        ):
            await self._simple(GRID, item, room, sorted(ids), make, at)
        await self._simple(
            CONTRACTS, "SolutionProviders", changes.providers, sorted(touched.providers), project.solution_provider, at
        )
        if touched.price:
            changes.price = await self._price(at)
        return changes

    async def everything(self, touched: Touched, at: Block) -> Changes:
        """The whole grid at a block; `touched` has what its last blocks told."""
        await self._many("System", "Number", [()], at)
        changes = Changes(is_whole=True)
        nodes = [int(value["id"]) for value in await self._all(GRID, "Nodes", at)]
        farms = [int(value["id"]) for value in await self._all(GRID, "Farms", at)]
        contracts = [int(value["contract_id"]) for value in await self._all(CONTRACTS, "Contracts", at)]
        gone = touched.seen.keys() - set(contracts)
        await self._contracts(changes, contracts + sorted(gone), touched, at)
        await self._nodes(changes, nodes, at)
        await self._farms(changes, farms, at)
        for pallet, item, room, key, make in (
            (GRID, "Twins", changes.twins, "twin_id", project.twin),
            (GRID, "PricingPolicies", changes.pricing, "pricing_policy_id", project.pricing_policy),
            (GRID, "FarmingPoliciesMap", changes.farming, "farming_policy_id", project.farming_policy),
            (CONTRACTS, "SolutionProviders", changes.providers, "solution_provider_id", project.solution_provider),
        ):
            rows = [make(value) for value in await self._all(pallet, item, at)]
            room.update({row[key]: row for row in rows})
        changes.price = await self._price(at)
        return changes

    async def _contracts(self, changes: Changes, ids: Sequence[int], touched: Touched, at: Block) -> None:
        values = await self._many(CONTRACTS, "Contracts", [(id,) for id in ids], at)
        used = await self._many(CONTRACTS, "NodeContractResources", [(id,) for id in ids], at)
        begun = await self._many(CONTRACTS, "ContractBillingInformationByID", [(id,) for id in ids], at)
        for id, value, resources, billing in zip(ids, values, used, begun, strict=True):
            is_there = value is not None and int(value["contract_id"]) == id
            # Without the event that created it, the last bill is the best guess at a contract's age.
            created = touched.created.get(id) or int((billing or {}).get("last_updated", 0))
            if is_there:
                changes.contracts[id] = project.contract(value, resources, created)
            elif id in touched.seen:
                changes.contracts[id] = project.contract(touched.seen[id][1], None, created) | {"state": "Deleted"}
            else:
                changes.contracts[id] = None

    async def _nodes(self, changes: Changes, ids: Sequence[int], at: Block) -> None:
        values = await self._many(GRID, "Nodes", [(id,) for id in ids], at)
        powers = await self._many(GRID, "NodePower", [(id,) for id in ids], at, is_default=False)
        fees = await self._many(CONTRACTS, "DedicatedNodesExtraFee", [(id,) for id in ids], at)
        for id, value, power, fee in zip(ids, values, powers, fees, strict=True):
            is_there = value is not None and int(value["id"]) == id
            changes.nodes[id] = project.node(value, power, fee) if is_there else None

    async def _farms(self, changes: Changes, ids: Sequence[int], at: Block) -> None:
        values = await self._many(GRID, "Farms", [(id,) for id in ids], at)
        payouts = await self._many(GRID, "FarmPayoutV2AddressByFarmID", [(id,) for id in ids], at)
        for id, value, payout in zip(ids, values, payouts, strict=True):
            is_there = value is not None and int(value["id"]) == id
            changes.farms[id] = project.farm(value, payout) if is_there else None

    async def _farms_of(self, changes: Changes, known: Known, at: Block) -> set[int]:
        """Farms of nodes that the store may not know yet."""
        nodes = {row["node_id"] for row in changes.contracts.values() if row} | known.nodes
        read = {id: both[0]["farm_id"] for id, both in changes.nodes.items() if both}
        asked = sorted(nodes - read.keys() - {0})
        values = await self._many(GRID, "Nodes", [(id,) for id in asked], at)
        return {int(value["farm_id"]) for value in values if value} | {read[id] for id in nodes & read.keys()}

    async def _simple(
        self, pallet: str, item: str, room: dict[int, Any], ids: Sequence[int], make: Any, at: Block
    ) -> None:
        values = await self._many(pallet, item, [(id,) for id in ids], at)
        for id, value in zip(ids, values, strict=True):
            room[id] = make(value) if value and int(value.get("id", id)) == id else None

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

    async def _many(
        self, pallet: str, item: str, keys: Collection[tuple[Any, ...]], at: Block, *, is_default: bool = True
    ) -> list[Any]:
        """Values by key. `is_default`: an absent one is the item's default (else None)."""
        runtime = await self._chain.runtime()
        if not keys or not runtime.has_item(pallet, item):
            return [None] * len(keys)
        sentinel = "0x" + runtime.key("System", "Number").hex()
        found: list[Any] = []
        for some in _chunks(list(keys), AT_ONCE):
            wanted = ["0x" + runtime.key(pallet, item, *key).hex() for key in some]
            (answer,) = await self._chain.rpc("state_queryStorageAt", [sentinel, *wanted], at.hash)
            raw = {key: bytes.fromhex(value[2:]) for key, value in answer["changes"] if value is not None}
            # A wiped or lying node also answers null to everything: then null means nothing.
            number = runtime.value("System", "Number", raw.get(sentinel))
            if number != at.number:
                raise ChainDoubtful(url=self._chain.url, block=at.number, problem="its state is not of that block")
            found += [runtime.value(pallet, item, raw.get(key)) if is_default or key in raw else None for key in wanted]
        return found


def _chunks(items: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
