"""Turns at work that all tenants share."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from zos.runtime.fair import FairSlots


class Bench:
    """Pieces of work of tenants, which end when a test says so."""

    def __init__(self, slots: int) -> None:
        self.slots = FairSlots(slots)
        self.running: list[tuple[str, asyncio.Event]] = []
        self.order: list[str] = []

    async def work(self, tenant: str) -> None:
        async with self.slots.turn(tenant):
            gate = asyncio.Event()
            self.order.append(tenant)
            self.running.append((tenant, gate))
            try:
                await gate.wait()
            finally:
                self.running.remove((tenant, gate))


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_tenant_with_many_slow_flists_delays_only_his_own():
    bench = Bench(2)
    tasks = [asyncio.create_task(bench.work("26")) for _ in range(50)]
    await settle()
    assert bench.order == ["26"], "one at a time"
    tasks += [asyncio.create_task(bench.work(tenant)) for tenant in ("27", "28", "27")]
    await settle()
    assert bench.order == ["26", "27"]
    bench.running[0][1].set()
    await settle()
    assert bench.order == ["26", "27", "28"], "who had a turn is behind the others"
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    last = asyncio.create_task(bench.work("29"))
    await settle()
    assert bench.order[-1] == "29", "what was cancelled holds no slot"
    bench.running[-1][1].set()
    await last
    assert bench.slots._waiting == {}


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), max_size=30), st.integers(1, 3))
def test_every_slot_is_used_and_everybody_has_his_turn(asked: list[tuple[str, bool]], slots: int):
    async def run() -> None:
        bench = Bench(slots)
        tasks = [(tenant, gone, asyncio.create_task(bench.work(tenant))) for tenant, gone in asked]
        await settle()
        for _, gone, task in tasks:
            if gone:
                task.cancel()
        await settle()
        left = sum(1 for _, gone, _ in tasks if not gone)
        waiting = [tenant for tenant, gone, _ in tasks if not gone]
        for _ in range(left):
            running = [tenant for tenant, _ in bench.running]
            assert len(running) == len(set(running)) <= slots
            assert len(running) == min(slots, len(set(waiting)))
            tenant, gate = bench.running[0]
            waiting.remove(tenant)
            gate.set()
            await settle()
        assert bench.running == []
        await asyncio.gather(*(task for *_, task in tasks), return_exceptions=True)

    asyncio.run(run())
