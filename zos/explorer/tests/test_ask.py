"""Nodes are asked for what the chain does not know, and are believed only so far."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, select

from zos.explorer.clock import GridClock
from zos.explorer.nodes import probes
from zos.explorer.nodes.poller import PARALLEL_SILENT, RETRY, NodePoller
from zos.explorer.nodes.probes import PROBES, Probe, UnexpectedAnswer
from zos.explorer.rules import features_mask
from zos.explorer.store.changes import Changes, EventFacts
from zos.explorer.store.pool import QueryPool
from zos.explorer.store.schema import GPU, NODE, REPORT
from zos.explorer.store.writer import Store
from zos.explorer.tests import rows
from zos.explorer.tests.grid import FakeNode
from zos.runtime.clock import FakeClock

DMI = {
    "tooling": {"aggregator": "dmidecode", "decoder": "x"},
    "sections": [
        {
            "typestr": "BIOS",
            "subsections": [
                {"title": "BIOS Information", "properties": {"Vendor": {"value": "AMI"}, "Version": {"value": "1.2"}}}
            ],
        },
        {
            "typestr": "MemoryDevice",
            "subsections": [
                {"title": "Memory Device", "properties": {"Manufacturer": {"value": "S"}, "Type": {"value": "DDR5"}}},
                {"title": "Memory Device", "properties": {"Type": {"value": "Unknown"}}},
            ],
        },
        {
            "typestr": "Processor",
            "subsections": [
                {
                    "title": "Processor Information",
                    "properties": {"Version": {"value": "EPYC"}, "Thread Count": {"value": "64"}},
                }
            ],
        },
        {"typestr": "Baseboard", "subsections": None},
    ],
}
ANSWERS: dict[str, Any] = {
    "zos.system.diagnostics": {"healthy": True, "modules": {}},
    "zos.system.node_features_get": ["zmachine", "network", "flying"],
    "zos.network.has_ipv6": True,
    "zos.statistics.get": {"users": {"workloads": 7}},
    "zos.gpu.list": [{"id": "0000:01", "vendor": "NVIDIA", "device": "RTX", "contract": 5}],
    "zos.system.dmi": DMI,
    "zos.perf.get": {"name": "iperf", "result": [{"download_speed": 0}, {"download_speed": 2e9, "upload_speed": 1e9}]},
}


@dataclass
class World:
    """Five nodes, of which 1, 2 and 5 are up."""

    engine: Engine
    clock: FakeClock
    node: FakeNode
    poller: NodePoller

    async def round(self) -> None:
        """Until everything that is due was asked."""
        async with asyncio.TaskGroup() as group:
            await self.poller.start_due(group)

    def row(self, table: Any, node: int) -> Any:
        with self.engine.connect() as db:
            return db.execute(select(table).where(table.c.node_id == node)).mappings().first()


@pytest.fixture
async def world(empty: Engine) -> AsyncIterator[World]:
    store, clock, node = Store(empty), FakeClock(rows.NOW), FakeNode(dict(ANSWERS))
    rows.small(store)
    pool = QueryPool(empty)
    yield World(empty, clock, node, NodePoller(node, store, pool, GridClock(clock)))
    pool.close()


async def test_living_nodes_are_asked_everything_and_others_nothing(world: World) -> None:
    await world.round()
    assert {twin for twin, _ in world.node.asked} == {10_001, 10_002, 10_005}
    assert {command for twin, command in world.node.asked if twin == 10_001} == {one.command for one in PROBES}
    row, report = world.row(NODE, 1), world.row(REPORT, 1)
    assert (row["healthy"], row["has_ipv6"], row["workloads"], row["num_gpu"]) == (True, True, 7, 1)
    assert row["features"] == features_mask(["zmachine", "network"])
    assert report["features"] == ["zmachine", "network", "flying"]
    assert (report["download"], report["upload"]) == (2e9, 1e9)
    assert report["bios"] == {"vendor": "AMI", "version": "1.2"}
    assert report["memory"] == [{"manufacturer": "S", "type": "DDR5"}]
    assert report["processor"] == [{"version": "EPYC", "thread_count": "64"}]
    assert world.row(GPU, 1)["contract"] == 5


async def test_nobody_is_asked_again_before_it_is_time(world: World) -> None:
    await world.round()
    asked = len(world.node.asked)
    await world.round()
    assert len(world.node.asked) == asked
    world.clock.advance(5 * 60 + 1)
    await world.round()
    assert [command for _, command in world.node.asked[asked:]] == ["zos.system.diagnostics"] * 3


async def test_a_silent_node_is_not_healthy_and_keeps_what_it_said_before(world: World) -> None:
    await world.round()
    world.node.answers.clear()
    world.clock.advance(3601)
    await world.round()
    row = world.row(NODE, 1)
    assert (row["healthy"], row["workloads"]) == (False, 7)
    assert world.row(REPORT, 1)["features"] == ["zmachine", "network", "flying"]
    assert world.row(GPU, 1)["device"] == "RTX"


async def test_a_node_that_is_not_well_is_asked_for_its_health_soon_again(world: World) -> None:
    world.node.answers["zos.system.diagnostics"] = {"healthy": False}
    await world.round()
    assert world.row(NODE, 1)["healthy"] is False
    world.node.answers["zos.system.diagnostics"] = {"healthy": True}
    asked = len(world.node.asked)
    world.clock.advance(31)
    await world.round()
    assert world.row(NODE, 1)["healthy"] is True
    assert [command for _, command in world.node.asked[asked:]] == ["zos.system.diagnostics"] * 3


async def test_a_card_that_was_result_out_is_gone(world: World) -> None:
    await world.round()
    world.node.answers["zos.gpu.list"] = None
    world.clock.advance(3601)
    await world.round()
    assert world.row(GPU, 1) is None
    assert world.row(NODE, 1)["num_gpu"] == 0


async def test_a_node_that_never_answers_delays_no_other(world: World) -> None:
    world.node.dead[10_001] = asyncio.Event()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        await world.poller.start_due(group)
        while world.row(REPORT, 2) is None or not world.row(REPORT, 2)["speed_at"]:
            await asyncio.sleep(0.01)
        assert world.row(REPORT, 1) is None
        # The others are asked again while it still is silent, and it is not asked twice.
        world.clock.advance(RETRY + 1)
        await world.poller.start_due(group)
        while world.row(REPORT, 2)["health_at"] < rows.NOW + RETRY:
            await asyncio.sleep(0.01)
        assert [twin for twin, _ in world.node.asked].count(10_001) == 1
        world.node.dead.pop(10_001).set()
    assert world.row(REPORT, 1)["features_at"]


async def test_silent_nodes_wait_for_each_other_only(empty: Engine) -> None:
    nodes: dict[int, Any] = {id: rows.node(id) for id in range(1, 101)}
    reports = dict.fromkeys(nodes, (rows.NOW, 1))
    store, clock = Store(empty), FakeClock(rows.NOW)
    store.apply(Changes(nodes=nodes, farms={1: rows.farm(1)}, is_whole=True), EventFacts(uptimes=reports), rows.CURSOR)
    node, pool = FakeNode(dict(ANSWERS)), QueryPool(empty)
    silent = {10_000 + id: asyncio.Event() for id in range(1, 81)}
    node.dead = dict(silent)
    poller = NodePoller(node, store, pool, GridClock(clock), deadline=0.05)

    def answered() -> int:
        with empty.connect() as db:
            return len(db.execute(select(REPORT.c.node_id).where(REPORT.c.features_at > 0)).all())

    try:
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            await poller.start_due(group)
        assert answered() == 20
        # By now it is known who is silent: of these only a few are asked at a time, and nobody waits for them.
        clock.advance(RETRY + 1)
        node.asked.clear()
        slow = NodePoller(node, store, pool, GridClock(clock))
        slow._silent = poller._silent
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            await slow.start_due(group)
            while len({twin for twin, _ in node.asked} - silent.keys()) < 20:
                await asyncio.sleep(0.01)
            assert len({twin for twin, _ in node.asked} & silent.keys()) == PARALLEL_SILENT
            node.dead.clear()
            for event in silent.values():
                event.set()
        assert answered() == 100
    finally:
        pool.close()


async def test_a_question_that_silences_a_node_hides_no_other(world: World) -> None:
    hole = asyncio.Event()
    world.node.holes["zos.network.has_ipv6"] = hole
    world.poller._deadline = 0.05
    for _ in PROBES:
        await world.round()
        world.clock.advance(RETRY + 1)
    report = world.row(REPORT, 1)
    assert [one.name for one in PROBES if not report[f"{one.name}_at"]] == ["ipv6"]


async def test_when_nobody_can_be_asked_nothing_is_concluded(world: World) -> None:
    await world.round()
    asked = len(world.node.asked)
    world.clock.advance(3601)
    world.node.trouble = "no relay"
    await world.round()
    assert len(world.node.asked) == asked
    # The connection may be lost in the middle of asking.
    world.node.trouble = ""
    world.node.answers.clear()
    world.node.loses = True
    await world.round()
    assert world.row(NODE, 1)["healthy"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(st.sampled_from(PROBES), JSON)
def test_strange_answers_are_refused_or_cut(probe: Probe, answer: Any) -> None:
    try:
        result = probe.parse(answer)
    except UnexpectedAnswer:
        return
    assert set(result.columns) <= set(NODE.c.keys())
    assert set(result.report) <= set(REPORT.c.keys())


def test_long_texts_and_lists_are_cut() -> None:
    result = PROBES[1].parse(["x" * 10_000] * 10_000)
    assert result.report["features"] == ["x" * probes.MAX_TEXT] * probes.MAX_ENTRIES
