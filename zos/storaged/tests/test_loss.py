"""A pool that something else fills: it is noticed when it lasts, told, and nothing new is put there."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zos.errors import Kind as ErrorKind
from zos.model.units import GiB
from zos.runtime.clock import FakeClock
from zos.storaged import loss
from zos.storaged.api import Disk, DiskId, PoolFull, PoolShort
from zos.storaged.daemon import Config
from zos.storaged.fake import FakeDevice, FakeHost
from zos.storaged.loss import WINDOW, Loss
from zos.storaged.model import ObservedDisk, ObservedPool, ObservedVolume
from zos.storaged.tests.world import DISK, storaged, until


@given(st.lists(st.tuples(st.floats(0, 40), st.integers(0, 5)), min_size=1, max_size=60))
def test_what_is_missing_is_the_least_of_the_window(steps: list[tuple[float, int]]):
    kept, now, seen = Loss(), 0.0, list[tuple[float, int]]()
    for step, lost in steps:
        now += step
        seen.append((now, lost))
        kept.note(now, lost)
        least = kept.least(now)
        recent = [amount for at, amount in seen if at > now - WINDOW + loss.STEP]
        assert least <= min(recent, default=least)
        if now - seen[0][0] < WINDOW:
            assert least == 0
    # A second's notes are one, so that what is kept is bounded.
    assert len(kept._seen) <= WINDOW / loss.STEP + 2
    if len({lost for _, lost in seen}) == 1:
        assert kept.least(now + WINDOW) == seen[0][1]


def test_what_is_known_to_be_there_is_not_missing():
    disks = {"d": ObservedDisk(GiB(9), used=GiB(2))}
    pool = ObservedPool(disks=disks, volumes={"v": ObservedVolume(GiB(9), GiB(1))}, tombstones={"t": GiB(3)})
    pool = dataclasses.replace(pool, cache=ObservedVolume(GiB(5), GiB(1)), parts={"p": GiB(1)})
    assert loss.missing(dataclasses.replace(pool, free=GiB(92)), GiB(100)) == 0
    assert loss.missing(dataclasses.replace(pool, free=GiB(80)), GiB(100)) == GiB(12)
    assert loss.missing(pool, GiB(100)) == 0, "nobody looked"


async def test_a_pool_that_something_else_fills_says_so_and_takes_nothing_new(tmp_path: Path):
    host, clock = FakeHost(FakeDevice("/dev/sda", GiB(100))), FakeClock()
    async with storaged(tmp_path, host, clock, Config(every=0.02, mounts=tmp_path)) as client:
        disk = await client.ensure_disk(Disk(DISK, GiB(10)))
        device = host.pool(disk.pool)
        device.observed = dataclasses.replace(device.observed, free=GiB(20))
        rounds = len(host.steps)
        await client.ensure_disk(Disk(DiskId("26-7-b"), GiB(11)))
        assert len(host.steps) > rounds, "a moment of it is nothing: btrfs is slow to count"
        clock.advance(1)
        await client.list_disks()
        clock.advance(WINDOW)

        async def detail() -> str:
            return (await client.list_pools())[0].detail

        await until(detail, lambda text: "76 GiB of it are taken by nothing that is known here" in text)
        for wanted in (Disk(DiskId("26-7-c"), GiB(5)), Disk(DISK, GiB(15))):
            with pytest.raises(PoolShort, match="could promise 5 GiB, but") as refusal:
                await client.ensure_disk(wanted)
            assert refusal.value.kind is ErrorKind.NOT_NOW
        with pytest.raises(PoolFull):
            await client.ensure_disk(Disk(DiskId("26-7-c"), GiB(95)))
        assert {one.size for one in await client.list_disks()} == {GiB(10), GiB(11)}
        device.observed = dataclasses.replace(device.observed, free=GiB(97))
        await until(detail, lambda text: text == "")
        await client.ensure_disk(Disk(DISK, GiB(15)))
