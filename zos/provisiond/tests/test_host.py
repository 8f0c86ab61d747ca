"""Documents are fetched from where contracts say, which is never inside of the node or the farmer's network."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from zos.bus import Bus
from zos.chain.api import Block, ContractState, NodeContract
from zos.fetch.policy import Policy
from zos.fetch.tests.served import reply, serving
from zos.provisiond.api.errors import CannotFetch
from zos.provisiond.host import LARGEST, NodeAccess
from zos.provisiond.kyc import Kyc
from zos.provisiond.pull import Web
from zos.runtime.clock import FakeClock

CONTRACT = NodeContract(3, 7, 1, ContractState.CREATED, 0, "", b"", (), Block(1, "0x00"))


@asynccontextmanager
async def host(folder: Path, *allowed: str) -> AsyncIterator[NodeAccess]:
    async with Bus(folder) as bus:
        with closing(NodeAccess(bus, Kyc([], FakeClock()), Policy(allowed))) as made:
            yield made


@pytest.mark.parametrize("name", ["127.0.0.1", "[::ffff:127.0.0.1]", "localhost", "127.1"])
async def test_a_url_of_a_contract_does_not_lead_inside(tmp_path: Path, name: str) -> None:
    with serving({"/": reply(b"{}")}) as server:
        async with host(tmp_path) as here:
            with pytest.raises(CannotFetch, match="not a public address"):
                await here.fetch(CONTRACT, Web(f"http://{name}:{server.port}/"))
        assert not server.connections


async def test_what_the_farmer_allows_is_fetched_within_its_bounds(tmp_path: Path) -> None:
    plays = {"/": reply(b"{}"), "/no": reply(b"", 404), "/big": reply(bytes(LARGEST + 1)), "/to": reply(status=302)}
    with serving(plays) as server:
        async with host(tmp_path, f"127.0.0.1:{server.port}") as here:
            assert await here.fetch(CONTRACT, Web(server.url)) == b"{}"
            for path, problem in (("/no", "HTTP status 404"), ("/big", "more than"), ("/to", "HTTP status 302")):
                with pytest.raises(CannotFetch, match=problem):
                    await here.fetch(CONTRACT, Web(server.url + path))
