"""The processes behind mounts: started so that they outlive us, found again by what /proc says of them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

from zos.flistd.api.errors import MountFailed
from zos.flistd.fuse.readers import Trouble
from zos.flistd.fuse.server import TORN, Wanted
from zos.flistd.host.nursery import Nursery
from zos.runtime import threads

READY = 20.0
END = 2.0
"""Seconds for which the end of a killed server is waited for."""
MAX_LOG = 1 << 20
"""Bytes of a server's log, which is in memory; a longer one is cut while it is written to."""
KEPT_LOG = 1 << 16
OLD_LOG = 24 * 3600.0
"""Seconds after which the log of a flist that nobody serves goes."""


class Torn(Exception):
    """The index must be made again."""


async def start(nursery: Nursery, wanted: Wanted, log: Path) -> None:
    """Serve a flist; returns when it is mounted."""
    pipe = Path(wanted.ready)
    pipe.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe, 0o600)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        words = (wanted.folder, wanted.cache, wanted.point, wanted.source, wanted.policy, wanted.fill, wanted.ready)
        pid = await nursery.bear(words, log)
        said = await _hear(reader, pid)
    finally:
        os.close(reader)
        pipe.unlink(missing_ok=True)
    if said == TORN:
        raise Torn
    if said != "ok":
        raise MountFailed(
            action=f"serve the flist {wanted.source[:12]}…", problem=said or f"its server ended, see {log}"
        )


def cut_logs(folder: Path, serving: Collection[str]) -> None:
    """Keep the logs of servers within bounds, and those of servers that ended for a while; forget their trouble.
    Blocking.
    """
    for told in folder.glob(f"*{Trouble.SUFFIX}"):
        if told.name.removesuffix(Trouble.SUFFIX) not in serving:
            with contextlib.suppress(OSError):
                told.unlink()
    flists = {source.partition("-")[0] for source in serving}
    for log in folder.glob("*.log"):
        with contextlib.suppress(OSError):
            seen = log.stat()
            if log.stem not in flists and time.time() - seen.st_mtime > OLD_LOG:
                log.unlink()
            elif seen.st_size > MAX_LOG:
                # Servers append, so that what they write goes to the new end.
                with log.open("r+b") as file:
                    file.seek(-KEPT_LOG, os.SEEK_END)
                    end = file.read(KEPT_LOG).partition(b"\n")[2]
                    file.seek(0)
                    file.truncate()
                    file.write(end)


async def end(source: str) -> None:
    """End what serves a source that is not mounted; raises MountFailed when it hangs in the kernel."""
    for pid in await threads.run(f"find the server of {source}", lambda: _serving_pids(source), END):
        try:
            life = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            signal.pidfd_send_signal(life, signal.SIGKILL)
            if not await _has_ended(life):
                raise MountFailed(
                    action=f"serve the flist {source[:12]}…",
                    problem=f"its former server (process {pid}) hangs in the kernel",
                )
        finally:
            os.close(life)


async def _has_ended(life: int) -> bool:
    """Whether a process ends within a moment."""
    # The call has a deadline of its own.
    ended, _, _ = await threads.run("see a server end", lambda: select.select([life], [], [], END), None)
    return bool(ended)


async def _hear(reader: int, pid: int) -> str:
    """What a process wrote to the pipe; "" when it ended without a word."""
    loop = asyncio.get_running_loop()
    started: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not started.done():
            started.set_result(None)

    try:
        life = os.pidfd_open(pid)
    except ProcessLookupError:
        return os.read(reader, 4096).decode(errors="replace")
    loop.add_reader(reader, wake)
    loop.add_reader(life, wake)
    try:
        await asyncio.wait_for(started, READY)
        return os.read(reader, 4096).decode(errors="replace")
    except TimeoutError:
        return f"it was not mounted within {READY} s"
    except BlockingIOError:
        return ""
    finally:
        loop.remove_reader(reader)
        loop.remove_reader(life)
        os.close(life)


def serving() -> Mapping[str, int]:
    """The sources that are served now, each with the process that answers for it (the eldest)."""
    found: dict[str, int] = {}
    for source, pid in _servers():
        found.setdefault(source, pid)
    return found


def _servers() -> Iterator[tuple[str, int]]:
    for name in sorted((name for name in os.listdir("/proc") if name.isdigit()), key=int):
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")
            if len(words) > 10 and words[2].endswith(b"/zos/flistd/serve.py"):
                yield words[7].decode(errors="replace"), int(name)


def _serving_pids(source: str) -> list[int]:
    return [pid for served, pid in _servers() if served == source]


class Watch:
    """Calls `callback` when a server that was observed ends."""

    def __init__(self) -> None:
        self.callback: Callable[[], None] = lambda: None
        self._lives: dict[int, int] = {}

    def over(self, pids: Mapping[str, int]) -> None:
        """Watch these processes, by source, beside those watched already."""
        loop = asyncio.get_running_loop()
        for pid in set(pids.values()) - self._lives.keys():
            with contextlib.suppress(OSError):
                life = os.pidfd_open(pid)
                self._lives[pid] = life
                loop.add_reader(life, self._ended, pid)

    def _ended(self, pid: int) -> None:
        self._let_go(pid)
        self.callback()

    def _let_go(self, pid: int) -> None:
        life = self._lives.pop(pid)
        asyncio.get_running_loop().remove_reader(life)
        os.close(life)

    def close(self) -> None:
        for pid in list(self._lives):
            self._let_go(pid)
