"""What the node is told of its contracts after absence, gaps and misbehaviour: never too little, never a false end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from zos.chain import link as link_module
from zos.chain.api import Block, ChainBehind, ChainDoubtful, ContractEvent, EventKind, NoSuchContract
from zos.chain.feed import CURSOR, IDENTITY, ContractFeed, Identity
from zos.chain.link import Link
from zos.chain.tests.test_link import FARMER, HASH, NODE, RECORD, TERMS, Bench
from zos.devchain import legacy
from zos.devchain.genesis import Genesis
from zos.devchain.testing import Devchain, devchain, line
from zos.runtime.ledger import Ledger
from zos.substrate import Chain, ChainUnreachable, OtherChain


@pytest.fixture(params=legacy.NAMES)
def generation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def new_feed(folder: Path, link: Link, backlog: int = 100) -> ContractFeed:
    cursor = Ledger(folder / "cursor", Block, 1)
    return ContractFeed(link, cursor, Ledger(folder / "chain", Identity, 1), backlog)


@asynccontextmanager
async def registered(dev: Devchain) -> AsyncIterator[Bench]:
    """A farm, a registered node, a user."""
    async with Chain([dev.url]) as user, Chain([dev.url]) as mine:
        await user.submit("TfgridModule", "user_accept_tc", TERMS, FARMER)
        await user.submit("TfgridModule", "create_twin", {"relay": None, "pk": None}, FARMER)
        await user.submit("TfgridModule", "create_farm", {"name": "farm", "public_ips": []}, FARMER)
        link = Link(mine, NODE, 1, (f"{dev.http}/activation/activate",))
        await link.register(RECORD)
        yield Bench(dev, link, user)


@asynccontextmanager
async def following(feed: ContractFeed) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(feed.follow())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def read_up_to(feed: ContractFeed, block: int) -> None:
    async with asyncio.timeout(20):
        while feed.finalized.number < block:
            await asyncio.sleep(0.005)


async def received(link: Link, after: Block, wanted: int) -> list[ContractEvent]:
    """The first events after a block."""
    events: list[ContractEvent] = []
    async with asyncio.timeout(20):
        async for _, told in link.events(after):
            events += told
            if len(events) >= wanted:
                break
    return events


async def test_reading_goes_on_from_the_cursor_after_absence(tmp_path: Path, generation: str) -> None:
    async with devchain(0.02, generation=generation) as dev, registered(dev) as b:
        feed = new_feed(tmp_path, b.link)
        async with following(feed):
            await read_up_to(feed, (await b.user.head()).number)
            first = await b.contract()
            await read_up_to(feed, (await b.user.head()).number)
        await b.cancel(first)
        second = await b.contract("0" * 32)
        again = new_feed(tmp_path, b.link)
        events = await received(b.link, again.finalized, 2)
        assert [(event.kind, event.contract) for event in events] == [
            (EventKind.CANCELED, first),
            (EventKind.CREATED, second),
        ]


async def test_a_long_absence_is_made_good_by_reading_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "CATCH_UP", 5)
    async with devchain(0.02) as dev, registered(dev) as b:
        before = await b.user.finalized()
        first, second = await b.contract(), await b.contract("0" * 32)
        await b.cancel(first)
        for _ in range(10):
            dev.node.make_block()
        events = await received(b.link, Block(before.number, before.hash), 2)
        assert [(event.kind, event.contract) for event in events] == [
            (EventKind.PRESENT, second),
            (EventKind.LISTED, 0),
        ]


async def test_events_that_the_chain_no_longer_has_are_made_good_by_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "CATCH_UP", 10_000)
    async with devchain(0.02) as dev, registered(dev) as b:
        before = await b.user.finalized()
        id = await b.contract()
        for _ in range(300):
            dev.node.make_block()
        events = await received(b.link, Block(before.number, before.hash), 1)
        assert (events[0].kind, events[0].contract) == (EventKind.PRESENT, id)


async def test_events_that_cannot_be_decoded_are_made_good_by_reading() -> None:
    async with devchain(0.02) as dev, registered(dev) as b:
        id = await b.contract()
        dev.node.faults.stalled = True
        block = dev.node.make_block()
        key = (await b.user.runtime()).key("System", "Events")
        dev.node.state.load(key, b"\x04\xff\xff\xff")
        before = Block(block.number - 1, "0x" + block.parent.hex())
        events = await received(b.link, before, 1)
        assert (events[0].kind, events[0].contract) == (EventKind.PRESENT, id)


async def test_a_watcher_that_is_too_slow_hears_what_is_present_again(tmp_path: Path) -> None:
    async with devchain(0.02) as dev, registered(dev) as b:
        feed = new_feed(tmp_path, b.link, backlog=2)
        async with following(feed):
            await read_up_to(feed, (await b.user.head()).number)
            id = await b.contract()
            events = feed.watch()
            assert (await anext(events)).kind is EventKind.PRESENT
            assert (await anext(events)).kind is EventKind.LISTED
            for _ in range(5):
                arguments = {"contract_id": id, "deployment_hash": HASH, "deployment_data": "{}"}
                await b.user.submit("SmartContractModule", "update_node_contract", arguments, FARMER)
            await read_up_to(feed, (await b.user.head()).number)
            async with asyncio.timeout(10):
                assert (await anext(events)).kind is EventKind.PRESENT
                assert (await anext(events)).kind is EventKind.LISTED
            await events.aclose()


async def test_a_cut_line_is_followed_up_without_a_gap(tmp_path: Path, generation: str) -> None:
    async with (
        devchain(0.02, generation=generation) as dev,
        registered(dev) as b,
        line(dev) as way,
        Chain([way.url]) as mine,
    ):
        link = Link(mine, NODE, 1)
        feed = new_feed(tmp_path, link)
        async with following(feed) as task:
            await read_up_to(feed, (await b.user.head()).number)
            way.cut()
            with pytest.raises(ChainUnreachable):
                await task
        assert feed.detail
        id = await b.contract()
        events = await received(link, feed.finalized, 1)
        assert (events[0].kind, events[0].contract) == (EventKind.CREATED, id)


async def test_the_node_stays_with_its_chain_across_a_restart(tmp_path: Path) -> None:
    async with devchain(0.02) as dev, registered(dev) as b:
        feed = new_feed(tmp_path, b.link)
        async with following(feed):
            await read_up_to(feed, (await b.user.head()).number + 10)
        known = Ledger(tmp_path / "chain", Identity, 1).get(IDENTITY)
        assert known == Identity(await b.user.genesis())
        cursor = Ledger(tmp_path / "cursor", Block, 1).get(CURSOR)
        assert cursor is not None
        id = await b.contract()
    async with (
        devchain(0.02, genesis=Genesis(balances={"0x" + "11" * 32: 1000})) as other,
        Chain([other.url], genesis=known.genesis) as chain,
    ):
        with pytest.raises(OtherChain):
            await Link(chain, NODE, 1).contract(id)
    async with devchain(0.02) as anew, Chain([anew.url], genesis=known.genesis) as chain:
        new_feed(tmp_path, Link(chain, NODE, 1))
        with pytest.raises(ChainUnreachable):
            await Link(chain, NODE, 1).contract(id)


WRONGS = ("empty", "slow", "unfinal", "dead", "reorganised")


@pytest.mark.parametrize("wrong", WRONGS)
async def test_nothing_that_goes_wrong_is_the_end_of_a_contract(wrong: str, generation: str) -> None:
    async with (
        devchain(0.02, generation=generation) as dev,
        registered(dev) as b,
        line(dev) as way,
        Chain([way.url]) as mine,
    ):
        link = Link(mine, NODE, 1)
        await link.find_self()
        dev.node.faults.unfinal = wrong == "unfinal"
        id = await b.contract()
        match wrong:
            case "empty":
                dev.node.faults.empty = True
            case "slow":
                way.mute = True
            case "dead":
                way.dead = True
                way.cut()
            case "reorganised":
                dev.node.faults.unfinal = True
                await b.cancel(id)
                assert dev.node.reorganise(10) > 0
        try:
            async with asyncio.timeout(0.5):
                assert (await link.contract(id)).id == id
        except NoSuchContract:
            pytest.fail(f"{wrong}: the contract is said to be over")
        except (ChainDoubtful, ChainBehind, ChainUnreachable, TimeoutError):
            assert wrong != "reorganised"
        if wrong == "unfinal":
            dev.node.faults.unfinal = False
            dev.node.finalize()
            assert (await link.contract(id)).id == id


def test_ledgers_of_version_1_are_read(tmp_path: Path):
    for name, records in json.loads((Path(__file__).parent / "ledger/v1.json").read_text()).items():
        (tmp_path / name).mkdir()
        for record in records:
            (tmp_path / name / f"{record['key']}.json").write_text(json.dumps(record))
    assert Ledger(tmp_path / "cursor", Block).get(CURSOR) == Block(1234, "0x" + "ab" * 32)
    assert Ledger(tmp_path / "chain", Identity).get(IDENTITY) == Identity("0x" + "cd" * 32)
