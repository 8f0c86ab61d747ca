"""What keys take of the memory: nobody's keys take what another has for sure, and none are lost for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zos.zdb.keys import KeyTable
from zos.zdb.memory import STEP, Memory, Share, TooManyKeys
from zos.zdb.namespace import Namespace
from zos.zdb.parts import Refused
from zos.zdb.store import open_apart

MIB = 1 << 20
KiB = 1 << 10


def opened(folder: Path, share: Share | None) -> Namespace:
    folder.mkdir(exist_ok=True)
    return open_apart(b"n", folder, is_sequential=False, share=share)


def filled(space: Namespace, most: int = 1 << 20) -> int:
    """How many keys without values it takes."""
    for number in range(most):
        try:
            space.set(number.to_bytes(4, "big"), b"", 1)
        except Refused as err:
            assert str(err) == "No space left on this namespace"
            return number
    return most


steps = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 300 * KiB), st.booleans()), max_size=40)


@given(st.lists(st.integers(0, 100), min_size=5, max_size=5), steps)
def test_what_is_given_is_never_more_than_there_is_and_each_has_what_is_assured(
    sizes: list[int], wanted: list[tuple[int, int, bool]]
) -> None:
    memory = Memory(MIB, MIB + 64 * KiB)
    whole = max(1, sum(sizes))
    shares = [memory.share(f"{n % 3}", memory.assured * size // whole) for n, size in enumerate(sizes)]
    for which, size, is_there in wanted:
        share = shares[which]
        if size < share.held:
            share.shrink(size)
        else:
            had = share.held
            given = share.covers(size, is_there=is_there)
            assert given or share.held == had
            assert given or size > share.assured - STEP, "what is assured is given at any time"
        assert sum(one.held for one in shares) <= MIB + 64 * KiB
    for share in shares:
        share.shrink(0)
    assert memory.share("9", 0).covers(MIB // 4 - STEP), "what is given back is there again"


def test_nobody_has_more_of_the_common_half_than_he_leaves_to_the_others() -> None:
    memory = Memory(MIB, MIB)
    first, again, other = memory.share("26", 0), memory.share("26", 0), memory.share("27", 0)
    assert first.covers(256 * KiB)
    assert not first.covers(256 * KiB + 1)
    assert not again.covers(1)
    assert other.covers(128 * KiB)
    assert not other.covers(132 * KiB)


@given(st.lists(st.tuples(st.integers(0, 400), st.booleans()), max_size=600))
def test_a_table_says_what_it_takes_and_what_it_would(steps: list[tuple[int, bool]]) -> None:
    table, keys = KeyTable(), dict[bytes, int]()
    for number, is_set in steps:
        key = b"%d" % number
        mine = keys.get(key)

        def is_mine(_: int, offset: int, mine: int | None = mine) -> bool:
            return offset == mine

        if is_set:
            would = table.size_with(key) if mine is None else table.size
            keys[key] = number + 100
            table.put(key, 0, number + 100, is_mine)
            assert table.size == would
        else:
            table.drop(key, is_mine)
            keys.pop(key, None)
        assert table.size == sum(
            320 + part.places.itemsize * len(part.places) + part.hashes.itemsize * len(part.hashes)
            for part in table._parts
        )
        assert table.count == len(keys)


def test_a_table_of_many_keys_never_takes_more_than_it_said(tmp_path: Path) -> None:
    table = KeyTable()
    for number in range(1, 20_000):
        key = b"%d" % number
        would = table.size_with(key)
        table.put(key, 0, number, lambda *_: False)
        assert table.size <= would
    assert 16 * table.count < table.size < 40 * table.count


def test_a_namespace_that_is_full_of_keys_refuses_more_and_works_on(tmp_path: Path) -> None:
    memory = Memory(512 * KiB, 512 * KiB)
    space = opened(tmp_path / "one", memory.share("26", 256 * KiB))
    count = filled(space)
    assert 10_000 < count < 30_000
    assert space.get((5).to_bytes(4, "big")) == b""
    assert space.set((5).to_bytes(4, "big"), b"another", 1), "what is there can be set again"
    # The slots of deleted keys serve for new ones.
    for number in range(count):
        assert space.delete(number.to_bytes(4, "big"), 1)
    assert filled(space) >= count
    space.flush()
    assert filled(space) >= count
    other = opened(tmp_path / "two", memory.share("27", 0))
    assert filled(other, 100) == 100, "others have their part of the common half"
    space.close()
    other.close()


def test_keys_of_before_are_all_there_when_the_memory_has_room_and_harm_nobody_when_not(tmp_path: Path) -> None:
    space = opened(tmp_path / "one", None)
    assert filled(space, 20_000) == 20_000
    space.close()
    # Beyond what it may write, and within what there is: whole, and full.
    memory = Memory(MIB, 2 * MIB)
    space = opened(tmp_path / "one", memory.share("26", 0))
    assert space.entries == 20_000
    assert space.get((19_999).to_bytes(4, "big")) == b""
    assert filled(space, 40_000) < 40_000, "only what the table has slots for already goes in"
    assert space.delete((5).to_bytes(4, "big"), 1)
    space.close()
    # Beyond that: it is not opened, and nothing is held for it.
    small = Memory(256 * KiB, 300 * KiB)
    with pytest.raises(TooManyKeys):
        opened(tmp_path / "one", small.share("26", 0))
    other = opened(tmp_path / "two", small.share("27", 64 * KiB))
    assert filled(other, 2000) == 2000
    other.close()
    # And nothing of it is lost.
    space = opened(tmp_path / "one", None)
    assert space.entries >= 19_999
    assert space.get((5).to_bytes(4, "big")) is None
    space.close()


def test_a_history_that_grows_for_ever_counts_too(tmp_path: Path) -> None:
    """In sequential mode there is no table; the places that say where items begin are in memory all the same."""
    memory = Memory(8 * KiB, 8 * KiB)
    (tmp_path / "one").mkdir()
    space = open_apart(b"n", tmp_path / "one", is_sequential=True, share=memory.share("26", 0))
    space.files._before = 0, 64 * MIB
    with pytest.raises(Refused, match="No space left"):
        space.set(b"", b"value", 1)
    space.close()
