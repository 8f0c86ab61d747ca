"""A devchain with people on it, for the tests of the explorer."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from sqlalchemy import Engine

from zos.devchain.runtime import MODERN
from zos.devchain.testing import Devchain, devchain
from zos.errors import Status, ZosError
from zos.explorer.chain.follower import Follower
from zos.explorer.clock import GridClock
from zos.explorer.nodes.probes import NodeClient
from zos.explorer.rest.api import Api
from zos.explorer.server import serving
from zos.explorer.store.database import open_database
from zos.explorer.store.pool import QueryPool
from zos.explorer.store.writer import Store
from zos.runtime.clock import SystemClock
from zos.substrate import Chain, Included, KeyKind, LocalKey

GiB = 1024**3
TERMS = {"document_link": "http://zos.tf/terms/v0.1", "document_hash": "9021d4dee05a661e2cb6838152c67f25"}
FARMER = LocalKey.of_text("//Alice")
USER = LocalKey.of_text("//Bob")
NODE = LocalKey.of_text("//Charlie", KeyKind.SR25519)
DATA = '{"version":3,"type":"vm","name":"web","projectName":"vm/web"}'
HASH = "0123456789abcdef0123456789abcdef"
IPS = ({"ip": "185.1.2.3/24", "gw": "185.1.2.1"}, {"ip": "185.1.2.4/24", "gw": "185.1.2.1"})


@dataclass
class Grid:
    """Calls of a farmer, a node and a user."""

    dev: Devchain
    chain: Chain
    has_relays: bool = True
    """Whether this generation's twins have relays."""

    async def do(self, key: LocalKey, pallet: str, call: str, /, **arguments: Any) -> Included:
        return await self.chain.submit(pallet, call, arguments, key)

    async def twin(self, key: LocalKey, relay: str | None = None, pk: bytes | None = None) -> None:
        await self.do(key, "TfgridModule", "user_accept_tc", **TERMS)
        await self.do(key, "TfgridModule", "create_twin", relay=relay, pk=pk)

    async def farm(self) -> None:
        await self.twin(FARMER)
        await self.do(FARMER, "TfgridModule", "create_farm", name="Freefarm", public_ips=list(IPS))
        await self.do(FARMER, "TfgridModule", "add_stellar_payout_v2address", farm_id=1, stellar_address="GSTELLAR")

    async def node(self, key: LocalKey = NODE, cru: int = 8) -> None:
        await self.twin(key, *(("relay.lab", b"\x02" * 33) if self.has_relays else ()))
        await self.do(key, "TfgridModule", "create_node", **node_arguments(cru))

    async def uptime(self, seconds: int = 100, key: LocalKey = NODE) -> None:
        await self.do(key, "TfgridModule", "report_uptime", uptime=seconds)

    async def contract(self, hash: str = HASH, ips: int = 0, node: int = 1) -> int:
        done = await self.do(
            USER,
            "SmartContractModule",
            "create_node_contract",
            node_id=node,
            deployment_hash=hash,
            deployment_data=DATA,
            public_ips=ips,
            solution_provider_id=None,
        )
        event = done.event("SmartContractModule", "ContractCreated")
        assert event is not None
        return int(event.fields["contract_id"])

    async def everybody(self) -> None:
        """A farm (twin 1), a user (twin 2), a node (twin 3) that reports."""
        await self.farm()
        await self.twin(USER)
        await self.node()
        await self.uptime()


def node_arguments(cru: int = 8) -> dict[str, Any]:
    return {
        "farm_id": 1,
        "resources": {"hru": 0, "sru": 512 * GiB, "cru": cru, "mru": 32 * GiB},
        "location": {"city": "Ghent", "country": "Belgium", "latitude": "51.05", "longitude": "3.71"},
        "interfaces": [{"name": "zos", "mac": "54:b2:03:12:34:56", "ips": ["10.0.0.5"]}],
        "secure_boot": False,
        "virtualized": False,
        "serial_number": None,
    }


@contextlib.asynccontextmanager
async def grid(
    data: Path | None = None, block_time: float = 0.03, generation: str = MODERN.name
) -> AsyncIterator[Grid]:
    async with devchain(block_time, data, generation=generation) as dev, Chain([dev.url]) as chain:
        yield Grid(dev, chain, generation == MODERN.name)


class Silent(ZosError):
    """A node that does not answer."""

    reason = "tests.silent"
    status = Status.DEADLINE_EXCEEDED
    text = "no answer"


class FakeNode:
    """Nodes on the other side of RMB; all of them give the same answers."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self.asked: list[tuple[int, str]] = []
        self.trouble = ""
        self.dead: dict[int, asyncio.Event] = {}
        """Twins that do not answer before their event is set."""
        self.holes: dict[str, asyncio.Event] = {}
        """Commands that nobody answers before."""
        self.loses = False
        """Whether the way to them is lost while they are asked."""

    async def call(self, twin: int, command: str, body: Any = None) -> Any:
        self.asked.append((twin, command))
        if twin in self.dead:
            await self.dead[twin].wait()
        if command in self.holes:
            await self.holes[command].wait()
        if self.loses:
            self.trouble = "lost"
        if command not in self.answers:
            raise Silent()
        return self.answers[command]


@dataclass
class Web:
    """An explorer's HTTP side."""

    url: str
    session: aiohttp.ClientSession

    async def get(self, path: str, status: int = 200) -> Any:
        async with self.session.get(self.url + path) as answer:
            text = await answer.text()
            assert answer.status == status, f"{path}: {answer.status} {text}"
            return json.loads(text)

    async def query(self, text: str, status: int = 200, **variables: Any) -> Any:
        async with self.session.post(f"{self.url}/graphql", json={"query": text, "variables": variables}) as answer:
            body = await answer.json()
            assert answer.status == status, body
            return body


@dataclass
class Explored:
    """An explorer without its loops: the test moves it."""

    engine: Engine
    store: Store
    pool: QueryPool
    clock: GridClock
    follower: Follower
    web: Web

    async def to(self, chain: Chain, until: Any = None) -> None:
        """Bring it to the last finalized block (and further, until something is so)."""
        async with asyncio.timeout(20):
            while True:
                head = await chain.finalized()
                await self.follower.advance(head)
                # A chain that has just begun has nothing to follow yet.
                if head.number and (until is None or await until()):
                    return
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def explorer(
    folder: Path, chain: Chain, client: NodeClient | None = None, clock: Any = None, look_back: int = 1000
) -> AsyncIterator[Explored]:
    engine = open_database(str(folder / "gridproxy.sqlite"))
    pool, store, grid_clock = QueryPool(engine), Store(engine), GridClock(clock or SystemClock())
    follower = Follower(chain, store, grid_clock, look_back)
    follower.cursor = store.cursor()
    async with (
        serving(Api(pool, grid_clock, follower, client), "127.0.0.1", 0) as port,
        aiohttp.ClientSession() as session,
    ):
        yield Explored(engine, store, pool, grid_clock, follower, Web(f"http://127.0.0.1:{port}", session))
    pool.close()
    engine.dispose()
