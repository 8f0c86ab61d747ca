"""The parent that flists' servers are forked from: it has imported what they need, so each is there in milliseconds.

They share its pages until they write, and are nobody's children: what ends it, or flistd, does not reach them. It has
no thread, opens no flist, and ends when flistd does, or when nothing was asked of it for a while.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from zos.flistd.fuse import server
from zos.flistd.fuse.server import Wanted

LIMIT = 64 * 1024
IDLE = 60.0
"""Seconds without a request after which it ends."""
ROOM = 8 * 1024
"""Bytes of its command line, which a server overwrites with its own: /proc says by that whose it is."""


def main(path: str, program: Sequence[str]) -> int:
    """Fork what flistd asks for at a socket; `program` is how this one was started, up to the import path."""
    control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    control.connect(path)
    control.settimeout(IDLE)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.collect()
    # A collection in a server would write to every object, and so copy what is shared.
    gc.freeze()
    while True:
        try:
            message, descriptors, _, _ = socket.recv_fds(control, LIMIT, 1)
        except TimeoutError:
            return 0
        if not message or len(descriptors) != 1:
            return 0
        control.send(str(_bear(control, [*program, *json.loads(message)], len(program), descriptors[0])).encode())
        os.close(descriptors[0])


def _bear(control: socket.socket, words: Sequence[str], first: int, log: int) -> int:
    """Fork a server that is nobody's child; returns its pid."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    middle = os.fork()
    if middle == 0:
        status = 1
        try:
            os.setsid()
            pid = os.fork()
            if pid:
                os.write(writer, str(pid).encode())
                status = 0
            else:
                for descriptor in (reader, writer, control.detach()):
                    os.close(descriptor)
                status = _serve(words, first, log)
        except BaseException:  # noqa: BLE001 - the last line of this process; nothing above would print it
            sys.excepthook(*sys.exc_info())
        finally:
            sys.stderr.flush()
            os._exit(status)
    os.close(writer)
    try:
        return int(os.read(reader, 32) or b"0")
    finally:
        os.close(reader)
        os.waitpid(middle, 0)


def _serve(words: Sequence[str], first: int, log: int) -> int:
    nothing = os.open("/dev/null", os.O_RDONLY)
    for descriptor, number in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(descriptor, number)
    os.close(nothing)
    os.close(log)
    call_oneself(words)
    folder, cache, point, source, policy, fill, ready = words[first:]
    return server.main(Wanted(Path(folder), Path(cache), point, source, policy, int(fill), ready))


def call_oneself(words: Sequence[str]) -> None:
    """Have /proc/self/cmdline say these words. Raises ValueError when they are longer than the command line was."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = int(fields[45]), int(fields[46])  # arg_start, arg_end of proc(5)
    text = b"".join(word.encode() + b"\0" for word in words)
    if len(text) > end - start:
        raise ValueError(f"{len(text)} bytes do not fit into a command line of {end - start}")
    ctypes.memmove(start, text.ljust(end - start, b"\0"), end - start)
