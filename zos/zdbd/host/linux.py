"""The real host: one child process for each disk, told over its standard input, heard over its standard output.

A child ends when its standard input does, so none outlives the daemon that knows it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec

from zos.errors import ZosError
from zos.zdbd.api.errors import ServerFailed
from zos.zdbd.host import wire
from zos.zdbd.model import Desired, ObservedServer, Report
from zos.zdbd.steps import StartServer, Step, StopServer, Tell

log = logging.getLogger("zos.zdbd")

Confine = Callable[[int, str], Awaitable[Sequence[str]]]
ANSWER = 30.0
"""Seconds for an answer; a namespace that takes longer to open is reported as on its way."""
SILENT_ANSWER = 1.0
"""The same of a process that owes one: whoever asks, and who waits behind him, is not held up for it again."""
SILENCE = 90.0
"""Seconds without an answer that was asked for, after which a process is killed, and started again."""
END = 20.0
"""Seconds for an end in good order; a disk that hangs holds nobody longer."""


class _Server:
    """The process that serves the namespaces of one pool."""

    def __init__(self, pool: str, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.pool = pool
        self.process = process
        self.told: Desired | None = None
        self._input, self._output = process.stdin, process.stdout
        self._number = 0
        self._lock = asyncio.Lock()
        self._owed_since = 0.0
        """When it was asked for the answer that did not come in time; 0 while it owes none."""

    async def ask(self, desired: Desired | None) -> Report:
        """Tell it what to serve (None: as before) and hear how that goes."""
        async with self._lock:
            loop = asyncio.get_running_loop()
            began = loop.time()
            self._number += 1
            try:
                async with asyncio.timeout(SILENT_ANSWER if self._owed_since else ANSWER):
                    # What it did not read yet, of questions before, is answered first.
                    await self._input.drain()
                    self._input.write(wire.question(self._number, desired))
                    await self._input.drain()
                    while True:
                        number, report = wire.parse_answer(await self._output.readuntil(b"\n"))
                        self._owed_since = 0.0
                        if number == self._number:
                            break
            except TimeoutError:
                self._owed_since = self._owed_since or began
                silence = loop.time() - self._owed_since
                if silence > SILENCE:
                    log.error("the 0-db of pool %s did not answer for %.0f s and is killed", self.pool, silence)
                    self.kill()
                raise ServerFailed(pool=self.pool, problem=f"has not answered for {silence:.0f} s") from None
            except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, msgspec.MsgspecError) as err:
                self.kill()
                raise ServerFailed(pool=self.pool, problem=f"ended: {err or type(err).__name__}") from err
        self.told = desired or self.told
        return report

    def kill(self) -> None:
        """End it at once: what it acknowledged is on the disk."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()

    async def end(self) -> None:
        """End it, in good order if it can."""
        self._input.close()
        try:
            await asyncio.wait_for(self.process.wait(), END)
        except TimeoutError:
            self.kill()


class LinuxHost:
    """This machine. `folder` is for what the processes need while they run.

    `confine` puts a process (pid, and its pool) into a control group and returns the controllers that this machine
    lacks; None leaves all in that of this process.
    """

    def __init__(self, folder: Path, confine: Confine | None = None) -> None:
        self._folder = folder
        self._confine = confine
        self._missing: tuple[str, ...] = ()
        self._servers: dict[str, _Server] = {}
        self._watches: set[asyncio.Task[None]] = set()
        self._callback: Callable[[], None] = lambda: None

    def on_change(self, callback: Callable[[], None]) -> None:
        self._callback = callback

    def pools(self) -> frozenset[str]:
        return frozenset(self._servers)

    async def observe(self, pool: str) -> ObservedServer | None:
        server = self._servers.get(pool)
        if server is None:
            return None
        report = await server.ask(None)
        return ObservedServer(server.told, report)

    async def apply(self, steps: Sequence[Step]) -> None:
        for step in steps:
            match step:
                case StartServer(pool):
                    await self._start(pool)
                case Tell(pool, desired):
                    server = self._servers.get(pool)
                    if server is None:
                        raise ServerFailed(pool=pool, problem="does not run")
                    await server.ask(desired)
                case StopServer(pool):
                    if pool in self._servers:
                        await self._servers[pool].end()

    async def _start(self, pool: str) -> None:
        if pool in self._servers:
            return
        folder = self._folder / pool
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "zos.zdbd.disk", str(folder)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=wire.LIMIT,
            start_new_session=True,
        )
        server = self._servers[pool] = _Server(pool, process)
        log.info("the 0-db of pool %s is process %d", pool, process.pid)
        watch = asyncio.create_task(self._watch(server), name=f"0-db of pool {pool}")
        self._watches.add(watch)
        watch.add_done_callback(self._watches.discard)
        try:
            await self._limit(pool, process.pid)
        except BaseException:
            # It serves nothing yet, and is to serve nothing without limits.
            server.kill()
            await asyncio.wait((watch,), timeout=END)
            raise

    async def _limit(self, pool: str, pid: int) -> None:
        if self._confine is None:
            return
        try:
            missing = tuple(await self._confine(pid, pool))
        except ZosError as err:
            raise ServerFailed(pool=pool, problem=f"got no limits: {err.explain()}") from err
        if missing != self._missing:
            self._missing = missing
            if missing:
                log.warning("0-dbs have no limits of %s: the machine permits no such cgroups", ", ".join(missing))

    async def _watch(self, server: _Server) -> None:
        status = await server.process.wait()
        del self._servers[server.pool]
        if status:
            log.warning("the 0-db of pool %s ended with status %d", server.pool, status)
        self._callback()

    async def close(self) -> None:
        await asyncio.gather(*(server.end() for server in list(self._servers.values())))
        await asyncio.gather(*self._watches)
