"""For tests: a chain in this process on a free port of the loopback."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from zos.devchain import legacy
from zos.devchain.genesis import Genesis
from zos.devchain.node import Node
from zos.devchain.runtime import MODERN
from zos.devchain.server import serving


@dataclass(frozen=True, slots=True)
class Devchain:
    """A running chain."""

    url: str
    http: str
    node: Node


@contextlib.asynccontextmanager
async def devchain(
    block_time: float = 0.05,
    data: Path | None = None,
    genesis: Genesis | None = None,
    lag: int = 0,
    generation: str = MODERN.name,
) -> AsyncIterator[Devchain]:
    """Blocks at this pace (0: only when `node.make_block()` is called) until the block ends."""
    node = Node(genesis or Genesis(), data, lag, legacy.generation(generation))
    async with serving(node, "127.0.0.1", 0) as port:
        ticking = asyncio.create_task(node.run(block_time)) if block_time else None
        try:
            yield Devchain(f"ws://127.0.0.1:{port}", f"http://127.0.0.1:{port}", node)
        finally:
            if ticking is not None:
                ticking.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await ticking
            node.close()
