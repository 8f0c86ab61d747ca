"""Puts the explorer together: a database, one that follows, one that asks nodes, one that answers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from zos.explorer.api import Api
from zos.explorer.ask import Ask
from zos.explorer.asker import Asker
from zos.explorer.command import Settings
from zos.explorer.database import Readers, opened
from zos.explorer.errors import BadDatabase
from zos.explorer.follow import Follower
from zos.explorer.liveness import Now
from zos.explorer.rmbask import RmbAsk
from zos.explorer.server import serving
from zos.explorer.store import Store
from zos.runtime.clock import Clock, SystemClock
from zos.runtime.loops import Loop
from zos.runtime.notify import notify
from zos.substrate import Chain

log = logging.getLogger("zos.explorer")

RECONNECT = 30.0
"""Seconds at most between two tries to reach the chain."""


@dataclass(frozen=True, slots=True)
class Explorer:
    """A running explorer."""

    url: str
    follower: Follower


@contextlib.asynccontextmanager
async def running(settings: Settings, ask: Ask | None = None, clock: Clock | None = None) -> AsyncIterator[Explorer]:
    """Follow and serve until the block ends. Without `ask`, what only nodes know is left unknown."""
    engine = await asyncio.to_thread(opened, settings.database)
    readers, store, now = Readers(engine), Store(engine), Now(clock or SystemClock())
    try:
        # A database that only ever grew block by block was never measured.
        await asyncio.to_thread(store.measure)
    except SQLAlchemyError as err:
        engine.dispose()
        raise BadDatabase(url=engine.url.render_as_string(), problem=getattr(err, "orig", None) or err) from None
    chain = Chain(settings.chain)
    follower = Follower(chain, store, now)
    loops = [Loop("following the chain", follower.follow, RECONNECT, follower.wake)]
    if ask is None and settings.relay and settings.key is not None:
        ask = RmbAsk(chain, settings.relay, settings.key)
        loops.append(Loop("being on the bus", ask.run, RECONNECT))
    if ask is not None:
        loops.append(Loop("asking nodes", Asker(ask, store, readers, now).run, RECONNECT))
    tasks = [asyncio.create_task(loop.run(), name=loop.name) for loop in loops]
    try:
        async with serving(Api(readers, now, follower, ask), settings.host, settings.port) as port:
            host = f"[{settings.host}]" if ":" in settings.host else settings.host
            yield Explorer(f"http://{host}:{port}", follower)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await chain.close()
        await asyncio.to_thread(readers.close)
        engine.dispose()


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    try:
        async with running(settings) as explorer:
            notify(f"READY=1\nSTATUS=serving {explorer.url}")
            await stopping.wait()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
