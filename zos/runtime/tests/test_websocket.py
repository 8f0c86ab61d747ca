"""A closed WebSocket is gone, however deaf its server and whoever cancels the close."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from zos.runtime.websocket import Socket


@asynccontextmanager
async def to_a_deaf_server(close_timeout: float) -> AsyncIterator[Socket]:
    async def accept(socket: ServerConnection) -> None:
        socket.transport.pause_reading()
        await socket.wait_closed()

    async with serve(accept, "127.0.0.1", 0, close_timeout=0.05) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        url = f"ws://127.0.0.1:{port}"
        socket = await connect(url, create_connection=Socket, close_timeout=close_timeout, proxy=None)
        assert isinstance(socket, Socket)
        yield socket


async def cancelled(task: asyncio.Task[None]) -> None:
    await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_a_close_that_is_cancelled_hangs_up() -> None:
    async with to_a_deaf_server(close_timeout=60) as socket:
        await cancelled(asyncio.create_task(socket.close()))
        await asyncio.wait_for(socket.wait_closed(), 5)


async def test_a_close_by_a_cancelled_task_hangs_up_in_time() -> None:
    async with to_a_deaf_server(close_timeout=0.05) as socket:

        async def use() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                await socket.close()

        await cancelled(asyncio.create_task(use()))
        await asyncio.wait_for(socket.wait_closed(), 5)
