"""Turns: however much one network asks for, and however many new ones come, each has its part of the time."""

from __future__ import annotations

import asyncio
import time

from zos.zdb.turns import Turns

WORK = 0.0005


class Worker:
    """A connection with so many requests."""

    def __init__(self, network: str, requests: int) -> None:
        self.network = network
        self.left = requests
        self.is_aborted = False

    def work(self, until: float) -> bool:
        while self.left and time.perf_counter() < until:
            ends = time.perf_counter() + WORK
            while time.perf_counter() < ends:
                pass
            self.left -= 1
        return bool(self.left)

    def abort(self) -> None:
        self.is_aborted = True


class Faulty(Worker):
    def work(self, until: float) -> bool:
        raise RuntimeError("a fault of ours")


async def _until_done(worker: Worker) -> None:
    async with asyncio.timeout(10):
        while worker.left:
            await asyncio.sleep(0)


async def test_many_connections_of_one_network_have_one_part() -> None:
    given = Turns()
    greedy = [Worker("a", 20) for _ in range(50)]
    for one in greedy:
        given.wants(one)
    other = Worker("b", 20)
    given.wants(other)
    await _until_done(other)
    assert sum(one.left for one in greedy) > 800


async def test_a_stream_of_new_networks_does_not_keep_one_from_its_turn() -> None:
    given = Turns()
    other = Worker("b", 40)
    given.wants(other)
    count, new = 0, [Worker("new", 0)] * 3
    async with asyncio.timeout(10):
        while other.left:
            for place, one in enumerate(new):
                if not one.left:
                    count += 1
                    new[place] = Worker(f"new-{count}", 2)
                    given.wants(new[place])
            await asyncio.sleep(0)
    assert count < 200


async def test_a_fault_ends_its_connection_and_gives_the_turn_on() -> None:
    given = Turns()
    first, faulty, last = Worker("a", 20), Faulty("b", 1), Worker("c", 20)
    for one in (first, faulty, last):
        given.wants(one)
    await _until_done(last)
    await _until_done(first)
    assert faulty.is_aborted
