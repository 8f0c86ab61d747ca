"""The server's half of the bus: a socket with the daemon's services and the standard health service."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer

from zos.bus.client import MESSAGE_LIMIT, NO_PROBES
from zos.bus.errors import PermissionDenied, code_of, details_of, new_incident
from zos.bus.front import Front, NameCaller, caller_of
from zos.errors import ZosError

log = logging.getLogger("zos.bus")

Add = Callable[[Any, grpc.aio.Server], None]
Admit = Callable[[Any, str], None]
STOP_GRACE = 1.0
MOST_TOLD = 256
"""Refusals that the log tells, each pair of caller and method once."""
MODE = 0o660
"""Whoever is in the group of a daemon's socket may connect to it (`zos/core0/units.py`)."""


May = Callable[[str, str], bool]
"""Whether a caller, by his name, may call a method, by its whole name (`/zos.vmd.v1.Vmd/GetMachine`)."""


@dataclass(frozen=True, slots=True)
class Callers:
    """How a socket knows its callers, and what each may call."""

    name: NameCaller
    may: May


class Guard(grpc.aio.ServerInterceptor):
    """Before a servicer: refuses who `may` not call it. After it: what it raises becomes a status that
    `bus.errors.from_rpc` can read."""

    def __init__(self, may: May | None = None) -> None:
        self._may = may
        self._told: set[tuple[str, str]] = set()

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], details: Any) -> Any:
        handler = await continuation(details)
        if handler is None:
            return None
        if handler.unary_unary:
            return handler._replace(unary_unary=_guard_unary(handler.unary_unary, details.method, self._admit))
        if handler.unary_stream:
            return handler._replace(unary_stream=_guard_stream(handler.unary_stream, details.method, self._admit))
        # No API has streams of requests, and nothing is served that is not guarded.
        return None

    def _admit(self, context: Any, method: str) -> None:
        if self._may is None:
            return
        caller = caller_of(context)
        if self._may(caller, method):
            return
        name = caller or "an unknown process"
        if (name, method) not in self._told and len(self._told) < MOST_TOLD:
            self._told.add((name, method))
            log.warning("%s called %s, which it may not: refused", name, method)
        raise PermissionDenied(caller=name, method=method.removeprefix("/"))


def _guard_unary(inner: Any, method: str, admit: Admit) -> Any:
    async def guarded(request: Any, context: Any) -> Any:
        try:
            admit(context, method)
            return await inner(request, context)
        except grpc.aio.AbortError:
            raise
        except Exception as err:  # noqa: BLE001 - this is the one boundary where everything becomes a status
            await _abort(context, err, method)

    return guarded


def _guard_stream(inner: Any, method: str, admit: Admit) -> Any:
    async def guarded(request: Any, context: Any) -> AsyncIterator[Any]:
        try:
            admit(context, method)
            async for message in inner(request, context):
                yield message
        except grpc.aio.AbortError:
            raise
        except Exception as err:  # noqa: BLE001 - as above
            await _abort(context, err, method)

    return guarded


async def _abort(context: Any, err: Exception, method: str) -> None:
    if isinstance(err, ZosError):
        await context.abort(code_of(err.status), str(err), trailing_metadata=details_of(err))
    incident = new_incident()
    log.error("incident %s in %s", incident, method, exc_info=err)
    await context.abort(grpc.StatusCode.INTERNAL, incident)


class Health:
    """What core-0 asks; a daemon is SERVING while its loops run."""

    def __init__(self) -> None:
        self.servicer = HealthServicer()

    async def set(self, serving: bool) -> None:
        """Answer the health service from now on with this."""
        status = health_pb2.HealthCheckResponse
        await self.servicer.set("", status.SERVING if serving else status.NOT_SERVING)


@asynccontextmanager
async def listening(
    path: Path, services: list[tuple[Any, Add]], health: Health, callers: Callers | None = None
) -> AsyncIterator[None]:
    """Serve the services on a unix socket (mode 0660) until the block ends.

    With `callers`, they are known and held to what each may call, and services learn who calls by `front.caller_of`.
    A socket file left by a killed predecessor is replaced: whoever starts a daemon twice is core-0, which does not.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.unlink(missing_ok=True)
    options = (
        ("grpc.max_receive_message_length", MESSAGE_LIMIT),
        ("grpc.max_send_message_length", MESSAGE_LIMIT),
        NO_PROBES,
    )
    server = grpc.aio.server(interceptors=[Guard(callers.may if callers else None)], options=options)
    for servicer, add in services:
        add(servicer, server)
    health_pb2_grpc.add_HealthServicer_to_server(health.servicer, server)
    front = Front(path, callers.name) if callers else None
    server.add_insecure_port(f"unix:{front.inner if front else path}")
    await server.start()
    if front:
        await front.open(MODE)
    else:
        path.chmod(MODE)
    try:
        yield
    finally:
        await health.set(False)
        await server.stop(STOP_GRACE)
        if front:
            await front.close()
        path.unlink(missing_ok=True)
