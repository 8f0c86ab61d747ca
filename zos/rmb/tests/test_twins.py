"""Twins of late: few questions to the chain, one at a time for each, and an answer also while it is silent."""

from __future__ import annotations

import asyncio

import pytest

from zos.errors import Status, ZosError
from zos.rmb.cipher import KeyCache
from zos.rmb.envelope import TwinRecord
from zos.rmb.errors import Undecipherable
from zos.rmb.testing import Chain, Twin
from zos.rmb.twins import LIMIT, STALE, TwinCache
from zos.runtime.clock import FakeClock

USER = Twin(1)


class Silent(ZosError):
    """The chain does not answer."""

    reason = "test.silent"
    status = Status.UNAVAILABLE
    text = "silence"


async def test_a_changed_key_is_looked_up_again_and_not_for_every_message() -> None:
    clock, chain = FakeClock(), Chain()
    chain.add(USER)
    cache = TwinCache(chain.twin, clock)
    assert await cache.twin(1) == USER.record
    cache.forget(1)
    await cache.twin(1)
    assert chain.asked == 1, "too soon"
    clock.advance(10)
    cache.forget(1)
    await cache.twin(1)
    assert chain.asked == 2
    assert await cache.twin(50) is None
    await cache.twin(50)
    assert chain.asked == 3


async def test_who_asks_at_the_same_time_shares_one_question() -> None:
    go, asked = asyncio.Event(), 0

    async def look(id: int) -> TwinRecord | None:
        nonlocal asked
        asked += 1
        await go.wait()
        return USER.record

    cache = TwinCache(look, FakeClock())
    first, *others = [asyncio.create_task(cache.twin(1)) for _ in range(20)]
    await asyncio.sleep(0)
    others[0].cancel()
    first.cancel()  # whoever asked for all gives up; another asks in its place
    await asyncio.sleep(0)
    go.set()
    assert await asyncio.gather(*others[1:]) == [USER.record] * 18
    assert asked == 2


async def test_one_silence_is_the_answer_for_all_who_asked() -> None:
    asked = 0

    async def look(id: int) -> TwinRecord | None:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        raise Silent()

    cache = TwinCache(look, FakeClock())
    said = await asyncio.gather(*(cache.twin(1) for _ in range(5)), return_exceptions=True)
    assert [type(one) for one in said] == [Silent] * 5
    assert asked == 1


async def test_a_twin_is_as_it_was_while_the_chain_is_silent_but_not_for_ever() -> None:
    clock, chain = FakeClock(), Chain()
    chain.add(USER)
    is_silent = False

    async def look(id: int) -> TwinRecord | None:
        if is_silent:
            raise Silent()
        return await chain.twin(id)

    cache = TwinCache(look, clock)
    await cache.twin(1)
    is_silent = True
    clock.advance(3600)
    assert await cache.twin(1) == USER.record
    with pytest.raises(Silent):
        await cache.twin(2)
    clock.advance(STALE)
    with pytest.raises(Silent):
        await cache.twin(1)


async def test_no_more_twins_than_there_is_room_for_are_remembered() -> None:
    async def look(id: int) -> TwinRecord | None:
        return None

    cache = TwinCache(look, FakeClock())
    for twin in range(1, LIMIT + 50):
        await cache.twin(twin)
    assert len(cache) == LIMIT


class Counted:
    """A secret that counts how often it is used."""

    def __init__(self) -> None:
        self.asked = 0

    async def shared(self, pk: bytes) -> bytes:
        self.asked += 1
        return await USER.secret.shared(pk)


async def test_a_shared_key_is_agreed_once_in_a_while() -> None:
    clock, secret = FakeClock(), Counted()
    agreed = KeyCache(secret, clock, limit=2)
    keys = [Twin(number).secret.public for number in (2, 3, 4)]
    for _ in range(3):
        assert await agreed.shared(keys[0]) == await USER.secret.shared(keys[0])
    assert secret.asked == 1
    clock.advance(4000)
    await agreed.shared(keys[0])
    assert secret.asked == 2
    for pk in (keys[1], keys[0], keys[2], keys[0]):
        await agreed.shared(pk)
    assert (secret.asked, len(agreed)) == (4, 2), "the one that was not used for longest made room"


async def test_a_key_that_is_none_is_refused_each_time() -> None:
    agreed = KeyCache(USER.secret, FakeClock())
    for _ in range(2):
        with pytest.raises(Undecipherable):
            await agreed.shared(bytes(33))
    assert len(agreed) == 0
