"""Where blocks lie: folders, HTTP servers, 0-dbs, by a flist's routes; a block is asked of all that may have it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar
from urllib.parse import unquote, urlsplit

from zos.errors import ZosError
from zos.fetch.errors import FetchFailed, FetchForbidden
from zos.fetch.policy import target
from zos.flist.errors import BlockCorrupt, BlockMissing, StoreRefused
from zos.flist.layout import Route, stored_as
from zos.flist.policy import REDIS, StorePolicy

if TYPE_CHECKING:
    from zos.fetch.blocking import Client

DEFAULT = "zdb://hub.grid.tf:9900"
"""The public hub's, for the archives of 0-fs that name none."""
MAX_BLOB = 640 * 1024
"""More than any sealed block has."""
BAD_FOR = 15.0
"""Seconds in which a store that failed is asked last."""

ASKED = 8
"""Stores that are asked for one block: a flist may name a thousand."""

T = TypeVar("T")


class Store(Protocol):
    """Gives a blob by its id; None when it has none."""

    def get(self, id: bytes, deadline: float) -> bytes | None:
        """The stored form, unchecked."""

    def close(self) -> None:
        """Let go of connections."""


class FolderStore:
    """`dir://`: a file per block, as rfs lays them out: `<root>/<two digits>/<hex>`, formerly `<root>/<hex>`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, id: bytes) -> Path:
        """Where a block lies."""
        name = id.hex()
        return self.root / name[:2] / name

    def get(self, id: bytes, deadline: float) -> bytes | None:
        """The stored form, unchecked."""
        for path in (self.path(id), self.root / id.hex()):
            try:
                with path.open("rb") as file:
                    return file.read(MAX_BLOB)
            except FileNotFoundError:
                continue
            except OSError as err:
                raise FetchFailed(url=f"dir://{self.root}", problem=err) from None
        if not self.root.is_dir():
            raise FetchFailed(url=f"dir://{self.root}", problem="the folder is not there")
        return None

    def close(self) -> None:
        """Nothing is held."""

    def put(self, id: bytes, blob: bytes) -> bool:
        """Keep a block, whole or not at all; false when it was there."""
        path = self.path(id)
        if path.exists():
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
        draft.write_bytes(blob)
        draft.replace(path)
        return True


class HttpStore:
    """`http://`, `https://`: the same names below a base URL."""

    def __init__(self, base: str, policy: StorePolicy) -> None:
        target(base)
        self._base = base.rstrip("/")
        self._policy = policy
        self._idle: list[Client] = []

    def get(self, id: bytes, deadline: float) -> bytes | None:
        """The stored form, unchecked."""
        # Here, since a mount whose blocks are all cached never needs it.
        from zos.fetch.blocking import Client
        from zos.fetch.exchange import Request

        name = id.hex()
        end = time.monotonic() + deadline
        try:
            # Asked first whether there is one, another thread may take it meanwhile.
            client = self._idle.pop()
        except IndexError:
            client = Client(self._policy)
        try:
            for path in (f"{name[:2]}/{name}", name):
                request = Request(f"{self._base}/{path}", limit=MAX_BLOB)
                answer = client.fetch(request, max(0.1, end - time.monotonic()))
                if answer.status == 200:
                    return answer.body
                if answer.status in (401, 403):
                    raise StoreRefused(url=self._base, problem=f"it answers {answer.status}")
                if answer.status not in (404, 410):
                    raise FetchFailed(url=self._base, problem=f"it answers {answer.status}")
        finally:
            self._idle.append(client)
        return None

    def close(self) -> None:
        """Let go of the idle connections."""
        while self._idle:
            self._idle.pop().close()


def open_store(url: str, policy: StorePolicy) -> Store:
    """The store of a route's URL."""
    policy.check_store(url)
    parts = urlsplit(url)
    if parts.scheme == "dir":
        return FolderStore(Path(unquote(parts.path)))
    if parts.scheme in REDIS:
        # Here, since most flists name none.
        from zos.flist.redis import RedisStore

        return RedisStore(url, policy, MAX_BLOB)
    return HttpStore(url, policy)


class Stores:
    """The stores that a flist's routes name; a block's first byte decides which is asked."""

    def __init__(self, routes: Sequence[Route], policy: StorePolicy) -> None:
        self._routes = tuple(routes)
        self._policy = policy
        self._open: dict[str, Store] = {}
        self._bad: dict[str, float] = {}

    def fetch(self, id: bytes, check: Callable[[bytes], T], deadline: float) -> T:
        """What `check` makes of the first blob that it accepts; stores that failed lately are asked last.

        When none does: BlockCorrupt if a store gave a wrong one, else that one is unreachable (it may have the block),
        else that one refuses, else BlockMissing.
        """
        end = time.monotonic() + deadline
        urls = list(dict.fromkeys(route.url for route in self._routes if route.start <= id[0] <= route.end))
        now = time.monotonic()
        urls.sort(key=lambda url: self._bad.get(url, 0) > now)
        del urls[ASKED:]
        troubles: list[ZosError] = []
        for asked, url in enumerate(urls):
            try:
                # What is left is shared, so that a silent store leaves time for the others.
                blob = self._store(url).get(stored_as(id), max(0.5, (end - time.monotonic()) / (len(urls) - asked)))
                if blob is not None:
                    return check(blob)
            except ZosError as err:
                self._bad[url] = time.monotonic() + BAD_FOR
                troubles.append(err)
        order = (BlockCorrupt.reason, FetchFailed.reason, StoreRefused.reason, FetchForbidden.reason)
        for reason in order:
            for trouble in troubles:
                if trouble.reason == reason:
                    raise trouble
        raise BlockMissing(block=stored_as(id).hex())

    def close(self) -> None:
        """Let go of connections."""
        for store in self._open.values():
            store.close()

    def _store(self, url: str) -> Store:
        if url not in self._open:
            self._open[url] = open_store(url, self._policy)
        return self._open[url]
