"""The hub's HTTP server: files below its root, `.md5` of flists, and the deployments that users leave.

GET /<path>                       a file (with ranges and ETag); /blocks/<two digits>/<hex> are blocks
GET /<path>.fl.md5                32 hex digits, as of the reference's hub
GET /api/flist                    the flists here, as a JSON list of paths
PUT, POST, GET /deployments/<hash>
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from functools import partial
from pathlib import Path

from aiohttp import web
from cachetools import LRUCache

from zos.errors import Status, ZosError
from zos.hub import deployments
from zos.hub.build import BLOCKS
from zos.runtime import threads
from zos.runtime.fair import FairSlots
from zos.runtime.ingress import Ingress, Limits
from zos.runtime.quota import network_of
from zos.runtime.threads import Threads

_TEXTS = {".fl": "application/octet-stream", ".json": "application/json", ".md": "text/markdown", ".txt": "text/plain"}
_CODES = {
    Status.ALREADY_EXISTS: 409,
    Status.INVALID_ARGUMENT: 400,
    Status.NOT_FOUND: 404,
    Status.RESOURCE_EXHAUSTED: 507,
    Status.DEADLINE_EXCEEDED: 503,
}
_REMEMBERED = 1000
DISK = 60.0
"""Seconds for one piece of work on the files."""
USE = 2.0
"""Seconds for a note that a document was asked for."""
LISTED = 5.0
"""Seconds that a list of flists is good: it is a walk through all files."""
ROOT: web.AppKey[Path] = web.AppKey("root", Path)


def application(root: Path) -> web.Application:
    """The server over a folder."""
    hub = _Hub(root)
    app = web.Application(client_max_size=deployments.LIMIT + 1, middlewares=[_refusals])
    app[ROOT] = root
    app.on_cleanup.append(hub.close)
    app.add_routes(
        [
            web.put("/deployments/{name}", hub.put_deployment),
            web.post("/deployments/{name}", hub.put_deployment),
            web.get("/deployments/{name}", hub.get_deployment),
            web.get("/api/flist", hub.flists),
            web.get("/{path:.*}", hub.file),
        ]
    )
    return app


@web.middleware
async def _refusals(request: web.Request, handler: object) -> web.StreamResponse:
    assert callable(handler)
    try:
        answer: web.StreamResponse = await handler(request)
    except ZosError as err:
        code = _CODES.get(err.status, 500)
        return web.json_response({"reason": err.reason, "error": str(err)}, status=code)
    return answer


class _Hub:
    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._documents = deployments.DocumentStore(self._root)
        self._listing, self._digesting = asyncio.Lock(), asyncio.Lock()
        self._threads = Threads()
        self._turns = FairSlots(2)
        self._flists: tuple[float, list[str]] = (0.0, [])
        self._asked: LRUCache[str, float] = LRUCache(_REMEMBERED)
        self._md5: LRUCache[tuple[str, int, int], str] = LRUCache(_REMEMBERED)

    async def close(self, app: web.Application) -> None:
        self._documents.close()

    async def put_deployment(self, request: web.Request) -> web.Response:
        document, name, network = await request.read(), request.match_info["name"], network_of(request.remote)
        # One at a time of a network, and networks take turns: reading a stranger's document costs more than keeping it.
        async with self._turns.turn(network):
            await threads.run("read a document", partial(deployments.check, name, document), DISK)
            work = partial(self._documents.add, name, document, network)
            new = await self._threads.run("documents", "keep a document", work, DISK)
        return web.json_response({"stored": new}, status=201 if new else 200)

    async def get_deployment(self, request: web.Request) -> web.StreamResponse:
        place = deployments.path(self._root, request.match_info["name"])
        if not place.is_file():
            raise web.HTTPNotFound(text="no such deployment")
        if time.monotonic() - self._asked.get(place.name, -deployments.LATELY) >= deployments.LATELY:
            self._asked[place.name] = time.monotonic()
            with contextlib.suppress(ZosError):
                await self._threads.run("uses", "note a use", partial(self._documents.used, place.name), USE)
        return web.FileResponse(place, headers={"Content-Type": "application/json"})

    async def flists(self, request: web.Request) -> web.Response:
        async with self._listing:
            until, names = self._flists
            if time.monotonic() >= until:
                names = await self._threads.run("list", "list the flists", self._found, DISK)
                self._flists = time.monotonic() + LISTED, names
        return web.json_response(names)

    def _found(self) -> list[str]:
        paths = (path for path in self._root.rglob("*.fl") if not path.name.startswith("."))
        return sorted(str(path.relative_to(self._root)) for path in paths)

    async def file(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["path"]
        place = self._inside(name)
        if place is None and name.endswith(".md5"):
            return await self._digest(name.removesuffix(".md5"))
        if place is None:
            raise web.HTTPNotFound(text="there is no such file")
        headers = {"Content-Type": _TEXTS.get(place.suffix, "application/octet-stream")}
        if name.startswith(f"{BLOCKS}/"):
            headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return web.FileResponse(place, headers=headers)

    def _inside(self, name: str) -> Path | None:
        """A regular file below the root that a name leads to; hidden ones and ways out are not there."""
        parts = name.split("/")
        if "\0" in name or any(part.startswith(".") or not part for part in parts):
            return None
        try:
            place = self._root.joinpath(*parts).resolve(strict=True)
        except (OSError, RuntimeError):
            return None
        return place if place.is_relative_to(self._root) and place.is_file() else None

    async def _digest(self, name: str) -> web.Response:
        place = self._inside(name)
        if place is None:
            raise web.HTTPNotFound(text="there is no such file")
        seen = place.stat()
        key = (str(place), seen.st_mtime_ns, seen.st_size)
        async with self._digesting:
            if key not in self._md5:
                self._md5[key] = await self._threads.run("md5", f"read {name}", lambda: _md5_of(place), DISK)
        return web.Response(text=self._md5[key])


def _md5_of(path: Path) -> str:
    # Not for safety: it is the name by which the grid's hubs let a client skip a download.
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


async def serve(root: Path, host: str, port: int, stopping: asyncio.Event) -> None:
    root.mkdir(parents=True, exist_ok=True)
    runner = web.AppRunner(application(root), access_log=None, handle_signals=False, keepalive_timeout=60.0)
    async with Ingress(Limits(body=60.0)).serving(runner, host, port):
        await stopping.wait()
