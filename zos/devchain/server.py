"""Serves the chain: JSON-RPC by WebSocket and POST on one port, and the activation stand-in beside it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from aiohttp import WSMsgType, web

from zos.devchain.errors import Invalid
from zos.devchain.jsonrpc import LARGEST_ANSWER, too_large
from zos.devchain.node import Node
from zos.devchain.rpc import Methods
from zos.devchain.session import Session
from zos.errors import ZosError
from zos.runtime.ingress import Ingress, Limits, abort, taken
from zos.runtime.quota import FairQuota, network_of
from zos.runtime.turns import Turns
from zos.substrate.keys import public_key

log = logging.getLogger("zos.devchain")

LARGEST = 4 * 1024 * 1024
AT_ONCE = 64 * 1024
"""Characters of a text that are parsed without waiting for a turn."""
"""Bytes of a request: an extrinsic may have one MiB, which is two in hex."""
BATCH = 100
BACKLOG = 5_000
HELD = 32 * 1024 * 1024
"""Bytes that wait for one client; of all clients together eight times as much, of one network half of what is free."""
GIFT = 1_000_000
"""Units (0.1 TFT) for an account that has nothing, as the public activation service gives."""
TOP_UP = 15_000
LIMITS = Limits(body=15.0)


@dataclass(frozen=True, slots=True)
class Caller:
    """A client as the limits see it."""

    network: str = ""
    is_page: bool = False
    """A web page: its browser names where it is from."""


class Outgoing:
    """What waits for one client to read it. Somebody who subscribes and never reads costs no more than this."""

    def __init__(self, memory: FairQuota[str] | None = None, network: str = "") -> None:
        self.full = asyncio.Event()
        self._queue: asyncio.Queue[str] = asyncio.Queue(BACKLOG)
        self._held = 0
        self._memory: FairQuota[str] = memory or FairQuota(HELD, HELD)
        self._network = network
        self._room = asyncio.Event()

    def offer(self, text: str) -> None:
        """A notification; nothing when there is no room, which ends the connection."""
        if self._queue.full() or self._held + len(text) > HELD or not self._memory.take(self._network, len(text)):
            self.full.set()
            return
        self._held += len(text)
        self._queue.put_nowait(text)

    async def put(self, text: str) -> None:
        """An answer; waits for room, so that nothing more is asked meanwhile."""
        while self._queue.full() or (self._held and self._held + len(text) > HELD):
            self._room.clear()
            await self._room.wait()
        self.offer(text)

    async def get(self) -> str:
        """Waits for the next text and frees the bytes that it held."""
        text = await self._queue.get()
        self._release(len(text))
        return text

    def close(self) -> None:
        """Frees the bytes of all texts that the client never took."""
        self._release(self._held)

    def _release(self, size: int) -> None:
        if size:
            self._held -= size
            self._memory.release(self._network, size)
        self._room.set()


class Server:
    """JSON-RPC over WebSocket and HTTP, and the activation service."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._methods = Methods(node)
        self._memory: FairQuota[str] = FairQuota(8 * HELD, 8 * HELD)
        self._turns = Turns()
        self.ingress = Ingress(LIMITS)

    def application(self) -> web.Application:
        app = web.Application(client_max_size=LARGEST)
        app.router.add_route("GET", "/", self._socket)
        app.router.add_route("GET", "/ws", self._socket)
        app.router.add_route("POST", "/", self._post)
        app.router.add_route("POST", "/activation/activate", self._activate)
        return app

    async def _post(self, request: web.Request) -> web.Response:
        caller = Caller(network_of(request.remote), "Origin" in request.headers)
        answer = await self.answer(None, await request.text(), caller)
        return web.Response(text=answer or "", content_type="application/json")

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        # Without deflate: some kilobytes would become megabytes that are parsed here.
        socket = web.WebSocketResponse(max_msg_size=LARGEST, heartbeat=30, compress=False)
        if not socket.can_prepare(request).ok:
            return web.Response(text="this is a chain; speak JSON-RPC to it by WebSocket or POST\n")
        await socket.prepare(request)
        caller = Caller(network_of(request.remote), "Origin" in request.headers)
        outgoing = Outgoing(self._memory, caller.network)
        session = Session(self._node, lambda message: outgoing.offer(json.dumps(message)))
        writer = asyncio.create_task(self._write(socket, outgoing))
        watch = asyncio.create_task(self._hang_up(request, session, outgoing))
        try:
            async for message in socket:
                taken(request)
                if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    data = message.data if isinstance(message.data, str) else message.data.decode(errors="replace")
                    answer = await self.answer(session, data, caller)
                    if answer is not None:
                        await outgoing.put(answer)
        finally:
            session.close()
            outgoing.close()
            for task in (writer, watch):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                    await task
        return socket

    @staticmethod
    async def _write(socket: web.WebSocketResponse, outgoing: Outgoing) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                await socket.send_str(await outgoing.get())

    @staticmethod
    async def _hang_up(request: web.Request, session: Session, outgoing: Outgoing) -> None:
        await outgoing.full.wait()
        log.warning("a client does not read its subscriptions and is let go")
        session.close()
        # It would not read a farewell either.
        abort(request.transport)

    async def answer(self, session: Session | None, text: str, caller: Caller | None = None) -> str | None:
        """The answer to a JSON-RPC text, which may be a batch; None when there is nothing to answer."""
        caller = caller or Caller()
        try:
            message = await self._parsed(text, caller)
        except (ValueError, RecursionError):
            return json.dumps(_error(None, Invalid(-32700, "Parse error")))
        if not isinstance(message, list):
            return await self._one(session, message, caller)
        if not 0 < len(message) <= BATCH:
            return json.dumps(_error(None, Invalid(-32600, "Invalid Request", f"1 to {BATCH} requests")))
        answers: list[str] = []
        size = 0
        for one in message:
            answer = await self._one(session, one, caller)
            size += len(answer or "")
            if size > LARGEST_ANSWER:
                return json.dumps(_error(None, too_large()))
            answers += [] if answer is None else [answer]
        return f"[{', '.join(answers)}]" if answers else None

    async def _parsed(self, text: str, caller: Caller) -> Any:
        if len(text) <= AT_ONCE:
            return json.loads(text)
        await self._turns.begin(caller.network)
        with self._turns.working(caller.network):
            return json.loads(text)

    async def _one(self, session: Session | None, message: Any, caller: Caller) -> str | None:
        if not isinstance(message, dict) or not isinstance(message.get("method"), str):
            return json.dumps(_error(None, Invalid(-32600, "Invalid Request")))
        method, id = message["method"], message.get("id")
        if method.startswith("dev_"):
            # A page in the browser of somebody who runs a lab must not drive it.
            if caller.is_page:
                return json.dumps(_error(id, Invalid(-32601, "Method not found", "not for web pages")))
            return await self._answered(session, method, message)
        if self._node.faults.delay:
            return await self._answered(session, method, message)
        # What comes now waits for nothing, so it is one turn.
        await self._turns.begin(caller.network)
        with self._turns.working(caller.network):
            return await self._answered(session, method, message)

    async def _answered(self, session: Session | None, method: str, message: dict[str, Any]) -> str | None:
        id = message.get("id")
        try:
            result = await self._methods.call(session, method, message.get("params") or [])
        except Invalid as err:
            return json.dumps(_error(id, err))
        except Exception:
            log.exception("%s failed", method)
            return json.dumps(_error(id, Invalid(-32603, "Internal error")))
        return None if "id" not in message else json.dumps({"jsonrpc": "2.0", "id": id, "result": result})

    async def _activate(self, request: web.Request) -> web.Response:
        try:
            body = json.loads(await request.text())
            account = public_key(str(body.get("substrateAccountID", "") or body.get("kp", "")))
        except (ValueError, AttributeError, ZosError) as err:
            return web.json_response({"error": str(err)}, status=400)
        free = int(self._node.typed().get("System.Account", account)["data"]["free"])
        if free >= TOP_UP:
            return web.json_response({"activated": True}, status=409)
        done = asyncio.Event()
        end = self._node.listen(lambda what, block: done.set())
        try:
            self._node.gift(account, GIFT if free == 0 else TOP_UP)
            async with asyncio.timeout(60):
                await done.wait()
        except TimeoutError:
            return web.json_response({"error": "no block was made in time"}, status=503)
        finally:
            end()
        return web.json_response({"activated": True})


def _error(id: Any, err: Invalid) -> dict[str, Any]:
    body: dict[str, Any] = {"code": err.code, "message": err.message}
    if err.data:
        body["data"] = err.data
    return {"jsonrpc": "2.0", "id": id, "error": body}


@contextlib.asynccontextmanager
async def serving(node: Node, host: str, port: int) -> AsyncIterator[int]:
    """Serve until the block ends; gives the port (a free one for 0)."""
    server = Server(node)
    runner = web.AppRunner(server.application(), access_log=None, shutdown_timeout=1.0)
    async with server.ingress.serving(runner, host, port) as free:
        yield free
