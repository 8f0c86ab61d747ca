"""What is promised when a size is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zos.model.units import Bytes, GiB, TiB
from zos.storaged import plan
from zos.storaged.api import PoolFull, TooManySmall
from zos.storaged.api.check import LEAST_DISK, SECTOR, promised
from zos.storaged.api.types import Disk, DiskId, Kind, PoolKind, Volume, VolumeId
from zos.storaged.fake import FakeHost
from zos.storaged.model import ObservedPool, StorageRecord
from zos.storaged.plan import PoolSpace
from zos.storaged.tests.world import storaged

A, B = "6f1f3c5e-3c0e-4a52-9d1f-0d6f5a3f2b11", "7a1f3c5e-3c0e-4a52-9d1f-0d6f5a3f2b22"


@given(st.integers(LEAST_DISK, 1 << 50))
def test_a_disk_is_the_next_whole_number_of_sectors_and_a_volume_what_was_asked_for(size: int) -> None:
    assert promised(Kind.DISK, size) % SECTOR == 0
    assert 0 <= promised(Kind.DISK, size) - size < SECTOR
    assert promised(Kind.VOLUME, size) == size


async def test_an_odd_disk_is_made_and_asked_for_again_as_it_is(tmp_path: Path) -> None:
    async with storaged(tmp_path, FakeHost()) as client:
        for _ in range(2):
            assert (await client.ensure_disk(Disk(DiskId("1-2-d"), Bytes(1_000_000_001)))).size == 1_000_001_536


def test_what_pays_for_next_to_nothing_leaves_places_for_whoever_pays() -> None:
    full = PoolSpace(PoolKind.HDD, TiB(1), 0, small=plan.MOST_SMALL)
    with pytest.raises(TooManySmall, match=f"{plan.MOST_SMALL} disks and volumes below 256 MiB"):
        plan.choose(1, {A: full}, (PoolKind.HDD,))
    assert plan.choose(plan.SMALL, {A: full}, (PoolKind.HDD,)) == A
    other = PoolSpace(PoolKind.HDD, GiB(1), 0, small=plan.MOST_SMALL - 1)
    assert plan.choose(1, {A: full, B: other}, (PoolKind.HDD,)) == B
    with pytest.raises(PoolFull):
        plan.choose(TiB(2), {A: full}, (PoolKind.HDD,))


def test_small_ones_are_counted_and_what_is_there_stays() -> None:
    records = [StorageRecord(Kind.VOLUME, f"{n}", size, A) for n, size in enumerate((1, plan.SMALL - 1, plan.SMALL))]
    assert plan.account(A, ObservedPool(), records, {}).small == 2
    full = {A: PoolSpace(PoolKind.SSD, GiB(9), 0, small=5000)}
    assert plan.admit(Kind.VOLUME, "0", 1, records[0], full) == records[0]
    assert plan.admit(Kind.VOLUME, "0", 2, records[0], full).size == 2


async def test_a_pool_that_has_enough_small_ones_says_what_it_still_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "MOST_SMALL", 2)
    async with storaged(tmp_path, FakeHost()) as client:
        for number in range(2):
            await client.ensure_volume(Volume(VolumeId(f"1-2-v{number}"), Bytes(1)))
        with pytest.raises(TooManySmall) as refusal:
            await client.ensure_volume(Volume(VolumeId("1-2-v2"), Bytes(1)))
        assert "ask for 256 MiB or more" in refusal.value.advice()
        assert (await client.ensure_volume(Volume(VolumeId("1-2-v0"), Bytes(1)))).size == 1
        assert (await client.ensure_volume(Volume(VolumeId("1-2-v2"), plan.SMALL))).size == plan.SMALL
