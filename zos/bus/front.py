"""A socket whose service knows who calls: the kernel vouches for the caller's process and user (SO_PEERCRED).

gRPC tells a service nothing about the other end of a unix socket but the name that this end bound. So the public
socket is taken by this front. It asks the kernel who connected, and hands the bytes on from a socket that it binds
to `<caller>.<number>`; the service reads that name (`caller_of`). gRPC's own socket has no name in any folder once it
listens: the front reaches it by a descriptor, and nobody else does.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
import socket
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_UCRED = struct.Struct("3i")
_PIECE = 1 << 16
MOST = 32
"""Connections of one caller at a time; root has what he wants."""
ROOT = "root"
"""The caller who may do all: the machine's root, core-0 among what is his."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who connected, as the kernel noted it then."""

    pid: int
    uid: int
    gid: int


NameCaller = Callable[[Credentials], str]
"""The name by which the service knows a caller: letters, digits and dashes; empty for an unknown one."""


def caller_of(context: Any) -> str:
    """The caller's name, inside of a call that came through a front; empty for an unknown one."""
    return Path(str(context.peer()).removeprefix("unix:")).name.rpartition(".")[0]


class Front:
    """The public socket of a service; `folder` is its own, below the folder of the sockets."""

    def __init__(self, path: Path, name_caller: NameCaller) -> None:
        self._path = path
        self._folder = path.with_name(f".{path.stem}")
        self._name_caller = name_caller
        self._numbers = itertools.count()
        self._count: Counter[str] = Counter()
        self._running: set[asyncio.Task[None]] = set()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(mode=0o700)
        self.inner = self._folder / "grpc"
        """Where gRPC shall listen before `open`."""

    async def open(self, mode: int) -> None:
        """Puts itself at the server's socket path; `mode` is the socket's."""
        self._behind = os.open(self.inner, os.O_PATH | os.O_CLOEXEC)
        self.inner.unlink()
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, self._path)
        self._path.chmod(mode)

    async def close(self) -> None:
        """Disconnects every caller and removes the socket."""
        self._server.close()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        os.close(self._behind)
        self._path.unlink(missing_ok=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        with contextlib.closing(writer):
            end: socket.socket = writer.get_extra_info("socket")
            raw = end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
            caller = self._name_caller(Credentials(*_UCRED.unpack(raw)))
            self._count[caller] += 1
            try:
                if caller == ROOT or self._count[caller] <= MOST:
                    await self._carry(caller, reader, writer)
            except OSError:
                return  # one of both hung up
            finally:
                self._count[caller] -= 1
                self._running.discard(task)

    async def _carry(self, caller: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_unix_connection(sock=await self._connected(caller))
        with contextlib.closing(inner_writer):
            ways = [asyncio.create_task(_copy(*way)) for way in ((reader, inner_writer), (inner_reader, writer))]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)

    async def _connected(self, caller: str) -> socket.socket:
        """A connection to gRPC whose name is the caller's."""
        name = self._folder / f"{caller}.{next(self._numbers)}"
        end = socket.socket(socket.AF_UNIX)
        try:
            end.setblocking(False)
            end.bind(str(name))
            await asyncio.get_running_loop().sock_connect(end, f"/proc/self/fd/{self._behind}")
            name.unlink()
        except BaseException:
            end.close()
            raise
        return end


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(_PIECE):
        writer.write(piece)
        await writer.drain()
