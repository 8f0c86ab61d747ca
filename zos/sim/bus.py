"""The bus without sockets: a client calls the servicer in this process.

Messages are still encoded and decoded, errors take the same way through status and details, deadlines hold in virtual
time, and a daemon that is down does not answer.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from zos.bus.client import Bus
from zos.bus.errors import PermissionDenied, code_of, details_of
from zos.bus.server import Add, Guard
from zos.runtime.calls import may_call
from zos.sim.life import Life, owner


class Failed(Exception):
    """How a call ended when it did not end well."""

    def __init__(self, code: grpc.StatusCode, details: str = "", trailing: Any = ()) -> None:
        super().__init__(code, details)
        self.code, self.details, self.trailing = code, details, trailing

    def error(self) -> grpc.aio.AioRpcError:
        """As a client of gRPC gets it."""
        return grpc.aio.AioRpcError(
            self.code, grpc.aio.Metadata(), grpc.aio.Metadata(*self.trailing), self.details, self.details
        )


class _Context:
    """What a servicer is told about a call, as far as ours ask."""

    def __init__(self) -> None:
        self.failure: Failed | None = None

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Any = ()) -> None:
        self.failure = Failed(code, details, trailing_metadata)
        raise grpc.aio.AbortError(details)


class _Details:
    def __init__(self, method: str) -> None:
        self.method = method


class Services:
    """Takes handlers in as a gRPC server does."""

    def __init__(self, life: Life) -> None:
        self.life = life
        self.handlers: dict[str, Any] = {}

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        """The same handlers as those that are registered."""

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Any]) -> None:
        self.handlers.update({f"/{service}/{name}": handler for name, handler in handlers.items()})

    async def guarded(self) -> None:
        """Put the bus's own guard around every handler."""
        for method, handler in self.handlers.items():

            async def found(_: Any, handler: Any = handler) -> Any:
                return handler

            self.handlers[method] = await Guard().intercept_service(found, _Details(method))


class Switchboard:
    """Who listens where. `jitter` is how many seconds a message takes at most; chance decides, by the seed."""

    def __init__(self, chance: random.Random, jitter: float = 0.0) -> None:
        self.servers: dict[str, Services] = {}
        self.calls = 0
        self.before: Callable[[str], Awaitable[None]] | None = None
        """Called with the name of a daemon before it calls another; may raise Failed."""
        self._chance = chance
        self._jitter = jitter

    @contextmanager
    def serving(self, name: str, services: Services) -> Iterator[None]:
        """Be reachable under a name while the block runs."""
        self.servers[name] = services

        def gone() -> None:
            if self.servers.get(name) is services:
                del self.servers[name]

        services.life.at_end(gone)
        try:
            yield
        finally:
            gone()

    def handler(self, daemon: str, method: str) -> tuple[Services, Any]:
        """Who answers a call; raises Failed when nobody does, or who calls is a daemon that may not."""
        services = self.servers.get(daemon)
        if services is None:
            raise Failed(grpc.StatusCode.UNAVAILABLE, "connection refused")
        handler = services.handlers.get(method)
        if handler is None:
            raise Failed(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
        if (life := owner()) is not None and not may_call(life.name, method):
            refusal = PermissionDenied(caller=life.name, method=method.removeprefix("/"))
            raise Failed(code_of(refusal.status), str(refusal), details_of(refusal))
        self.calls += 1
        return services, handler

    async def travel(self) -> None:
        """A message's time on the way."""
        await asyncio.sleep(self._chance.random() * self._jitter if self._jitter else 0)


class SimBus(Bus):
    """The bus of one life, or of somebody outside."""

    def __init__(self, run_dir: Path, switchboard: Switchboard) -> None:
        super().__init__(run_dir)
        self._switchboard = switchboard

    def channel(self, daemon: str) -> Any:
        return _Channel(daemon, self._switchboard)

    async def close(self) -> None:
        """Nothing is held."""


class _Channel:
    def __init__(self, daemon: str, switchboard: Switchboard) -> None:
        self._daemon = daemon
        self._switchboard = switchboard

    def unary_unary(self, method: str, request_serializer: Any, response_deserializer: Any, **_: Any) -> Any:
        async def call(request: Any, timeout: float | None = None) -> Any:
            life = owner()
            if life is not None:
                life.check()
            try:
                async with asyncio.timeout(timeout):
                    if life is not None and self._switchboard.before is not None:
                        await self._switchboard.before(life.name)
                    answer = await self._unary(method, request_serializer(request))
            except TimeoutError:
                raise Failed(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded").error() from None
            except Failed as failure:
                raise failure.error() from None
            return response_deserializer(answer)

        return call

    async def _unary(self, method: str, data: bytes) -> bytes:
        await self._switchboard.travel()
        services, handler = self._switchboard.handler(self._daemon, method)
        task = services.life.start(_answer(handler, data))
        try:
            await asyncio.wait((task,))
        finally:
            # A caller who goes away takes his call with him.
            task.cancel()
        if task.cancelled():
            raise Failed(grpc.StatusCode.UNAVAILABLE, "connection reset")
        answer: bytes = task.result()
        await self._switchboard.travel()
        return answer

    def unary_stream(self, method: str, request_serializer: Any, response_deserializer: Any, **_: Any) -> Any:
        def call(request: Any, timeout: float | None = None) -> _Stream:
            return _Stream(
                self._switchboard, self._daemon, method, request_serializer(request), response_deserializer, timeout
            )

        return call


async def _answer(handler: Any, data: bytes) -> bytes:
    context = _Context()
    try:
        reply = await handler.unary_unary(handler.request_deserializer(data), context)
    except grpc.aio.AbortError:
        assert context.failure is not None
        raise context.failure from None
    encoded: bytes = handler.response_serializer(reply)
    return encoded


class _Stream:
    """A server's stream of messages."""

    def __init__(
        self,
        switchboard: Switchboard,
        daemon: str,
        method: str,
        data: bytes,
        decode: Callable[[bytes], Any],
        timeout: float | None,
    ) -> None:
        self._switchboard = switchboard
        self._where = daemon, method
        self._data = data
        self._decode = decode
        self._timeout = timeout
        self._task: asyncio.Task[Any] | None = None

    def cancel(self) -> None:
        """Do not listen any more."""
        if self._task is not None:
            self._task.cancel()

    async def __aiter__(self) -> AsyncIterator[Any]:
        life = owner()
        if life is not None:
            life.check()
        try:
            async with asyncio.timeout(self._timeout):
                await self._switchboard.travel()
                services, handler = self._switchboard.handler(*self._where)
                queue: asyncio.Queue[bytes | None] = asyncio.Queue()
                self._task = services.life.start(_pour(handler, self._data, queue))
                self._task.add_done_callback(lambda _: queue.put_nowait(None))
                while (message := await queue.get()) is not None:
                    yield self._decode(message)
        except TimeoutError:
            raise Failed(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded").error() from None
        except Failed as failure:
            raise failure.error() from None
        if self._task.cancelled():
            raise Failed(grpc.StatusCode.UNAVAILABLE, "connection reset").error()
        problem = self._task.exception()
        if isinstance(problem, Failed):
            raise problem.error()


async def _pour(handler: Any, data: bytes, queue: asyncio.Queue[bytes | None]) -> None:
    context = _Context()
    try:
        async for reply in handler.unary_stream(handler.request_deserializer(data), context):
            queue.put_nowait(handler.response_serializer(reply))
    except grpc.aio.AbortError:
        assert context.failure is not None
        raise context.failure from None


def add_all(life: Life, services: list[tuple[Any, Add]]) -> Services:
    """The services of one daemon."""
    taken = Services(life)
    for servicer, add in services:
        add(servicer, taken)
    return taken
