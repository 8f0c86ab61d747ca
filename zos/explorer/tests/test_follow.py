"""The explorer and a real devchain: what happens there is told here, whatever happens to either of them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from zos.devchain.genesis import Genesis
from zos.devchain.node import Node
from zos.devchain.server import serving
from zos.devchain.testing import devchain
from zos.explorer.command import Settings
from zos.explorer.errors import AnotherChain, ImplausibleAnswer
from zos.explorer.service import running
from zos.explorer.tests.grid import DATA, FARMER, HASH, NODE, USER, GiB, Web, explorer, grid, node_arguments
from zos.runtime.clock import FakeClock
from zos.substrate import Chain, address


async def test_a_grid_that_was_there_before_is_read_whole(tmp_path: Path) -> None:
    async with grid() as g, explorer(tmp_path, g.chain) as x:
        await g.everybody()
        contract = await g.contract(ips=1)
        await x.to(g.chain)
        (node,) = await x.web.get("/nodes")
        assert (node["nodeId"], node["farmId"], node["twinId"], node["status"]) == (1, 1, 3, "up")
        assert node["total_resources"] == {"cru": 8, "sru": 512 * GiB, "hru": 0, "mru": 32 * GiB}
        assert node["uptime"] == 100
        (farm,) = await x.web.get("/farms")
        assert farm["stellarAddress"] == "GSTELLAR"
        assert [ip["contract_id"] for ip in farm["publicIps"]] == [contract, 0]
        found = await x.web.get(f"/contracts/{contract}")
        assert found["details"] == {
            "nodeId": 1,
            "deployment_data": DATA,
            "deployment_hash": HASH,
            "number_of_public_ips": 1,
            "farm_name": "Freefarm",
            "farm_id": 1,
        }
        assert abs(found["created_at"] - int(x.clock.time())) < 60
        twins = await x.web.get("/twins")
        assert [twin["accountId"] for twin in twins] == [address(key.public) for key in (FARMER, USER, NODE)]
        assert (twins[2]["relay"], twins[2]["publicKey"]) == ("relay.lab", "0x" + "02" * 33)


async def test_what_happens_afterwards_is_told(tmp_path: Path) -> None:
    async with grid() as g, explorer(tmp_path, g.chain) as x:
        await x.to(g.chain)
        assert await x.web.get("/nodes") == []
        await g.everybody()
        await x.to(g.chain)
        (node,) = await x.web.get("/nodes")
        assert (node["power"], node["rentable"], node["dedicated"]) == ({"state": "", "target": ""}, True, True)
        contract = await g.contract(ips=2)
        used = {"contract_id": contract, "used": {"hru": 0, "sru": 50 * GiB, "cru": 2, "mru": 4 * GiB}}
        await g.do(NODE, "SmartContractModule", "report_contract_resources", contract_resources=[used])
        await g.do(FARMER, "TfgridModule", "change_power_target", node_id=1, power_target="Down")
        await x.to(g.chain)
        (node,) = await x.web.get("/nodes")
        assert node["used_resources"]["cru"] == 2
        assert node["used_resources"]["sru"] == 70 * GiB
        assert (node["power"], node["status"]) == ({"state": "Up", "target": "Down"}, "standby")
        assert (node["rentable"], node["dedicated"], node["farm_free_ips"]) == (False, False, 0)
        await g.do(USER, "SmartContractModule", "cancel_contract", contract_id=contract)
        await x.to(g.chain)
        assert (await x.web.get(f"/contracts/{contract}"))["state"] == "Deleted"
        (node,) = await x.web.get("/nodes")
        assert (node["used_resources"]["cru"], node["farm_free_ips"]) == (0, 2)


@pytest.mark.parametrize("generation", ["spec49", "spec61"])
async def test_old_runtimes_are_followed_as_well(tmp_path: Path, generation: str) -> None:
    async with grid(generation=generation) as g, explorer(tmp_path, g.chain) as x:
        await g.farm()
        await g.twin(USER)
        await x.to(g.chain)
        await g.node()
        await g.uptime()
        contract = await g.contract(ips=1)
        await x.to(g.chain)
        (node,) = await x.web.get("/nodes?status=up")
        assert (node["country"], node["city"], node["total_resources"]["cru"]) == ("Belgium", "Ghent", 8)
        assert (node["certificationType"], node["power"]) == ("Diy", {"state": "", "target": ""})
        assert (await x.web.get("/farms"))[0]["publicIps"][0]["contract_id"] == contract
        assert (await x.web.get(f"/contracts/{contract}"))["details"]["deployment_hash"] == HASH
        await g.do(USER, "SmartContractModule", "cancel_contract", contract_id=contract)
        await x.to(g.chain)
        assert (await x.web.get(f"/contracts/{contract}"))["state"] == "Deleted"
        assert (await x.web.get("/farms"))[0]["publicIps"][0]["contract_id"] == 0


async def test_a_public_config_and_a_moved_node_are_told(tmp_path: Path) -> None:
    async with grid() as g, explorer(tmp_path, g.chain) as x:
        await g.everybody()
        await x.to(g.chain)
        config = {
            "ip4": {"ip": "185.1.2.9/24", "gw": "185.1.2.1"},
            "ip6": {"ip": "2a02:1802:5e::9/64", "gw": "2a02:1802:5e::1"},
            "domain": "gw.example.org",
        }
        assert (await x.web.get("/gateways/1", 404)) == {"error": "gateway not found"}
        await g.do(FARMER, "TfgridModule", "add_node_public_config", farm_id=1, node_id=1, public_config=config)
        await g.do(NODE, "TfgridModule", "update_node", node_id=1, **node_arguments(16))
        await x.to(g.chain)
        node = await x.web.get("/gateways/1")
        assert node["publicConfig"] == {
            "ipv4": "185.1.2.9/24",
            "gw4": "185.1.2.1",
            "ipv6": "2a02:1802:5e::9/64",
            "gw6": "2a02:1802:5e::1",
            "domain": "gw.example.org",
        }
        assert node["capacity"]["total_resources"]["cru"] == 16
        assert "total_resources" not in node


async def test_a_contract_that_came_and_went_unseen_is_known_as_deleted(tmp_path: Path) -> None:
    async with grid() as g, explorer(tmp_path, g.chain) as x:
        await g.everybody()
        await x.to(g.chain)
        contract = await g.contract()
        await g.do(USER, "SmartContractModule", "cancel_contract", contract_id=contract)
        await x.to(g.chain)
        found = await x.web.get(f"/contracts/{contract}")
        assert (found["state"], found["details"]["deployment_data"]) == ("Deleted", DATA)


async def test_it_goes_on_where_it_stopped(tmp_path: Path) -> None:
    async with grid() as g:
        async with explorer(tmp_path, g.chain) as x:
            await g.everybody()
            await x.to(g.chain)
            stopped = x.follower.cursor
        contract = await g.contract()
        async with explorer(tmp_path, g.chain) as x:
            assert x.follower.cursor == stopped
            assert len(await x.web.get("/nodes")) == 1
            await x.to(g.chain)
            assert (await x.web.get(f"/contracts/{contract}"))["state"] == "Created"


async def test_a_gap_is_filled_by_reading_all_again(tmp_path: Path) -> None:
    async with grid() as g, explorer(tmp_path, g.chain, look_back=3) as x:
        await g.everybody()
        gone = await g.contract()
        await x.to(g.chain)
        await g.do(USER, "SmartContractModule", "cancel_contract", contract_id=gone)
        kept = await g.contract("f" * 32)
        start = x.follower.cursor
        assert start is not None

        async def is_far() -> bool:
            return g.dev.node.head.number > start.number + 20

        async with asyncio.timeout(20):
            while not await is_far():
                await asyncio.sleep(0.01)
        await x.to(g.chain)
        states = {one["contract_id"]: one["state"] for one in await x.web.get("/contracts")}
        assert states == {gone: "Deleted", kept: "Created"}
        (node,) = await x.web.get("/nodes")
        assert node["updatedAt"] > 0


async def test_state_that_the_chain_no_longer_has_is_no_hindrance(tmp_path: Path) -> None:
    async with grid(block_time=0) as g, explorer(tmp_path, g.chain) as x:
        g.dev.node.make_block()
        await x.to(g.chain)
        for _ in range(600):
            g.dev.node.make_block()
        await x.to(g.chain)
        assert x.follower.cursor is not None
        assert x.follower.cursor.number == 601


async def test_a_chain_whose_storage_is_empty_is_not_believed(tmp_path: Path) -> None:
    async with grid() as g, explorer(tmp_path, g.chain) as x:
        await g.everybody()
        await x.to(g.chain)
        g.dev.node.faults.empty = True
        with pytest.raises(ImplausibleAnswer):
            await x.to(g.chain, until=_never)
        x.follower.cursor = None
        with pytest.raises(ImplausibleAnswer):
            await x.to(g.chain, until=_never)
        assert len(await x.web.get("/nodes")) == 1


async def _never() -> bool:
    return False


async def test_a_chain_that_began_anew_is_read_anew(tmp_path: Path) -> None:
    async with grid() as g, explorer(tmp_path, g.chain) as x:
        await g.everybody()
        await x.to(g.chain)
    async with grid() as g, explorer(tmp_path, g.chain) as x:
        assert len(await x.web.get("/nodes")) == 1
        await g.twin(USER)
        await x.to(g.chain)
        assert await x.web.get("/nodes") == []
        assert len(await x.web.get("/twins")) == 1


async def test_another_chain_is_refused_and_what_is_here_stays(tmp_path: Path) -> None:
    async with grid() as g, explorer(tmp_path, g.chain) as x:
        await g.everybody()
        await x.to(g.chain)
    other = Genesis(balances={"0x" + "11" * 32: 1000})
    async with devchain(0.03, genesis=other) as dev, Chain([dev.url]) as chain, explorer(tmp_path, chain) as x:
        with pytest.raises(AnotherChain):
            await x.to(chain, until=_never)
        assert len(await x.web.get("/nodes")) == 1


async def test_a_node_that_falls_silent_goes_down(tmp_path: Path) -> None:
    async with grid() as g:
        clock = FakeClock(time.time())
        async with explorer(tmp_path, g.chain, clock=clock) as x:
            await g.everybody()
            await x.to(g.chain)
            assert (await x.web.get("/nodes/1/status")) == {"status": "up"}
            clock.advance(79 * 60)
            assert (await x.web.get("/nodes/1/status")) == {"status": "up"}
            clock.advance(2 * 60)
            assert (await x.web.get("/nodes/1/status")) == {"status": "down"}
            assert await x.web.get("/nodes?status=up") == []
            assert len(await x.web.get("/nodes?status=down")) == 1


async def test_a_chain_that_travels_in_time_takes_the_nodes_along(tmp_path: Path) -> None:
    async with grid() as g, explorer(tmp_path, g.chain) as x:
        await g.everybody()
        for _ in g.dev.node.advance(7 * 24 * 3600):
            pass
        await x.to(g.chain)
        assert (await x.web.get("/nodes/1/status")) == {"status": "down"}
        await g.uptime(5)
        await x.to(g.chain)
        assert (await x.web.get("/nodes/1/status")) == {"status": "up"}


@contextlib.asynccontextmanager
async def chain_on(port: int, data: Path) -> AsyncIterator[int]:
    """A devchain that keeps its blocks, on this port."""
    node = Node(Genesis(), data)
    ticking = asyncio.create_task(node.run(0.03))
    try:
        async with serving(node, "127.0.0.1", port) as bound:
            yield bound
    finally:
        ticking.cancel()
        await asyncio.gather(ticking, return_exceptions=True)
        node.close()


async def test_it_survives_the_chain_going_away_and_coming_back(tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as first:
        port = await first.enter_async_context(chain_on(0, tmp_path / "chain"))
        settings = Settings([f"ws://127.0.0.1:{port}"], str(tmp_path / "gridproxy.sqlite"), port=0)
        async with running(settings) as x, asyncio.timeout(30), aiohttp.ClientSession() as session:
            web = Web(x.url, session)
            await x.follower.reached(3)
            assert (await web.get("/health"))["total_state_ok"]
            await first.aclose()
            while not x.follower.detail:
                await asyncio.sleep(0.01)
            health = await web.get("/health")
            assert (health["total_state_ok"], health["db_conn"]) == (False, "ok")
            assert x.follower.cursor is not None
            reached = x.follower.cursor.number
            async with chain_on(port, tmp_path / "chain"):
                await x.follower.reached(reached + 5)
                while x.follower.detail:
                    await asyncio.sleep(0.01)
