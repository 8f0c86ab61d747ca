"""The HTTP server: REST by the table of routes, GraphQL by POST, the OpenAPI document, CORS for browsers."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import cache
from typing import Any
from uuid import uuid4

import msgspec
from aiohttp import web

from zos.errors import Status, ZosError
from zos.explorer.graphql.endpoint import GraphqlEndpoint
from zos.explorer.rest import openapi
from zos.explorer.rest.api import Answer, Api
from zos.explorer.rest.params import parse
from zos.explorer.rest.routes import ROUTES, Route
from zos.explorer.rest.shapes import Error
from zos.explorer.store.pool import CLIENT
from zos.runtime.ingress import Ingress, Limits
from zos.runtime.quota import network_of

log = logging.getLogger("zos.explorer")

MAX_BYTES = 256 * 1024
"""Bytes of a body, and of a URL: lists of nodes get long."""
RETRY_AFTER = "1"
"""Seconds after which a refused client may try again."""
_STATUSES = {
    Status.INVALID_ARGUMENT: 400,
    Status.NOT_FOUND: 404,
    Status.INTERNAL: 500,
    Status.UNAVAILABLE: 503,
}
_HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "*",
    # Instead of the versions of our libraries.
    "Server": "gridproxy",
}
_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST, OPTIONS",
    "Access-Control-Allow-Headers": "*",
    "Access-Control-Max-Age": "86400",
}


_WITHOUT_SLASH = web.normalize_path_middleware(
    append_slash=False, remove_slash=True, merge_slashes=False, redirect_class=web.HTTPMovedPermanently
)


def application(api: Api) -> web.Application:
    """The HTTP application of an API."""
    app = web.Application(client_max_size=MAX_BYTES, middlewares=[_common_headers, _WITHOUT_SLASH])
    for route in ROUTES:
        app.router.add_get(route.path, _handler(api, route))
    for path in ("/openapi.json", "/swagger/doc.json"):
        app.router.add_get(path, _static(_document()))
    for path in ("/swagger", "/swagger/", "/swagger/index.html"):
        app.router.add_get(path, _redirect("/openapi.json"))
    app.router.add_post("/graphql", _graphql(GraphqlEndpoint(api.pool)))
    return app


@cache
def _document() -> bytes:
    return msgspec.json.encode(openapi.document(ROUTES))


def _handler(api: Api, route: Route) -> Callable[[web.Request], Awaitable[web.Response]]:
    path, query = ([one for one in route.params if (one.place == "path") == is_path] for is_path in (True, False))

    async def handle(request: web.Request) -> web.Response:
        values = parse(path, request.match_info.items()) | parse(query, request.query.items(), route.ignored)
        return _response(await route.action(api, values))

    return handle


def _response(answer: Answer) -> web.Response:
    body, headers = answer.json(), dict(answer.headers)
    if len(body) == 1:
        return web.Response(body=body[0], content_type="application/json", headers=headers)
    headers["Content-Length"] = str(sum(map(len, body)))
    return web.Response(body=_in_turn(body), content_type="application/json", headers=headers)


async def _in_turn(pieces: Sequence[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def _static(body: bytes) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    return handle


def _redirect(path: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": path})

    return handle


def _graphql(endpoint: GraphqlEndpoint) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        try:
            status, body = await endpoint.answer(await request.read())
        except ZosError as err:
            status, body = _STATUSES.get(err.status, 500), {"errors": [{"message": str(err)}]}
        return web.Response(status=status, body=msgspec.json.encode(body), content_type="application/json")

    return handle


@web.middleware
async def _common_headers(request: web.Request, handler: Any) -> web.StreamResponse:
    if request.method == "OPTIONS":
        return web.Response(status=204, headers=_HEADERS | _PREFLIGHT)
    CLIENT.set(network_of(request.remote))
    answer = await _with_errors(request, handler)
    answer.headers.update(_HEADERS)
    return answer


async def _with_errors(request: web.Request, handler: Any) -> web.StreamResponse:
    try:
        answer: web.StreamResponse = await handler(request)
    except web.HTTPException as err:
        refused = _refused(err.status, err.reason)
        refused.headers.update({name: err.headers[name] for name in ("Allow", "Location") if name in err.headers})
        return refused
    except ZosError as err:
        refused = _refused(_STATUSES.get(err.status, 500), str(err))
        if refused.status == 503:
            refused.headers["Retry-After"] = RETRY_AFTER
        return refused
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
    runner = web.AppRunner(application(api), access_log=None, shutdown_timeout=2.0, max_line_size=MAX_BYTES)
    async with Ingress(Limits(body=15.0)).serving(runner, host, port) as free:
        yield free
