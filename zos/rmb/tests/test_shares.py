"""What one twin's silence takes of a peer's own requests."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from zos.relay.server import Relay, serving
from zos.rmb import peer as peer_module
from zos.rmb.errors import Busy, NoAnswer
from zos.rmb.peer import Peer
from zos.rmb.testing import Chain, Twin, joined
from zos.rmb.tests.overrelay import Nobody
from zos.rmb.twins import TwinCache
from zos.runtime.clock import SystemClock

NODE, SILENT, POLITE = Twin(1), Twin(2), Twin(3)


async def test_a_silent_twin_leaves_others_their_part_of_the_open_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_module, "MOST_PENDING", 16)
    stays = asyncio.Event()

    async def silent(caller: int, command: str, body: bytes) -> bytes:
        await stays.wait()
        return b"null"

    async def polite(caller: int, command: str, body: bytes) -> bytes:
        return b"1"

    chain = Chain()
    chain.add(NODE, SILENT, POLITE)
    relay = Relay(TwinCache(chain.twin, SystemClock()), "relay.lab", SystemClock(), Nobody())
    async with serving(relay, "127.0.0.1", 0) as port:
        url = f"ws://127.0.0.1:{port}"
        async with (
            joined(SILENT, chain, url, handler=silent),
            joined(POLITE, chain, url, handler=polite),
            joined(NODE, chain, url) as node,
        ):
            asked = [asyncio.create_task(_ask(node)) for _ in range(30)]
            await asyncio.sleep(0)
            assert await node.call(POLITE.id, "a") == b"1"
            stays.set()
            found = await asyncio.gather(*asked)
            assert found.count("busy") == 30 - 8
            assert await node.call(SILENT.id, "a") == b"null", "what was open is given back"


async def _ask(node: Peer) -> str:
    with suppress(NoAnswer):
        try:
            await node.call(SILENT.id, "a", deadline=5.0)
        except Busy:
            return "busy"
    return "answered"
