"""flistd's end of the program that forks flists' servers: started when the first is asked for, and again if it ends."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from zos.flistd import serve
from zos.flistd.api.errors import MountFailed
from zos.flistd.fuse.nursery import LIMIT, ROOM
from zos.flistd.host.library import import_path
from zos.runtime import proc, threads

DEADLINE = 20.0
"""Seconds for the program to start, and for it to fork."""
# One heap for all threads, which keeps what blocks took for the next ones: asking the kernel for half a megabyte of
# fresh pages at every block costs more than half of the speed (measured: 600 instead of 1 500 MB/s).
_ENV = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "33554432", "LC_ALL": "C.UTF-8"}


class Nursery:
    """Forks servers, one at a time."""

    def __init__(self, folder: Path) -> None:
        """`folder` is nobody else's to enter."""
        self._folder = folder
        self._control: socket.socket | None = None
        self._turn = asyncio.Lock()

    async def bear(self, words: Sequence[object], log: Path) -> int:
        """Start a server with these words, which writes to `log`; returns its pid. Raises MountFailed."""
        message = json.dumps([str(word) for word in words]).encode()
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            async with self._turn:
                for _ in range(2):
                    control = self._control = self._control or await self._start()
                    try:
                        socket.send_fds(control, [message], [output])
                    except OSError:
                        self.close()  # it has ended since it was last asked
                        continue
                    return await self._answer(control)
        finally:
            os.close(output)
        raise self._failed("it ends at once")

    async def _answer(self, control: socket.socket) -> int:
        try:
            # It may have forked before it ended, so it is not asked again here: the next round looks what is there.
            if pid := int(await threads.run("fork a server", lambda: control.recv(LIMIT), DEADLINE) or b"0"):
                return pid
            problem = "it ended"
        except OSError as err:
            problem = str(err)
        self.close()
        raise self._failed(problem)

    async def _start(self) -> socket.socket:
        path = self._folder / "nursery.sock"
        words: list[str | Path] = [
            sys.executable,
            "-S",
            serve.__file__,
            ":".join(import_path()),
            "nursery",
            path,
            " " * ROOM,
        ]
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
            door.settimeout(DEADLINE)
            try:
                path.unlink(missing_ok=True)
                door.bind(str(path))
                door.listen(1)
                await proc.spawn(words, log=self._log, env={"PATH": os.environ.get("PATH", os.defpath), **_ENV})
                control, _ = await threads.run("start what forks servers", door.accept, 2 * DEADLINE)
            except OSError as err:
                raise self._failed(str(err)) from None
            finally:
                path.unlink(missing_ok=True)
        control.settimeout(DEADLINE)
        return control

    @property
    def _log(self) -> Path:
        return self._folder / "nursery.log"

    def _failed(self, problem: str) -> MountFailed:
        return MountFailed(action="start a flist's server", problem=f"{problem}, see {self._log}")

    def close(self) -> None:
        """Let the program end; its servers stay."""
        if self._control is not None:
            self._control.close()
            self._control = None
