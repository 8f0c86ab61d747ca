"""JSON-RPC over one WebSocket: requests matched by id, subscriptions as queues, a deadline on everything."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol

import websockets
from websockets.asyncio.client import connect

from zos.runtime.websocket import Socket
from zos.substrate.errors import ChainUnreachable, RpcFailed, StatePruned

LARGEST = 32 * 1024 * 1024
QUEUE = 10_000
EARLY = 64
PRUNED = -32000


class Connection(Protocol):
    """Texts in both directions, as a WebSocket carries them."""

    async def send(self, text: str, /) -> None: ...

    def __aiter__(self) -> AsyncIterator[str | bytes]: ...

    async def close(self) -> None: ...


Connect = Callable[[str, float], Awaitable[Connection]]
"""Makes a connection to a URL within so many seconds; raises OSError or WebSocketException."""


async def websocket(url: str, deadline: float) -> Connection:
    """A WebSocket. The environment's proxy is for web pages; a chain is named by its own URL."""
    # Compression would cost more than the calls themselves: they are small, and Substrate's nodes do not offer it.
    return await connect(
        url,
        create_connection=Socket,
        max_size=LARGEST,
        open_timeout=deadline,
        ping_interval=20,
        proxy=None,
        compression=None,
    )


class Rpc:
    """A connection; when it breaks, every waiting caller gets ChainUnreachable and `closed` is true."""

    def __init__(self, url: str, socket: Connection) -> None:
        self.url = url
        self.closed = False
        self._socket = socket
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._subscriptions: dict[str, asyncio.Queue[Any]] = {}
        self._early: dict[str, list[Any]] = {}
        self._reader = asyncio.create_task(self._read(), name=f"rpc {url}")

    @staticmethod
    async def open(url: str, deadline: float = 10.0, connect: Connect = websocket) -> Rpc:
        """Connects within `deadline` seconds. Raises ChainUnreachable."""
        try:
            async with asyncio.timeout(deadline):
                socket = await connect(url, deadline)
        except (OSError, TimeoutError, websockets.WebSocketException, ValueError) as err:
            raise ChainUnreachable(url=url, problem=str(err) or type(err).__name__) from None
        return Rpc(url, socket)

    async def call(self, method: str, *params: Any, deadline: float = 15.0) -> Any:
        """Answers the result of a JSON-RPC method. Raises RpcFailed, StatePruned, ChainUnreachable."""
        if self.closed:
            raise ChainUnreachable(url=self.url, problem="the connection is closed")
        number = next(self._ids)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        text = json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        try:
            async with asyncio.timeout(deadline):
                await self._socket.send(text)
                message = await answer
        except TimeoutError:
            raise ChainUnreachable(url=self.url, problem=f"{method} was not answered within {deadline:.0f} s") from None
        except websockets.WebSocketException as err:
            raise ChainUnreachable(url=self.url, problem=err) from None
        finally:
            self._waiting.pop(number, None)
            if not answer.cancel() and not answer.cancelled():
                answer.exception()  # the reader may have given up while this was still being sent
        if "error" in message:
            error = message["error"]
            problem = error.get("data") or error.get("message") or ""
            code = error.get("code", 0)
            gone = "discarded" in str(problem) or "discarded" in str(error.get("message"))
            kind = (
                StatePruned if gone or (code == PRUNED and "UnknownBlock" in str(error.get("message"))) else RpcFailed
            )
            raise kind(method=method, code=code, problem=problem)
        return message.get("result")

    @contextlib.asynccontextmanager
    async def subscribed(
        self, method: str, *params: Any, end: str, deadline: float = 15.0
    ) -> AsyncIterator[asyncio.Queue[Any]]:
        """The notifications of a subscription; None in the queue is the end of the connection."""
        id = str(await self.call(method, *params, deadline=deadline))
        queue: asyncio.Queue[Any] = asyncio.Queue(QUEUE)
        self._subscriptions[id] = queue
        for message in self._early.pop(id, ()):
            queue.put_nowait(message)
        try:
            yield queue
        finally:
            self._subscriptions.pop(id, None)
            if not self.closed:
                with contextlib.suppress(ChainUnreachable, RpcFailed):
                    await self.call(end, id, deadline=2.0)

    async def close(self) -> None:
        self._reader.cancel()
        # Not awaited itself: its cancellation could not be told from that of whoever calls this.
        await asyncio.wait((self._reader,))
        await self._socket.close()

    async def _read(self) -> None:
        try:
            async for text in self._socket:
                self._take(json.loads(text))
        except (websockets.WebSocketException, OSError, ValueError):
            pass
        finally:
            self.closed = True
            problem = ChainUnreachable(url=self.url, problem="the connection was lost")
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(problem)
            for queue in self._subscriptions.values():
                with contextlib.suppress(asyncio.QueueFull):
                    queue.put_nowait(None)

    def _take(self, message: Any) -> None:
        if not isinstance(message, dict):
            return
        if "method" in message:
            params = message.get("params") or {}
            id, result = str(params.get("subscription")), params.get("result")
            queue = self._subscriptions.get(id)
            if queue is None:
                # A notification may overtake the answer that tells its subscription's id.
                if id not in self._early and len(self._early) >= EARLY:
                    self._early.pop(next(iter(self._early)))
                early = self._early.setdefault(id, [])
                if len(early) < EARLY:
                    early.append(result)
                return
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(result)
            return
        answer = self._waiting.get(message.get("id", -1))
        if answer is not None and not answer.done():
            answer.set_result(message)
