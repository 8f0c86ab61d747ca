"""A twin that has changed its encryption key is understood and answered by the new one at once."""

from __future__ import annotations

import dataclasses
import hashlib

import pytest

from zos.relay.tests.world import NODE, USER, echo, world
from zos.rmb.cipher import LocalSecret
from zos.rmb.testing import joined
from zos.runtime.clock import SystemClock


class Later:
    """The machine's clocks, put forward."""

    def __init__(self) -> None:
        self._real = SystemClock()
        self.ahead = 0.0

    def monotonic(self) -> float:
        return self._real.monotonic() + self.ahead

    def time(self) -> float:
        return self._real.time()


@pytest.mark.parametrize("sealed", [True, False], ids=["sealed", "plain"])
async def test_a_new_key_is_used_with_the_first_request(sealed: bool) -> None:
    fresh = LocalSecret(hashlib.sha256(b"another").digest())
    clock = Later()
    async with world() as w, joined(NODE, w.chain, w.ws, handler=echo, clock=clock):
        async with joined(USER, w.chain, w.ws, session="old") as me:
            assert await me.call(NODE.id, "x", b"1") == b'{"from": 1, "body": 1}'
        w.chain.records[USER.id] = dataclasses.replace(USER.record, pk=fresh.public)
        clock.ahead = 30.0
        async with joined(USER, w.chain, w.ws, session="new", secret=fresh) as me:
            if not sealed:
                # As npm's client does with empty bodies: plain, and the answer is sealed all the same.
                async def keyless(*_: object) -> int:
                    return USER.id

                me._keyless = keyless  # type: ignore[method-assign, assignment]
            assert await me.call(NODE.id, "x", b"2") == b'{"from": 1, "body": 2}'
