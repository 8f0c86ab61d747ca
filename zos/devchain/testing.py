"""For tests: a chain in this process on a free port of the loopback, and lines to it that can fail."""

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
    """A chain that serves on loopback in the test's own event loop."""

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


class Line:
    """A way to a chain: it can be cut, stay dead, or swallow what it carries."""

    def __init__(self, target: str) -> None:
        self._target = int(target.rpartition(":")[2])
        self._open: set[asyncio.StreamWriter] = set()
        self.url = ""
        self.dead = False
        """Connections are refused."""
        self.mute = False
        """Answers are swallowed."""
        self.calls = 0
        """Connections that were made."""

    def cut(self) -> None:
        """Break every connection now."""
        for writer in tuple(self._open):
            writer.transport.abort()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either end closes it."""
        self.calls += 1
        if self.dead:
            writer.transport.abort()
            return
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        self._open |= {writer, back}
        try:
            pumps = (
                asyncio.ensure_future(self._pump(reader, back)),
                asyncio.ensure_future(self._pump(there, writer, True)),
            )
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
        finally:
            for end in (writer, back):
                self._open.discard(end)
                end.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, is_answer: bool = False) -> None:
        with contextlib.suppress(ConnectionError):
            while piece := await source.read(65536):
                if is_answer and self.mute:
                    continue
                target.write(piece)
                await target.drain()


@contextlib.asynccontextmanager
async def line(chain: Devchain) -> AsyncIterator[Line]:
    """A line to a chain until the block ends."""
    made = Line(chain.url)
    server = await asyncio.start_server(made.carry, "127.0.0.1", 0)
    made.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        made.cut()
        server.close()
        await server.wait_closed()
