"""Puts the explorer together: database, chain follower, node poller, HTTP server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from zos.explorer.chain.follower import Follower
from zos.explorer.clock import GridClock
from zos.explorer.command import Settings
from zos.explorer.errors import BadDatabase
from zos.explorer.nodes.poller import NodePoller
from zos.explorer.nodes.probes import NodeClient
from zos.explorer.nodes.rmb import RmbNodeClient
from zos.explorer.rest.api import Api
from zos.explorer.server import serving
from zos.explorer.store.database import open_database
from zos.explorer.store.pool import QueryPool
from zos.explorer.store.writer import Store
from zos.runtime import threads
from zos.runtime.clock import Clock, SystemClock
from zos.runtime.loops import Loop
from zos.runtime.notify import notify
from zos.runtime.program import stop_signals
from zos.substrate import Chain

log = logging.getLogger("zos.explorer")

RECONNECT = 30.0
"""Seconds at most between two tries to reach the chain."""

OPENING = 1800.0
"""Seconds for what a large database of an older version needs, once."""

CLOSING = 30.0
"""Seconds; each query has a shorter deadline of its own."""

SWITCH = 0.0005


@dataclass(frozen=True, slots=True)
class Explorer:
    url: str
    follower: Follower


@contextlib.asynccontextmanager
async def running(
    settings: Settings, client: NodeClient | None = None, clock: Clock | None = None
) -> AsyncIterator[Explorer]:
    """Follow and serve until the block ends. Without a client or a relay, nodes are not asked."""
    engine = await threads.run("open the database", lambda: open_database(settings.database), OPENING)
    pool, store, grid_clock = QueryPool(engine), Store(engine), GridClock(clock or SystemClock())
    try:
        # A database that only grew block by block has no statistics yet.
        await threads.run("count what the database holds", store.analyze, OPENING)
    except SQLAlchemyError as err:
        engine.dispose()
        raise BadDatabase(url=engine.url.render_as_string(), problem=getattr(err, "orig", None) or err) from None
    chain = Chain(settings.chain)
    follower = Follower(chain, store, grid_clock)
    loops = [Loop("following the chain", follower.follow, RECONNECT, follower.wake)]
    if client is None and settings.relay and settings.key is not None:
        client = RmbNodeClient(chain, settings.relay, settings.key)
        loops.append(Loop("staying connected to the relay", client.run, RECONNECT))
    if client is not None:
        loops.append(Loop("asking nodes", NodePoller(client, store, pool, grid_clock).run, RECONNECT))
    tasks = [asyncio.create_task(loop.run(), name=loop.name) for loop in loops]
    try:
        async with serving(Api(pool, grid_clock, follower, client), settings.host, settings.port) as port:
            host = f"[{settings.host}]" if ":" in settings.host else settings.host
            yield Explorer(f"http://{host}:{port}", follower)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await chain.close()
        with contextlib.suppress(threads.CallTooSlow):
            await threads.run("end the queries", pool.close, CLOSING)
        engine.dispose()


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    # A thread that answers a dear question gives way to the others within half a millisecond.
    sys.setswitchinterval(SWITCH)
    async with stop_signals() as stopping, running(settings) as explorer:
        notify(f"READY=1\nSTATUS=serving {explorer.url}")
        await stopping.wait()
