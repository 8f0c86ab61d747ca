"""How a program that serves runs until SIGTERM; for those that are no daemon of a node (relay, hub, devchain, …)."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from zos.errors import ZosError
from zos.runtime.journal import set_up_journal

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def main(name: str, serve: Callable[[], Awaitable[object]]) -> int:
    """Run `serve` to its end, with the journal set up; returns the exit status. A ZosError is told and gives 1."""
    set_up_journal(name)
    try:
        asyncio.run(_run(serve))
    except ZosError as err:
        sys.stderr.write(f"{name}: {err.explain()}\n{err.advice()}\n")
        return 1
    return 0


async def _run(serve: Callable[[], Awaitable[object]]) -> None:
    await serve()


@asynccontextmanager
async def stop_signals() -> AsyncIterator[asyncio.Event]:
    """An event that SIGTERM and SIGINT set, while the block runs."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stopping.set)
    try:
        yield stopping
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
