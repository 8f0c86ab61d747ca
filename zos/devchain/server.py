"""Serves the chain: JSON-RPC by WebSocket and POST on one port, and the activation stand-in beside it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import WSMsgType, web

from zos.devchain.errors import Invalid
from zos.devchain.node import Node
from zos.devchain.rpc import Methods
from zos.devchain.session import Session
from zos.errors import ZosError
from zos.substrate.keys import public_key

log = logging.getLogger("zos.devchain")

LARGEST = 16 * 1024 * 1024
BATCH = 100
BACKLOG = 5_000
HELD = 32 * 1024 * 1024
"""Bytes."""
GIFT = 1_000_000
"""Units (0.1 TFT) for an account that has nothing, as the public activation service gives."""
TOP_UP = 15_000


class Outgoing:
    """What waits for one client to read it. Somebody who subscribes and never reads costs no more than this."""

    def __init__(self) -> None:
        self.full = asyncio.Event()
        self._queue: asyncio.Queue[str] = asyncio.Queue(BACKLOG)
        self._held = 0

    def offer(self, text: str) -> None:
        """A notification; nothing when there is no room, which ends the connection."""
        if self._queue.full() or self._held + len(text) > HELD:
            self.full.set()
            return
        self._held += len(text)
        self._queue.put_nowait(text)

    async def put(self, text: str) -> None:
        """An answer; waits for room, so that nothing more is asked meanwhile."""
        self._held += len(text)
        await self._queue.put(text)

    async def get(self) -> str:
        """The next text."""
        text = await self._queue.get()
        self._held -= len(text)
        return text


class Server:
    """The chain's front."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._methods = Methods(node)

    def application(self) -> web.Application:
        """The routes."""
        app = web.Application(client_max_size=LARGEST)
        app.router.add_route("GET", "/", self._socket)
        app.router.add_route("GET", "/ws", self._socket)
        app.router.add_route("POST", "/", self._post)
        app.router.add_route("POST", "/activation/activate", self._activate)
        return app

    async def _post(self, request: web.Request) -> web.Response:
        answer = await self.answer(None, await request.text())
        return web.Response(text=answer or "", content_type="application/json")

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(max_msg_size=LARGEST, heartbeat=30)
        if not socket.can_prepare(request).ok:
            return web.Response(text="this is a chain; speak JSON-RPC to it by WebSocket or POST\n")
        await socket.prepare(request)
        outgoing = Outgoing()
        session = Session(self._node, lambda message: outgoing.offer(json.dumps(message)))
        writer = asyncio.create_task(self._write(socket, outgoing))
        watch = asyncio.create_task(self._hang_up(request, session, outgoing))
        try:
            async for message in socket:
                if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    data = message.data if isinstance(message.data, str) else message.data.decode(errors="replace")
                    answer = await self.answer(session, data)
                    if answer is not None:
                        await outgoing.put(answer)
        finally:
            session.close()
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
        if request.transport is not None:
            request.transport.abort()

    async def answer(self, session: Session | None, text: str) -> str | None:
        """The answer to a JSON-RPC text, which may be a batch; None when nothing is to be said."""
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            return json.dumps(_error(None, Invalid(-32700, "Parse error")))
        if isinstance(message, list):
            if not 0 < len(message) <= BATCH:
                return json.dumps(_error(None, Invalid(-32600, "Invalid Request", f"1 to {BATCH} requests")))
            answers = [await self._one(session, one) for one in message]
            told = [one for one in answers if one is not None]
            return json.dumps(told) if told else None
        answer = await self._one(session, message)
        return None if answer is None else json.dumps(answer)

    async def _one(self, session: Session | None, message: Any) -> dict[str, Any] | None:
        if not isinstance(message, dict) or not isinstance(message.get("method"), str):
            return _error(None, Invalid(-32600, "Invalid Request"))
        id = message.get("id")
        try:
            result = await self._methods.call(session, message["method"], message.get("params") or [])
        except Invalid as err:
            return _error(id, err)
        except Exception:
            log.exception("%s failed", message["method"])
            return _error(id, Invalid(-32603, "Internal error"))
        return None if "id" not in message else {"jsonrpc": "2.0", "id": id, "result": result}

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
    runner = web.AppRunner(Server(node).application(), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, host, port)
    await site.start()
    try:
        sockets: Any = runner.addresses
        yield int(sockets[0][1])
    finally:
        await runner.cleanup()
