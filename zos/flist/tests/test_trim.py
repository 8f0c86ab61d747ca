"""The cache is trimmed in the same memory however many blocks there are."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from zos.flist.cache import BlockCache, Keys, trim


@given(st.sets(st.binary(min_size=32, max_size=32), max_size=200))
def test_every_key_that_was_added_is_among_the_keys(keys: set[bytes]):
    kept = Keys()
    kept.update(keys)
    assert all(key in kept for key in keys)


def test_hardly_another_key_seems_to_be_there_and_the_memory_is_the_same():
    kept, size = Keys(), Keys.BITS // 8
    kept.update(os.urandom(32) for _ in range(100_000))
    assert sum(os.urandom(32) in kept for _ in range(10_000)) < 20
    assert len(kept._bits) == size <= 4 << 20


def test_the_oldest_go_first_and_those_of_mounted_flists_last_in_pieces_of_any_size(tmp_path: Path):
    for at_once in (1, 2, 3, 100):
        folder = tmp_path / str(at_once)
        (folder / "blocks").mkdir(parents=True)
        cache, keys = BlockCache(folder), [os.urandom(32) for _ in range(12)]
        for age, key in enumerate(keys):
            cache.keep(key, os.urandom(4096))
            os.utime(cache.path(key), (1000 + age, 1000 + age))
        used = sum(path.stat().st_blocks * 512 for path in folder.glob("blocks/*/*"))
        kept = Keys()
        kept.update(keys[:3])
        assert trim(folder, used, kept, at_once) == 0
        assert trim(folder, used * 7 // 12, kept, at_once) == used * 5 // 12
        assert [key for key in keys if cache.path(key).exists()] == keys[:3] + keys[8:]
        trim(folder, 0, kept, at_once)
        assert not list(folder.glob("blocks/*/*"))
