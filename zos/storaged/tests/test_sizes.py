"""What is promised when a size is asked for."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from zos.model.units import Bytes
from zos.storaged.api.check import LEAST_DISK, SECTOR, promised
from zos.storaged.api.types import Disk, DiskId, Kind
from zos.storaged.fake import FakeHost
from zos.storaged.tests.world import storaged


@given(st.integers(LEAST_DISK, 1 << 50))
def test_a_disk_is_the_next_whole_number_of_sectors_and_a_volume_what_was_asked_for(size: int) -> None:
    assert promised(Kind.DISK, size) % SECTOR == 0
    assert 0 <= promised(Kind.DISK, size) - size < SECTOR
    assert promised(Kind.VOLUME, size) == size


async def test_an_odd_disk_is_made_and_asked_for_again_as_it_is(tmp_path: Path) -> None:
    async with storaged(tmp_path, FakeHost()) as client:
        for _ in range(2):
            assert (await client.ensure_disk(Disk(DiskId("1-2-d"), Bytes(1_000_000_001)))).size == 1_000_001_536
