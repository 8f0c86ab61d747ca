"""The HTTP server: REST by the table of routes, GraphQL by POST, the OpenAPI document, CORS for browsers."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import uuid4

import msgspec
from aiohttp import web

from zos.errors import Status, ZosError
from zos.explorer import openapi
from zos.explorer.api import ROUTES, Answer, Api, Route
from zos.explorer.graph import Graph
from zos.explorer.params import parse
from zos.explorer.shapes import Error

log = logging.getLogger("zos.explorer")

LARGEST = 256 * 1024
"""Bytes of a body, and of a URL: lists of nodes get long."""
_STATUSES = {
    Status.INVALID_ARGUMENT: 400,
    Status.NOT_FOUND: 404,
    Status.INTERNAL: 500,
    Status.UNAVAILABLE: 503,
}
_CORS = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "*"}
_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST, OPTIONS",
    "Access-Control-Allow-Headers": "*",
    "Access-Control-Max-Age": "86400",
}


def application(api: Api) -> web.Application:
    """The server of an API."""
    app = web.Application(client_max_size=LARGEST, middlewares=[_middle])
    for route in ROUTES:
        app.router.add_get(route.path, _handler(api, route))
    document = msgspec.json.encode(openapi.document(ROUTES))
    for path in ("/openapi.json", "/swagger/doc.json"):
        app.router.add_get(path, _constant(document))
    for path in ("/swagger", "/swagger/", "/swagger/index.html"):
        app.router.add_get(path, _elsewhere("/openapi.json"))
    graph = Graph(api.readers)
    app.router.add_post("/graphql", _graphql(graph))
    return app


def _handler(api: Api, route: Route) -> Callable[[web.Request], Awaitable[web.Response]]:
    path, query = ([one for one in route.params if (one.place == "path") == is_path] for is_path in (True, False))

    async def handle(request: web.Request) -> web.Response:
        values = parse(path, request.match_info.items()) | parse(query, request.query.items())
        return _answered(await route.act(api, values))

    return handle


def _answered(answer: Answer) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(answer.body), content_type="application/json", headers=dict(answer.headers)
    )


def _constant(body: bytes) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    return handle


def _elsewhere(path: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": path})

    return handle


def _graphql(graph: Graph) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        try:
            status, body = await graph.answer(await request.read())
        except ZosError as err:
            status, body = _STATUSES.get(err.status, 500), {"errors": [{"message": str(err)}]}
        return web.Response(status=status, body=msgspec.json.encode(body), content_type="application/json")

    return handle


@web.middleware
async def _middle(request: web.Request, handler: Any) -> web.StreamResponse:
    if request.method == "OPTIONS":
        return web.Response(status=204, headers=_CORS | _PREFLIGHT)
    answer = await _guarded(request, handler)
    answer.headers.update(_CORS)
    return answer


async def _guarded(request: web.Request, handler: Any) -> web.StreamResponse:
    try:
        answer: web.StreamResponse = await handler(request)
    except web.HTTPException as err:
        refused = _refused(err.status, err.reason)
        if "Allow" in err.headers:
            refused.headers["Allow"] = err.headers["Allow"]
        return refused
    except ZosError as err:
        return _refused(_STATUSES.get(err.status, 500), str(err))
    except Exception:
        incident = uuid4().hex[:12]
        log.exception("incident %s: %s %s", incident, request.method, request.path_qs)
        return _refused(500, f"internal error, incident {incident}")
    return answer


def _refused(status: int, problem: str) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(Error(problem)), content_type="application/json")


@contextlib.asynccontextmanager
async def serving(api: Api, host: str, port: int) -> AsyncIterator[int]:
    """Serve until the block ends; gives the port (a free one for 0)."""
    runner = web.AppRunner(application(api), access_log=None, shutdown_timeout=2.0, max_line_size=LARGEST)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        sockets: Any = runner.addresses
        yield int(sockets[0][1])
    finally:
        await runner.cleanup()
