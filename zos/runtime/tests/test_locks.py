"""A lock for each key, and nothing kept of keys that nobody uses."""

from __future__ import annotations

import asyncio

import pytest

from zos.runtime.locks import Locks


async def test_one_after_the_other_on_a_key_and_side_by_side_on_others() -> None:
    locks: Locks[str] = Locks()
    inside: list[str] = []
    seen: list[list[str]] = []
    leave = asyncio.Event()

    async def work(key: str, name: str) -> None:
        async with locks.of(key):
            inside.append(name)
            seen.append(list(inside))
            await leave.wait()
            inside.remove(name)

    tasks = [asyncio.create_task(work(key, name)) for key, name in (("a", "1"), ("a", "2"), ("b", "3"), ("a", "4"))]
    while len(seen) < 2:
        await asyncio.sleep(0)
    assert inside == ["1", "3"]
    tasks[1].cancel()
    leave.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert not any({"1", "4"} <= set(one) for one in seen)
    assert seen[-1][-1] == "4"


async def test_nothing_is_kept_of_keys_that_strangers_chose() -> None:
    locks: Locks[str] = Locks()
    for number in range(1000):
        async with locks.of(f"{number}"):
            assert len(locks) == 1
        with pytest.raises(ValueError, match="no"):
            async with locks.of(f"{number}"):
                raise ValueError("no")
    assert len(locks) == 0
