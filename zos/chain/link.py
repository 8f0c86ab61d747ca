"""The chain as the node sees it: reads that tell "no" from "no answer", and the node's own calls. All effects."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any

from zos.chain import records
from zos.chain.api.errors import (
    ChainBehind,
    ChainDoubtful,
    NoFunds,
    NoSuchContract,
    NoSuchFarm,
    NoSuchTwin,
    NotRegistered,
    Orphan,
)
from zos.chain.api.types import (
    Block,
    ContractEvent,
    ContractResources,
    EventKind,
    Farm,
    NodeContract,
    NodeRecord,
    PublicConfig,
    Twin,
)
from zos.core0.api import Core0Client, Purpose
from zos.errors import ZosError
from zos.fetch.aio import fetch_configured
from zos.fetch.exchange import Request
from zos.substrate import CallFailed, Chain, Key, KeyKind, StatePruned, Unreadable, address

log = logging.getLogger("zos.chain")

GRID = "TfgridModule"
CONTRACTS = "SmartContractModule"
TERMS = {"document_link": "http://zos.tf/terms/v0.1", "document_hash": "9021d4dee05a661e2cb6838152c67f25"}
LEAST_FREE = 10_000
"""Units below which no fee can be paid."""
CATCH_UP = 200
"""A gap of more blocks is not read block by block: chains keep the state of about 256."""


@dataclass(frozen=True, slots=True)
class NodeKey:
    """core-0's key, which signs for the chain and never leaves core-0."""

    core0: Core0Client
    public: bytes
    kind: KeyKind = KeyKind.ED25519

    async def sign_call(self, payload: bytes) -> bytes:
        return await self.core0.sign(Purpose.CHAIN, payload)


@dataclass(frozen=True, slots=True)
class Contact:
    """How other twins send messages to this node."""

    relay: str
    """Its relays' host names (`records.relay_text`)."""
    e2e_key: bytes
    """secp256k1, 33 bytes."""


class Link:
    """One node's reads, events and calls."""

    def __init__(
        self, chain: Chain, key: Key, farm: int, activation: Sequence[str] = (), contact: Contact | None = None
    ) -> None:
        self.chain = chain
        self.farm = farm
        self.twin = 0
        self.node = 0
        self._key = key
        self._activation = activation
        self._contact = contact

    # Reads

    async def contract(self, id: int, best: bool = False) -> NodeContract:
        """A contract; NoSuchContract only on positive evidence."""
        at = await (self.chain.head() if best else self.chain.finalized())
        block = Block(at.number, at.hash)
        value = await self.chain.query(CONTRACTS, "Contracts", id, at=at.hash)
        if value is None or int(value["contract_id"]) == 0:
            await self._sane(at.hash)
            newest = int(await self.chain.query(CONTRACTS, "ContractID", at=at.hash))
            if newest < id:
                raise ChainBehind(contract=id, block=at.number)
            raise NoSuchContract(contract=id, block=at.number)
        return records.contract(value, block)

    async def _sane(self, at: str) -> None:
        """An empty or wiped storage also answers null to everything: then null means nothing."""
        if not await self.chain.query("System", "Number", at=at):
            raise ChainDoubtful(url=self.chain.url, problem="its state is empty")
        if self.node and await self.chain.query(GRID, "Nodes", self.node, at=at) is None:
            raise ChainDoubtful(url=self.chain.url, problem=f"it does not know this node ({self.node})")

    async def node_contracts(self) -> tuple[int, ...]:
        """Ids of this node's active contracts."""
        await self.find_self()
        if not self.node:
            raise NotRegistered()
        at = (await self.chain.finalized()).hash
        return tuple(await self.chain.query(CONTRACTS, "ActiveNodeContracts", self.node, at=at))

    async def twin_of(self, id: int) -> Twin:
        """A twin by its id. Raises NoSuchTwin when it was read as absent."""
        value = await self.chain.query(GRID, "Twins", id) if id else None
        if value is None or int(value["id"]) == 0:
            await self._sane((await self.chain.finalized()).hash)
            raise NoSuchTwin(twin=id)
        return records.twin(value)

    async def farm_of(self, id: int) -> Farm:
        """A farm by its id."""
        value = await self.chain.query(GRID, "Farms", id) if id else None
        if value is None or int(value["id"]) == 0:
            await self._sane((await self.chain.finalized()).hash)
            raise NoSuchFarm(farm=id)
        return records.farm(value)

    async def public_config(self) -> PublicConfig:
        """This node's public configuration at the last finalized block."""
        await self.find_self()
        if not self.node:
            raise NotRegistered()
        value = await self.chain.query(GRID, "Nodes", self.node, at=(await self.chain.finalized()).hash)
        if value is None:
            # Taking the node's addresses away because of an empty answer would cut its tenants off.
            raise ChainDoubtful(url=self.chain.url, problem=f"it does not know this node ({self.node})")
        return records.public_config(value.get("public_config"))

    async def find_self(self) -> None:
        """This node's twin and node ids, as far as it has them."""
        if not self.twin:
            self.twin = int(await self.chain.query(GRID, "TwinIdByAccountID", self._key.public) or 0)
        if self.twin and not self.node:
            self.node = int(await self.chain.query(GRID, "NodeIdByTwinID", self.twin) or 0)

    # Events

    async def events(self, after: Block | None) -> AsyncGenerator[tuple[Block, tuple[ContractEvent, ...]], None]:
        """Per finalized block what happened to this node's contracts; a gap: `present` for each, then `listed`."""
        last = after.number if after else None
        async for head in self.chain.finalized_heads():
            await self.find_self()
            if not self.node:
                continue
            if last is not None and head.number <= last:
                continue
            if last is None or head.number - last > CATCH_UP:
                yield await self.present(Block(head.number, head.hash))
                last = head.number
                continue
            for number in range(last + 1, head.number + 1):
                hash = head.hash if number == head.number else await self.chain.block_hash(number)
                if hash is None:
                    raise ChainDoubtful(url=self.chain.url, problem=f"finalized block {number} has no hash")
                yield await self._block(Block(number, hash))
            last = head.number

    async def present(self, block: Block) -> tuple[Block, tuple[ContractEvent, ...]]:
        """Every active contract, as events, and that these are all."""
        active = await self.node_contracts()
        present = (ContractEvent(EventKind.PRESENT, id, block) for id in active)
        return block, (*present, ContractEvent(EventKind.LISTED, 0, block))

    async def _block(self, block: Block) -> tuple[Block, tuple[ContractEvent, ...]]:
        try:
            happened = await self.chain.events(block.hash)
        except (StatePruned, Unreadable) as err:
            # What happened there cannot be read any more: what is now can.
            log.warning("the events of block %d are lost: %s", block.number, err)
            return await self.present(block)
        if not happened:
            # Every block has at least its own clock's; an empty or wiped storage answers like this.
            raise ChainDoubtful(url=self.chain.url, problem=f"block {block.number} has no events")
        mine = (records.event(event, self.node, block) for event in happened)
        return block, tuple(event for event in mine if event is not None)

    # Writes

    async def register(self, record: NodeRecord) -> None:
        """The first-boot sequence; each step looks first, so it may be repeated at any time."""
        if not record.farm:
            raise Orphan()
        await self._activate()
        await self.find_self()
        if not self.twin:
            await self._make_twin()
        await self._be_reachable()
        if not self.node:
            await self._make_node(record)
            return
        stored = await self.chain.query(GRID, "Nodes", self.node)
        if stored is None:
            return
        record = records.located(record, stored)
        if not records.same_node(stored, record):
            await self._call(GRID, "update_node", {"node_id": self.node, **records.node_arguments(record)})

    async def _activate(self) -> None:
        if await self._free() > LEAST_FREE:
            return
        account = address(self._key.public)
        for url in self._activation:
            await _post(url, {"substrateAccountID": account})
            if await self._free() > LEAST_FREE:
                return
        raise NoFunds(address=account, free=await self._free())

    async def _free(self) -> int:
        account = await self.chain.query("System", "Account", self._key.public)
        return int(account["data"]["free"]) if account else 0

    async def _make_twin(self) -> None:
        if not await self.chain.query(GRID, "UsersTermsAndConditions", self._key.public):
            await self._call(GRID, "user_accept_tc", TERMS)
        try:
            # Relay and key come with the first twin: clients that cached one without them would never ask again.
            contact = await self._published()
            relay, pk = (contact.relay, contact.e2e_key or None) if contact else (None, None)
            await self._call(GRID, "create_twin", {"relay": relay, "pk": pk})
        except CallFailed as err:
            if err.error != "TwinWithPubkeyExists":
                raise
        await self.find_self()

    async def _be_reachable(self) -> None:
        """Keep the twin's relay and encryption key what they are; what is right already costs no transaction."""
        contact = await self._published()
        if contact is None:
            return
        twin = await self.twin_of(self.twin)
        if (twin.relay, twin.pk) != (contact.relay, contact.e2e_key):
            await self._call(GRID, "update_twin", {"relay": contact.relay, "pk": contact.e2e_key or None})

    async def _published(self) -> Contact | None:
        """What the chain can hold of the contact: twins had no keys once."""
        if self._contact is None or (await self.chain.runtime()).takes(GRID, "update_twin", "pk"):
            return self._contact
        return Contact(self._contact.relay, b"")

    async def _make_node(self, record: NodeRecord) -> None:
        try:
            await self._call(GRID, "create_node", records.node_arguments(record))
        except CallFailed as err:
            if err.error != "NodeWithTwinIdExists":
                raise
        await self.find_self()

    async def report_uptime(self, uptime: int) -> Block:
        """Seconds since boot; with the chain's own time as hint, which a lab's chain may run apart from ours."""
        now = int(await self.chain.query("Timestamp", "Now")) // 1000
        return await self._call(GRID, "report_uptime_v2", {"uptime": uptime, "timestamp_hint": now})

    async def report_resources(self, resources: tuple[ContractResources, ...]) -> Block:
        """Report what contracts use; returns the block of the transaction."""
        listed = [
            {
                "contract_id": one.contract,
                "used": {"hru": one.hru, "sru": one.sru, "cru": one.cru, "mru": one.mru},
            }
            for one in resources
        ]
        return await self._call(CONTRACTS, "report_contract_resources", {"contract_resources": listed})

    async def _call(self, pallet: str, name: str, arguments: dict[str, Any]) -> Block:
        done = await self.chain.submit(pallet, name, arguments, self._key)
        called = (await self.chain.runtime()).call_name(pallet, name)
        log.info("%s.%s is in block %d", pallet, called, done.block.number)
        return Block(done.block.number, done.block.hash)


async def _post(url: str, body: dict[str, str]) -> None:
    headers = {"Content-Type": "application/json"}
    request = Request(url, limit=64 * 1024, method="POST", headers=headers, body=json.dumps(body).encode())
    try:
        answer = await fetch_configured(request, 20.0)
    except ZosError as err:
        log.warning("the activation service cannot be reached: %s", err)
    else:
        if answer.status not in (200, 409):
            log.warning("the activation service answered %d", answer.status)
