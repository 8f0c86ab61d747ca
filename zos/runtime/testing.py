"""For tests and sim/: a daemon in this process, on a real socket below a temporary folder."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from zos.runtime.clock import Clock
from zos.runtime.config import NodeConfig
from zos.runtime.daemon import Daemon, Runtime, opened


@asynccontextmanager
async def running(
    cls: type[Daemon],
    folder: Path,
    *,
    host: object | None = None,
    config: Any = None,
    node: NodeConfig | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[Runtime]:
    """Open, serve and loop a daemon until the block ends; `rt.bus` reaches it and its siblings in `folder`/run."""
    base = node or NodeConfig()
    placed = dataclasses.replace(base, run_dir=folder / "run", state_dir=folder / "state")
    rt = Runtime(cls.name, config if config is not None else cls.config(), placed, clock=clock, host=host)
    stopping, ready = asyncio.Event(), asyncio.Event()
    async with opened(cls(), rt):
        serving = asyncio.create_task(rt.run(stopping, ready.set))
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if serving.done():
            serving.result()
        try:
            yield rt
        finally:
            stopping.set()
            await serving
