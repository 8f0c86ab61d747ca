"""The flists that this node has: fetched, checked, compiled, kept by their hash and by the URL they came from.

<cache>/flists/<hash>/flist.fl, index, info.json      one flist, of either kind; whole when all three are there
<cache>/urls/<hash of the URL>.json                   what was at a URL last, and its ETag
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
import hashlib
import json
import logging
import os
import secrets
import shutil
import sys
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from zos.errors import ZosError
from zos.fetch.errors import FetchFailed
from zos.flist.cache import Keys, trim
from zos.flist.errors import FlistBroken
from zos.flist.index import Index
from zos.flist.info import INDEX, INFO, ORIGINAL, Info
from zos.flist.policy import StorePolicy
from zos.flist.store import DEFAULT
from zos.flistd.api.errors import CacheAway, FlistMismatch, FlistUnreachable, NoRoom, NoSuchFlist
from zos.flistd.host.contract import Content
from zos.flistd.host.draft import Draft
from zos.flistd.host.room import free, share, size_of, volume
from zos.runtime import folders, linux, proc, threads
from zos.runtime.fair import FairSlots
from zos.runtime.files import write_atomic
from zos.runtime.locks import Locks

if TYPE_CHECKING:
    from zos.fetch.aio import Fetcher
    from zos.fetch.exchange import Answer
    from zos.fetch.names import Shares

log = logging.getLogger("zos.flistd")

T = TypeVar("T")

FOLDERS = ("flists", "urls", "blocks")
"""Of the cache; whoever mounts it makes them."""
MAX_FLIST = 512 << 20
FETCH = 60.0
REDIRECTS = 5
COMPILE = 70.0
DISK = 30.0
"""Seconds for one piece of work on the cache's files."""
REFUSED = 65
NOT_NOW = (408, 425, 429)
"""Statuses of a refusal that passes."""
ASKED_FOR = 180.0
"""Seconds for which what somebody asked for is in use, until it is mounted: fetching and compiling take as long."""
SHARES = 8
"""The share of the room for flists that an owner has in any case: one of so many."""
UNUSED = 30 * 24 * 3600.0
DRAFT_AGE = 3600.0
FULL = (errno.ENOSPC, errno.EDQUOT)
SPARE = 1 << 20
"""Free bytes below which a failure is the disk's."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """The flist that a URL gave last, with its ETag."""

    url: str
    flist: str
    etag: str = ""


class Library:
    """Flists by hash and by URL."""

    def __init__(
        self,
        cache: Path,
        policy: StorePolicy,
        limit: int = 0,
        store: str = DEFAULT,
        *,
        must_be_mounted: bool = False,
    ) -> None:
        self.cache = cache
        self._must_be_mounted = must_be_mounted
        self._store = store
        self._policy = policy
        self._limit = limit
        self._fetcher: Fetcher | None = None
        self._places: Shares | None = None
        self._fetching: Locks[str] = Locks()
        """By URL."""
        self._compiling: Locks[str] = Locks()
        """By flist."""
        self._infos: dict[str, tuple[tuple[int, int], Content]] = {}
        """What was read of each flist, with the time and size of the file that said so."""
        self._slots = FairSlots(2)
        self._used: dict[str, float] = {}
        """When a flist was last known to be in use: by `tidy`, which is told, or since somebody asked for it."""
        self._owners: dict[str, set[str]] = {}
        """Whose the flists in use are."""
        self._knows_use = False

    def close(self) -> None:
        if self._fetcher is not None:
            self._fetcher.close()

    def prepare(self) -> None:
        """Make the folders; raises CacheAway while the volume is not there. Nobody else makes them: what is written
        after it has gone fails.
        """
        if self._must_be_mounted:
            place = self.cache.resolve()
            if not any(seen.point == place for seen in linux.mounts()):
                raise CacheAway(path=self.cache)
        self._claim()
        for folder in FOLDERS:
            (self.cache / folder).mkdir(parents=not self._must_be_mounted, exist_ok=True, mode=0o700)

    def folder(self, flist: str) -> Path:
        """Where a flist is kept."""
        return self.cache / "flists" / flist

    def known(self, flist: str) -> Content | None:
        """A flist that is here whole, else None."""
        folder = self.folder(flist)
        if not flist or not (folder / INDEX).exists():
            return None
        try:
            seen = (folder / INFO).stat()
            stamp = seen.st_mtime_ns, seen.st_size
            before = self._infos.get(flist)
            if before is None or before[0] != stamp:
                # Who serves it reads where its blocks are; here that would only take memory.
                info = dataclasses.replace(Info.from_json((folder / INFO).read_text()), routes=())
                before = self._infos[flist] = stamp, Content(flist, info)
            return before[1]
        except (OSError, ValueError, TypeError, KeyError):
            self._infos.pop(flist, None)
            return None

    def room(self) -> int:
        """Bytes that the flists and their blocks may take."""
        return self._limit or share(self.cache)

    def is_cramped(self) -> bool:
        """Whether it holds more than its volume may have, or nearly: storaged took some for what is paid."""
        limit, used = volume(self.cache) if self.cache.exists() else (0, 0)
        return bool(limit) and used * 10 > limit * 9

    def forget_index(self, flist: str) -> None:
        """It is torn: compile it again when it is asked for next."""
        (self.folder(flist) / INDEX).unlink(missing_ok=True)

    async def obtain(self, url: str, hash: str, tenant: str) -> Content:
        """The flist at a URL; with a hash, what is here already is enough, and needs neither a place nor a lock."""
        try:
            found = await self._on_disk(lambda: self.known(hash))
            if found is None:
                # His own places before the URL's lock: who has too much under way is waited for by nobody else.
                async with self._place(url, tenant), self._fetching.of(url):
                    flist = hash if await self._has_original(hash) else await self._fetch(url, hash, tenant)
                    self._uses(flist, tenant)
                found = await self._on_disk(lambda: self.known(flist)) or await self._compile(flist, url, tenant)
        except OSError as err:
            if err.errno in FULL:
                raise NoRoom(url=url, problem=err.strerror) from None
            if await self._on_disk((self.cache / "flists").is_dir):
                raise
            raise CacheAway(path=self.cache) from None
        self._uses(found.flist, tenant)
        return found

    def _uses(self, flist: str, tenant: str) -> None:
        self._used[flist] = time.time()
        self._owners.setdefault(flist, set()).add(tenant)

    @contextlib.asynccontextmanager
    async def _place(self, url: str, tenant: str) -> AsyncIterator[None]:
        """One of a tenant's places, as many as the fetcher gives him; what it has for all is waited for there."""
        from zos.fetch.aio import SHARE
        from zos.fetch.names import Shares

        self._places = self._places or Shares(sys.maxsize, SHARE)
        try:
            async with asyncio.timeout(FETCH):
                await self._places.take(tenant)
        except TimeoutError:
            raise FlistUnreachable(url=url, problem="other flists of the same tenant are still being fetched") from None
        try:
            yield
        finally:
            self._places.release(tenant)

    def _claim(self) -> None:
        """Own the cache, which storaged makes: who prepares a flist may do no more than its user."""
        if self.cache.is_dir() and self.cache.stat().st_uid != os.geteuid():
            folders.hand_over(self.cache, os.geteuid(), os.getegid(), folders.PRIVATE)

    async def _on_disk(self, work: Callable[[], T]) -> T:
        """Work on the cache's files in a thread: a disk that hangs does not stop the loop, which serves all tenants."""
        return await threads.run(f"use the cache {self.cache}", work, DISK)

    async def _has_original(self, flist: str) -> bool:
        return bool(flist) and await self._on_disk((self.folder(flist) / ORIGINAL).exists)

    async def _fetch(self, url: str, expected: str, tenant: str) -> str:
        """Bring the flist here; returns its hash. With the hub gone, what the URL gave last must do."""
        before = await self._on_disk(lambda: self._remembered(url))
        whole = before is not None and await self._has_original(before.flist)
        try:
            return await self._download(url, expected, before if whole else None, tenant)
        except (FetchFailed, NoSuchFlist) as err:
            if before is not None and whole and expected in ("", before.flist):
                log.warning("%s cannot be asked, the copy of before is used: %s", url, err)
                return before.flist
            if isinstance(err, NoSuchFlist):
                raise
            raise FlistUnreachable(url=url, problem=err.facts["problem"]) from None

    async def _download(self, url: str, expected: str, before: Remembered | None, tenant: str) -> str:
        # A name of its own each time: a thread that hung in the one before may still write there.
        draft = self.cache / "flists" / f".{secrets.token_hex(16)}.draft"
        try:
            answer, digest = await self._get(url, draft, before, tenant)
            if answer.status == 304 and before is not None:
                found = before.flist
            elif answer.status == 200:
                found = digest
            elif 400 <= answer.status < 500 and answer.status not in NOT_NOW:
                raise NoSuchFlist(url=url, status=answer.status)
            else:
                raise FetchFailed(url=url, problem=f"the server answers {answer.status}")
            if expected and found != expected:
                raise FlistMismatch(url=url, found=found, expected=expected)
            remembered = Remembered(url, found, answer.headers.get("etag", before.etag if before else ""))
            await self._on_disk(lambda: self._keep(draft if answer.status == 200 else None, remembered, tenant))
            return found
        finally:
            await self._on_disk(lambda: draft.unlink(missing_ok=True))

    def _keep(self, draft: Path | None, found: Remembered, tenant: str) -> None:
        """Keep what was fetched (None: it is here), and what the URL gave."""
        if draft is not None:
            self._make_room(draft.stat().st_size, found.url, tenant)
            self.folder(found.flist).mkdir(exist_ok=True, mode=0o700)
            draft.replace(self.folder(found.flist) / ORIGINAL)
        self._remember(found)

    async def _get(self, url: str, path: Path, before: Remembered | None, tenant: str) -> tuple[Answer, str]:
        """What the URL answers, its body in a file, and the hash of that."""
        # Imported with the first flist: a node whose mounts are all there fetches none.
        from zos.fetch.aio import Fetcher
        from zos.fetch.exchange import Request

        self._fetcher = self._fetcher or Fetcher(self._policy)
        headers = {"If-None-Match": before.etag} if before and before.etag else {}
        draft = Draft(path, self._on_disk)
        request = Request(url, limit=MAX_FLIST, headers=headers, redirects=REDIRECTS, sink=draft.take)
        answer = await self._fetcher.fetch(request, FETCH, tenant)
        return answer, await draft.finish()

    def _url_file(self, url: str) -> Path:
        return self.cache / "urls" / f"{hashlib.blake2b(url.encode(), digest_size=16).hexdigest()}.json"

    def _remembered(self, url: str) -> Remembered | None:
        try:
            found = Remembered(**json.loads(self._url_file(url).read_text()))
        except (OSError, ValueError, TypeError):
            return None
        return found if found.url == url else None

    def _remember(self, found: Remembered) -> None:
        path = self._url_file(found.url)
        if path.parent.is_dir():
            write_atomic(path, json.dumps(asdict(found)).encode())

    async def _compile(self, flist: str, url: str, tenant: str) -> Content:
        """Check and index it, in a process of its own."""
        folder = self.folder(flist)
        # Without `site`, whose part is `import_path`'s here.
        words: list[str | Path] = [sys.executable, "-S", "-m", "zos.flist.compile", folder / ORIGINAL, folder]
        words += [self.cache, self._policy.to_json(), url, self._store]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(import_path()), "MALLOC_ARENA_MAX": "1"}
        async with self._slots.turn(tenant), self._compiling.of(flist):
            if found := await self._on_disk(lambda: self.known(flist)):
                return found  # somebody else's turn came first
            if not await self._has_original(flist):
                raise FlistUnreachable(url=url, problem="its copy here was just found broken, and goes")
            done = await proc.run(words, deadline=COMPILE, check=False, env=env)
            if done.code != 0:
                # What no guest can use is not kept: it would fill the disk beside the limit.
                await self._on_disk(lambda: shutil.rmtree(folder, ignore_errors=True))
        if done.code == REFUSED:
            said = json.loads(done.stdout)
            # The process knows the file by its name here; the user knows it by its URL.
            facts = {**said["facts"], **({"flist": url} if "flist" in said["facts"] else {})}
            raise ZosError.known.get(said["reason"], FlistBroken)(**facts)
        found = await self._on_disk(lambda: self.known(flist))
        if done.code != 0 or found is None:
            if await self._on_disk(lambda: free(self.cache)) < SPARE:
                raise NoRoom(url=url, problem="the disk is full")
            # Killed at a limit, or by a bug that it provoked: the file is to blame, not the moment.
            problem = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or [f"status {done.code}"]
            raise FlistBroken(flist=url, problem=f"reading it failed: {problem[0][:300]}")
        return found

    def _make_room(self, size: int, url: str, tenant: str) -> None:
        """Drop flists that are out of use until one more of this size fits into half of the cache.

        Who has more than a share leaves half of that to others, however much of it is free.
        """
        most = self.room() // 2
        taken = {folder: size_of(folder) for folder in (self.cache / "flists").glob("[0-9a-f]*")}
        total = sum(taken.values()) + 2 * size
        mine = sum(held for folder, held in taken.items() if tenant in self._owners.get(folder.name, ())) + 2 * size
        limit = most // 2 if mine * SHARES > most else most
        for folder in sorted(taken, key=lambda one: one.stat().st_mtime):
            if total > limit and self._knows_use and folder.name not in self._used:
                shutil.rmtree(folder, ignore_errors=True)
                total -= taken[folder]
        if total > limit:
            missing = ((total - limit) >> 20) + 1
            whose = f" (of them yours: {mine >> 20} MiB)" if limit < most else ""
            raise NoRoom(url=url, problem=f"{missing} MiB are missing beside the flists that are in use{whose}")

    def tidy(self, wanted: Mapping[str, Collection[str]]) -> None:
        """Drop what is old and unused, then blocks over the limit; each flist in use is told with its owners."""
        now = time.time()
        recent = {flist: at for flist, at in self._used.items() if 0 <= now - at < ASKED_FOR}
        self._used, self._knows_use = recent | dict.fromkeys(wanted, now), True
        asked = {flist: self._owners.get(flist, set()) for flist in recent}
        self._owners = asked | {flist: {*owners, *asked.get(flist, ())} for flist, owners in wanted.items()}
        for flist in tuple(self._infos.keys() - self._used.keys()):
            self._infos.pop(flist, None)
        for known in (self.cache / "urls").glob("*.json"):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                flist = json.loads(known.read_text()).get("flist", "")
                if not self.folder(str(flist)).exists() and now - known.stat().st_mtime > DRAFT_AGE:
                    known.unlink()
        for folder in (self.cache / "flists").glob("*"):
            with contextlib.suppress(OSError):
                age = now - folder.stat().st_mtime
                if folder.name.startswith(".") and age > DRAFT_AGE:
                    folder.unlink()
                elif not folder.name.startswith(".") and folder.name not in wanted and age > UNUSED:
                    shutil.rmtree(folder)
        keep = Keys()
        for flist in wanted:
            with contextlib.suppress(OSError, ZosError), Index(self.folder(flist) / INDEX) as tree:
                keep.update(tree.keys())
        flists = sum(map(size_of, (self.cache / "flists").glob("[0-9a-f]*")))
        freed = trim(self.cache, max(0, self.room() - flists), keep)
        if freed:
            log.info("%d MiB of blocks were dropped from the cache", freed >> 20)


def import_path() -> list[str]:
    """Where other processes of ours import from."""
    root = Path(__file__).resolve().parents[3]
    entries = [Path(entry).absolute() for entry in sys.path if entry]
    return [str(root), *(str(entry) for entry in entries if entry.exists() and entry != root)]
