"""The node's dealings with a chain, against the devchain in this process."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from zos.chain.api import (
    Block,
    ChainBehind,
    ChainDoubtful,
    ContractResources,
    ContractState,
    EventKind,
    Farm,
    Interface,
    NodeRecord,
    NoSuchContract,
    NoSuchFarm,
    NoSuchTwin,
    Orphan,
)
from zos.chain.api.errors import BadRelay, NoFunds
from zos.chain.link import Contact, Link
from zos.chain.records import relay_text
from zos.devchain import legacy
from zos.devchain.testing import Devchain, devchain
from zos.substrate import Chain, ChainUnreachable, KeyKind, LocalKey

GiB = 1024**3
FARMER = LocalKey.of_text("//Alice")
NODE = LocalKey.of_seed(bytes(range(32)), KeyKind.ED25519)
TERMS = {"document_link": "http://zos.tf/terms/v0.1", "document_hash": "9021d4dee05a661e2cb6838152c67f25"}
RECORD = NodeRecord(
    farm=1,
    cru=8,
    mru=32 * GiB,
    sru=512 * GiB,
    hru=0,
    interfaces=(Interface("zos", "54:b2:03:12:34:56", ("10.0.0.5",)),),
)
HASH = "1fcdb75ce0bccc19c57a0011c5193616"


@pytest.fixture(params=legacy.NAMES)
def generation(request: pytest.FixtureRequest) -> str:
    """Every runtime that the devchain can play: the node must not see a difference."""
    return str(request.param)


@dataclass
class Bench:
    """A chain with a farm, a node's link and a user's connection."""

    dev: Devchain
    link: Link
    user: Chain

    async def contract(self, hash: str = HASH, data: str = "{}") -> int:
        done = await self.user.submit(
            "SmartContractModule",
            "create_node_contract",
            {
                "node_id": self.link.node,
                "deployment_hash": hash,
                "deployment_data": data,
                "public_ips": 0,
                "solution_provider_id": None,
            },
            FARMER,
        )
        event = done.event("SmartContractModule", "ContractCreated")
        assert event is not None
        return int(event.fields["contract_id"])

    async def cancel(self, id: int) -> None:
        await self.user.submit("SmartContractModule", "cancel_contract", {"contract_id": id}, FARMER)


@asynccontextmanager
async def bench(generation: str = "spec145", lag: int = 0, farm: int = 1) -> AsyncIterator[Bench]:
    async with (
        devchain(0.02, lag=lag, generation=generation) as dev,
        Chain([dev.url]) as user,
        Chain([dev.url]) as mine,
    ):
        await user.submit("TfgridModule", "user_accept_tc", TERMS, FARMER)
        await user.submit("TfgridModule", "create_twin", {"relay": None, "pk": None}, FARMER)
        await user.submit("TfgridModule", "create_farm", {"name": "farm", "public_ips": []}, FARMER)
        activation = ("http://127.0.0.1:1/gone", f"{dev.http}/activation/activate")
        yield Bench(dev, Link(mine, NODE, farm, activation), user)


async def test_a_first_boot_makes_account_terms_twin_and_node_once(generation: str) -> None:
    async with bench(generation) as b:
        await b.link.register(RECORD)
        assert (b.link.twin, b.link.node) == (2, 1)
        nonce = await b.user.rpc("system_accountNextIndex", "0x" + NODE.public.hex())
        await b.link.register(RECORD)
        assert await b.user.rpc("system_accountNextIndex", "0x" + NODE.public.hex()) == nonce
        assert (await b.user.query("TfgridModule", "Nodes", 1))["resources"]["cru"] == 8


async def test_a_node_that_changed_is_updated(generation: str) -> None:
    async with bench(generation) as b:
        await b.link.register(RECORD)
        await b.link.register(NodeRecord(1, 16, 32 * GiB, 512 * GiB, 0, RECORD.interfaces))
        assert (await b.user.query("TfgridModule", "Nodes", 1))["resources"]["cru"] == 16


async def test_a_place_is_kept_until_another_is_known(generation: str) -> None:
    placed = dataclasses.replace(RECORD, city="Ghent", country="Belgium", latitude="51.05", longitude="3.71667")
    async with bench(generation) as b:
        await b.link.register(RECORD)
        assert (await b.user.query("TfgridModule", "Nodes", 1))["location"]["city"] == b"Unknown"
        await b.link.register(placed)
        await b.link.register(dataclasses.replace(RECORD, cru=4))
        node = await b.user.query("TfgridModule", "Nodes", 1)
        assert node["resources"]["cru"] == 4
        assert {name: bytes(value).decode() for name, value in node["location"].items()} == {
            name: getattr(placed, name) for name in ("city", "country", "latitude", "longitude")
        }


async def test_an_orphan_registers_nowhere_and_a_poor_node_says_so(generation: str) -> None:
    async with bench(generation) as b:
        with pytest.raises(Orphan):
            await b.link.register(NodeRecord(0, 1, 1, 1, 0))
        poor = Link(b.link.chain, NODE, 1)
        with pytest.raises(NoFunds, match="cannot pay a fee"):
            await poor.register(RECORD)


async def test_uptime_and_resources_are_reported(generation: str) -> None:
    async with bench(generation) as b:
        await b.link.register(RECORD)
        block = await b.link.report_uptime(3600)
        (event,) = [e for e in await b.user.events(block.hash) if e.name == "NodeUptimeReported"]
        assert event.fields[0] == 1
        assert event.fields[2] == 3600
        id = await b.contract()
        await b.link.report_resources((ContractResources(id, cru=2, sru=50 * GiB, mru=4 * GiB),))
        used = await b.user.query("SmartContractModule", "NodeContractResources", id)
        assert used["used"] == {"hru": 0, "sru": 50 * GiB, "cru": 2, "mru": 4 * GiB}


async def test_a_contract_is_read_as_it_is_on_the_chain(generation: str) -> None:
    async with bench(generation) as b:
        await b.link.register(RECORD)
        id = await b.contract()
        contract = await b.link.contract(id)
        assert (contract.id, contract.twin, contract.node) == (id, 1, 1)
        assert contract.state is ContractState.CREATED
        assert contract.deployment_hash == HASH
        assert contract.deployment_data == b"{}"


@pytest.mark.parametrize("text", ["0x6162", "0x", "0x7b227b22", "0xzz"])
async def test_a_text_that_looks_like_hexadecimal_digits_stays_one(text: str) -> None:
    """Of a contract's data, and of a hash: who signs a document and who reads the chain must mean the same bytes."""
    hash = f"0x{text.encode().hex():0<30}"[:32]
    async with bench() as b:
        await b.link.register(RECORD)
        contract = await b.link.contract(await b.contract(hash, text))
        assert (contract.deployment_hash, contract.deployment_data) == (hash, text.encode())


async def test_a_cancelled_contract_is_told_from_one_that_is_not_there_yet(generation: str) -> None:
    async with bench(generation) as b:
        await b.link.register(RECORD)
        id = await b.contract()
        await b.cancel(id)
        with pytest.raises(NoSuchContract):
            await b.link.contract(id)
        with pytest.raises(ChainBehind):
            await b.link.contract(id + 1)


async def test_a_contract_that_is_not_final_yet_is_seen_at_the_best_block_only(generation: str) -> None:
    async with bench(generation) as b:
        await b.link.register(RECORD)
        b.dev.node.faults.unfinal = True
        id = await b.contract()
        with pytest.raises(ChainBehind):
            await b.link.contract(id)
        assert (await b.link.contract(id, best=True)).id == id


async def test_an_empty_storage_is_no_word_about_a_contract(generation: str) -> None:
    async with bench(generation) as b:
        await b.link.register(RECORD)
        id = await b.contract()
        b.dev.node.faults.empty = True
        with pytest.raises(ChainDoubtful):
            await b.link.contract(id)


async def test_events_of_this_node_are_told_after_what_is_present(generation: str) -> None:
    async with bench(generation) as b:
        await b.link.register(RECORD)
        first = await b.contract()
        seen: list[tuple[EventKind, int]] = []
        happened = asyncio.Event()

        async def follow() -> None:
            async for _, events in b.link.events(None):
                seen.extend((event.kind, event.contract) for event in events)
                if (EventKind.CANCELED, first) in seen:
                    happened.set()
                    return

        task = asyncio.create_task(follow())
        async with asyncio.timeout(10):
            while not seen:
                await asyncio.sleep(0.01)
            second = await b.contract("0" * 32)
            await b.cancel(first)
            await happened.wait()
        await task
        assert seen[0] == (EventKind.PRESENT, first)
        assert seen[1] == (EventKind.LISTED, 0)
        assert seen[2:] == [(EventKind.CREATED, second), (EventKind.CANCELED, first)]


async def test_a_gap_is_caught_up_from_the_cursor(generation: str) -> None:
    async with bench(generation) as b:
        await b.link.register(RECORD)
        head = await b.user.finalized()
        id = await b.contract()
        await b.cancel(id)
        kinds: list[EventKind] = []
        async with asyncio.timeout(10):
            async for _, events in b.link.events(Block(head.number, head.hash)):
                kinds += [event.kind for event in events if event.contract == id]
                if len(kinds) == 2:
                    break
        assert kinds == [EventKind.CREATED, EventKind.CANCELED]


async def test_a_farm_is_read_with_its_farmer(generation: str) -> None:
    async with bench(generation) as b:
        assert await b.link.farm_of(1) == Farm(1, "farm", 1)
        for absent in (0, 99):
            with pytest.raises(NoSuchFarm, match=f"no farm {absent} "):
                await b.link.farm_of(absent)


async def test_a_twin_is_read_with_its_account(generation: str) -> None:
    async with bench(generation) as b:
        assert (await b.link.twin_of(1)).account == FARMER.public
        with pytest.raises(NoSuchTwin):
            await b.link.twin_of(99)


async def test_a_node_publishes_its_relay_and_key_once_and_keeps_them_true(generation: str) -> None:
    async with bench(generation) as b:
        contact, gift = Contact("relay.one", b"\x02" * 33), (f"{b.dev.http}/activation/activate",)
        await Link(b.link.chain, NODE, 1, gift, contact).register(RECORD)
        id = int(await b.user.query("TfgridModule", "TwinIdByAccountID", NODE.public))
        twin = await b.link.twin_of(id)
        # Twins had no keys before spec 124.
        assert (twin.relay, twin.pk) == ("relay.one", b"\x02" * 33 if generation == "spec145" else b"")
        before = await b.user.query("System", "Account", NODE.public)
        await Link(b.link.chain, NODE, 1, gift, contact).register(RECORD)
        assert (await b.user.query("System", "Account", NODE.public))["nonce"] == before["nonce"]
        await Link(b.link.chain, NODE, 1, gift, Contact("relay.two", contact.e2e_key)).register(RECORD)
        assert (await b.link.twin_of(id)).relay == "relay.two"


def test_relays_are_published_by_their_hosts_names() -> None:
    assert relay_text(["wss://b.example:443", "wss://a.example/", "ws://a.example"]) == "a.example_b.example"
    with pytest.raises(BadRelay):
        relay_text(["relay.example"])


async def test_a_chain_that_says_it_is_another_one_is_no_word_about_a_contract() -> None:
    async with bench() as b:
        await b.link.register(RECORD)
        id = await b.contract()
        b.dev.node.faults.wrong_genesis = True
        async with Chain([b.dev.url], genesis=b.dev.node.genesis_hash.hex()) as chain:
            with pytest.raises(ChainUnreachable):
                await Link(chain, NODE, 1).contract(id)
        b.dev.node.faults.wrong_genesis = False
        assert (await b.link.contract(id)).id == id


async def test_finality_that_is_behind_is_waited_for() -> None:
    async with bench() as b:
        await b.link.register(RECORD)
        b.dev.node.faults.lag = 10_000
        id = await b.contract()
        with pytest.raises(ChainBehind):
            await b.link.contract(id)
        b.dev.node.faults.lag = 0
        b.dev.node.finalize()
        assert (await b.link.contract(id)).id == id
