"""The 0-db of one disk: the process that zdbd starts, `python -m zos.zdbd.disk FOLDER`.

It serves the namespaces that it is told of, each in the volume that holds it, and ends when its standard input does. A
namespace that cannot be opened harms no other.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import secrets
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from zos.errors import ZosError
from zos.model.names import owner_of
from zos.runtime import threads
from zos.runtime.journal import set_up_journal
from zos.runtime.program import stop_signals
from zos.zdb.hooks import Hooks
from zos.zdb.memory import Memory, Share, TooManyKeys
from zos.zdb.namespace import Namespace
from zos.zdb.server import Server
from zos.zdb.session import Settings
from zos.zdb.store import Store, open_apart
from zos.zdbd import memory
from zos.zdbd.host import wire
from zos.zdbd.model import Desired, Report, Space, SpaceReport

log = logging.getLogger("zos.zdbd")

OPENED_WITHIN = 3.0
"""Seconds after which a namespace is reported as on its way; it goes on being opened."""
OPENED_AT_ONCE = 4
"""Small namespaces, and as many large ones: a disk has one head, and few keys do not wait for many."""
LARGE = 16 << 20
"""Bytes of an index, from which on a namespace is large."""
REST = 600.0
"""Seconds until a namespace is tried again whose keys have no room in memory: to find that out is to read them."""
AT_ONCE = 256
"""Namespaces that are looked at in one go."""
OPENING = "it is being opened"
OOM_SCORE = "500"
"""Where memory ends, this process does before the node's others: it is started again."""


class Disk:
    """The namespaces of one disk, and the addresses on which they are served."""

    def __init__(self, store: Store, server: Server, keys: Memory | None = None) -> None:
        self._store = store
        self._server = server
        self._keys = keys or memory.for_keys(memory.limit())
        self._shares: dict[str, Share] = {}
        self._size = 0
        """Bytes of the disk, as far as it is known."""
        self._listening: dict[tuple[str, int], asyncio.Server] = {}
        self._opening: dict[str, asyncio.Task[None]] = {}
        self._small, self._large = asyncio.Semaphore(OPENED_AT_ONCE), asyncio.Semaphore(OPENED_AT_ONCE)
        self._desired: Desired | None = None
        self._wanted: dict[str, Space] = {}
        self._problems: dict[str, str] = {}
        self._rests: dict[str, float] = {}
        """When a namespace is tried again, by the loop's clock."""
        self._problem = ""

    async def follow(self, desired: Desired) -> None:
        """Serves the namespaces of this list and closes all others. Who is served already waits for none of that."""
        before, self._desired, self._wanted = self._wanted, desired, {space.id: space for space in desired.spaces}
        self._problem = ""
        try:
            await self._listen({(address, desired.port) for address in desired.addresses})
        except OSError as err:
            self._problem = f"port {desired.port}: {err.strerror}"
        await self._let_go()
        self._assure()
        served = self._store.spaces
        changed = [
            space
            async for space in _in_turns(desired.spaces)
            if before.get(space.id) != space or space.id in self._problems or space.id.encode() not in served
        ]
        await asyncio.gather(*map(self._serve, changed))
        if opening := [task for space in changed if (task := self._opening.get(space.id)) is not None]:
            await asyncio.wait(opening, timeout=OPENED_WITHIN)

    async def _let_go(self) -> None:
        """Close what is served or being opened and not wanted any more."""
        for id in {name.decode() for name in self._store.spaces} - self._wanted.keys() - {"default"}:
            try:
                await self._server.release(id.encode())
            except OSError as err:
                log.warning("%s: %s; what was not acknowledged may be lost", id, err.strerror)
        ending = {id: task for id, task in self._opening.items() if id not in self._wanted}
        for id, task in ending.items():
            if id in self._shares:
                self._shares[id].is_over = True
            else:
                task.cancel()  # it waits for its turn
        if ending:
            await asyncio.wait(ending.values())
        for known in (self._problems, self._rests, self._shares):
            for id in known.keys() - self._wanted.keys():
                del known[id]

    def _assure(self) -> None:
        """What each namespace has of the memory for sure, by its part of the disk."""
        whole = max(self._size, sum(space.size for space in self._wanted.values()))
        for id, share in self._shares.items():
            share.assure(memory.assured(self._keys, self._wanted[id].size, whole))

    async def _serve(self, space: Space) -> None:
        if space.id in self._opening or asyncio.get_running_loop().time() < self._rests.get(space.id, 0.0):
            return
        self._problems.pop(space.id, None)
        served = self._store.spaces.get(space.id.encode())
        if served is None:
            # However long it takes: it is asked for until it is there, and opened once.
            self._opening[space.id] = asyncio.create_task(self._open(space.id), name=f"open {space.id}")
            return
        try:
            await self._change(served, space)
        except OSError as err:
            self._problems[space.id] = f"{err.filename or space.folder}: {err.strerror}"

    async def _open(self, id: str) -> None:
        """Open it in a thread: one with millions of keys takes a while, and others are served meanwhile."""
        folder = self._wanted[id].folder
        try:
            async with self._small:
                index, size = await threads.run(f"measure {id}", partial(_measure, id, folder), None)
                self._size = max(self._size, size)
                opened = await self._read(id) if index < LARGE else None
            if opened is None:
                async with self._large:
                    opened = await self._read(id)
            if opened is not None:
                await self._adopt(id, opened)
        except ZosError as err:
            self._problems[id] = err.explain()
            if isinstance(err, TooManyKeys):
                self._rests[id] = asyncio.get_running_loop().time() + REST
        except OSError as err:
            self._problems[id] = f"{err.filename or folder}: {err.strerror}"
        finally:
            del self._opening[id]

    async def _read(self, id: str) -> Namespace | None:
        """The namespace with its keys in memory; None when nobody wants it any more."""
        space = self._wanted.get(id)
        if space is None:
            return None
        self._shares[id] = self._keys.share(owner_of(id), 0)
        self._assure()
        # A folder that is not there is a pool that is not mounted; an empty one in its place would hide that.
        work = partial(
            open_apart,
            id.encode(),
            Path(space.folder),
            is_sequential=space.is_sequential,
            share=self._shares[id],
        )
        return await threads.run(f"open {id}", work, None)

    async def _adopt(self, id: str, opened: Namespace) -> None:
        """Serve it, with the settings that are wanted by now."""
        done: Space | None = None
        try:
            while (wanted := self._wanted.get(id)) not in (None, done):
                assert wanted is not None
                await self._change(opened, wanted)
                done = wanted
        except BaseException:
            await threads.run(f"close {id}", opened.close, None)
            raise
        if wanted is None:
            await threads.run(f"close {id}", opened.close, None)
        else:
            self._store.adopt(opened)
            self._server.adopt(opened)

    async def _change(self, space: Namespace, wanted: Space) -> None:
        settings = {
            "password": wanted.password.encode(),
            "max_size": wanted.size,
            "is_public": wanted.is_public,
            "is_frozen": wanted.is_frozen,
        }
        space.disk_limit = wanted.size
        changed = {key: value for key, value in settings.items() if getattr(space.settings, key) != value}
        if changed or not space.is_kept:
            # They count at once; that the disk has them is waited for in a thread.
            await threads.run(f"keep the settings of {wanted.id}", partial(space.change, **changed), None)

    async def _listen(self, wanted: set[tuple[str, int]]) -> None:
        for place in self._listening.keys() - wanted:
            self._server.stop_listening(self._listening.pop(place))
        for place in sorted(wanted - self._listening.keys()):
            self._listening[place] = await self._server.listen_ahead(*place)

    async def report(self) -> Report:
        """How each namespace of the pool is: served, on its way, or why not."""
        spaces: dict[str, SpaceReport] = {}
        async for wanted in _in_turns(self._desired.spaces if self._desired else ()):
            served = self._store.spaces.get(wanted.id.encode())
            problem = OPENING if wanted.id in self._opening else self._problems.get(wanted.id, "")
            counts = (served.entries, served.live_bytes) if served else (0, 0)
            spaces[wanted.id] = SpaceReport(*counts, problem)
        return Report(spaces, self._problem)


def _measure(id: str, folder: str) -> tuple[int, int]:
    """Bytes of a namespace's index, and of the disk that it is on. Blocking."""
    seen = os.statvfs(folder)
    index = Path(folder, "index", id)
    size = sum(path.stat().st_size for path in index.iterdir()) if index.is_dir() else 0
    return size, seen.f_blocks * seen.f_frsize


async def _in_turns(spaces: Iterable[Space]) -> AsyncIterator[Space]:
    """The same; clients are served between many."""
    for number, space in enumerate(spaces, 1):
        yield space
        if number % AT_ONCE == 0:
            await asyncio.sleep(0)


async def _lines() -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=wire.LIMIT)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)
    return reader


async def _follow(store: Store, server: Server, first: asyncio.StreamReader) -> None:
    disk: Disk | None = None
    while line := await first.readline():
        number, desired = wire.parse_question(line)
        if desired is not None:
            server.world.settings = _settings(server.world.settings.admin, desired.sync)
            disk = disk or Disk(store, server)
            await disk.follow(desired)
        os.write(1, wire.answer(number, await disk.report() if disk else Report()))


def _settings(admin: bytes, sync: bool) -> Settings:
    return Settings(admin, is_protected=True, sync=sync, is_shared=True)


async def serve(folder: Path) -> int:
    """Serve until standard input ends, or SIGTERM; returns the exit status."""
    # Nobody is administrator: the password is known to nobody.
    admin = secrets.token_hex(32).encode()
    store = Store(folder / "index", folder / "data")
    async with AsyncExitStack() as stack:
        stack.callback(store.close)
        store.open()
        server = Server(store, _settings(admin, True), Hooks("", 0))
        stack.push_async_callback(server.close)
        stopping = await stack.enter_async_context(stop_signals())
        work = asyncio.ensure_future(_follow(store, server, await _lines()))
        ends = [work, *(asyncio.ensure_future(event.wait()) for event in (stopping, server.failed))]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()
        if work.done() and not work.cancelled():
            work.result()
    return 1 if server.failed.is_set() else 0


def main() -> int:
    """Serves until standard input ends."""
    set_up_journal("zdbd")
    os.umask(0o077)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE)
    return asyncio.run(serve(Path(sys.argv[1])))


if __name__ == "__main__":
    sys.exit(main())
