"""Serves one flist: mounts it, greets the kernel, and answers from threads until it is unmounted.

Two processes: the first one holds the connection and waits; the second answers. When the second dies (killed, out of
memory, a bug), the first starts another on the same connection and the kernel repeats what was not answered: guests
only wait a moment. Where the kernel cannot repeat (before Linux 6.9) the first ends as well, and flistd mounts anew.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from zos.flist.cache import BlockCache
from zos.flist.errors import FlistBroken
from zos.flist.index import Index
from zos.flist.info import INDEX, INFO, Info
from zos.flist.policy import StorePolicy
from zos.flist.source import Source
from zos.flist.store import Stores
from zos.flistd.fuse import wire
from zos.flistd.fuse.readers import Readers, Trouble, is_killed
from zos.flistd.fuse.tree import Tree
from zos.runtime import linux, privileges, walls

FILE_SYSTEM = "fuse.zos"
THREADS = 6
BACKGROUND = 16
READ_AHEAD_KIB = 1024
STEADY = 10.0
"""A server that lived this long did not fall over its own feet."""
MAX_FALLS = 20
FILLERS = 3
RENEW = 75
"""Exit status of a server that wants a successor."""
TORN = "torn"
"""Said when the index must be made again."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to serve, and where."""

    folder: Path
    """The compiled flist: `index` and `info.json`."""
    cache: Path
    point: str
    source: str
    """What mountinfo shows as the mount's source; flistd knows it by this."""
    policy: str
    fill: int
    """A flist of at most this many bytes is fetched whole in the background."""
    ready: str
    """A pipe that is told `ok`, or what is wrong."""


def main(wanted: Wanted) -> int:
    """The first process's life."""
    try:
        # Once, for every second process: the cache's volume may be away when the next one starts.
        index, info = Index(wanted.folder / INDEX), Info.from_json((wanted.folder / INFO).read_text())
        cache = BlockCache(wanted.cache)
        connection, seen = _open(wanted)
        _give_up(Path(wanted.point))
    except FlistBroken:
        _tell(wanted.ready, TORN)
        return 1
    except OSError as err:
        _tell(wanted.ready, f"{err.strerror}: {err.filename or wanted.point}")
        return 1
    _tell(wanted.ready, "ok")
    falls, resume = 0, False
    while True:
        began = time.monotonic()
        child = os.fork()
        if child == 0:
            os._exit(_serve(connection, index, info, cache, wanted, resume, seen.can_resend))
        _, status = os.waitpid(child, 0)
        if os.waitstatus_to_exitcode(status) == 0 or not seen.can_resend:
            return 0
        resume = True
        if os.waitstatus_to_exitcode(status) == RENEW:
            continue
        falls = falls + 1 if time.monotonic() - began < STEADY else 1
        sys.stderr.write(
            f"{wanted.source}: the server ended with {os.waitstatus_to_exitcode(status)}, the next starts\n"
        )
        if falls > MAX_FALLS:
            return 1
        threading.Event().wait(min(2.0, 0.01 * 2**falls) if falls > 1 else 0)


def _tell(pipe: str, text: str) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        os.write(descriptor, text.encode()[:4000])
        os.close(descriptor)


def _open(wanted: Wanted) -> tuple[int, wire.Kernel]:
    """Mount, and answer INIT."""
    connection = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={connection},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions"
    flags = linux.MS_RDONLY | linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOATIME
    linux.mount(wanted.source, wanted.point, FILE_SYSTEM, flags, options)
    try:
        return connection, _greet(connection, wanted.point)
    except BaseException:
        linux.unmount(wanted.point)
        raise


def _give_up(point: Path) -> None:
    """Keep no capability: what is left to do is files of flistd's own, the connection, and strangers' stores."""
    if privileges.holds("sys_admin") and walls.reach_program():
        # A mount lives as long as it is seen anywhere: here no flist is, or none would ever end.
        for seen in reversed(linux.mounts()):
            if seen.point.is_relative_to(point.parents[1]):
                linux.unmount(seen.point)
    privileges.drop_all()
    walls.close_up()


def _greet(connection: int, point: str) -> wire.Kernel:
    asked = wire.request(os.read(connection, wire.BUFFER))
    if asked.opcode != wire.INIT:
        raise OSError(errno.EPROTO, "the kernel began with something else")
    seen = wire.kernel(asked.body)
    # Before the answer: the kernel takes the smaller one of what we say and what the device has.
    _raise_readahead(point)
    os.writev(connection, wire.reply(asked.unique, wire.greeting(seen, BACKGROUND)))
    return seen


def _raise_readahead(point: str) -> None:
    for seen in linux.mounts():
        if str(seen.point) == point and seen.kind == FILE_SYSTEM:
            with contextlib.suppress(OSError):
                Path(f"/sys/class/bdi/{seen.device}/read_ahead_kb").write_text(str(READ_AHEAD_KIB))


def _serve(
    connection: int, index: Index, info: Info, cache: BlockCache, wanted: Wanted, resume: bool, renew: bool
) -> int:
    """The second process's life: 0 when the flist was unmounted."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s", stream=sys.stderr)
    stores = Stores(info.routes, StorePolicy.from_json(wanted.policy))
    trouble = Trouble(Path(wanted.ready).parent, wanted.source)
    trouble.note("")
    readers = Readers(lambda unique: _write(connection, wire.refusal(unique, errno.EINTR)), is_killed)
    source = Source(cache, stores, waiting=readers.waiting, trouble=trouble.note)
    tree = Tree(index, source)
    if resume:
        os.write(connection, wire.resend())
    threading.stack_size(512 * 1024)
    threads = [threading.Thread(target=_work, args=(connection, tree, readers), daemon=True) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    if 0 < info.size <= wanted.fill:
        threading.Thread(target=_fill, args=(index, source, renew), daemon=True).start()
    for thread in threads:
        thread.join()
    return 0


def _fill(index: Index, source: Source, renew: bool) -> None:
    """Fetch the whole flist, so that its guests start quickly and do not need the hub again."""
    refs, fetched = index.refs(), [0] * FILLERS

    def work(number: int) -> None:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        fetched[number] = source.fill(refs)

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(FILLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if any(fetched) and renew:
        # Fetching took twice the memory that serving does; the successor never needs it.
        os._exit(RENEW)


def _work(connection: int, tree: Tree, readers: Readers) -> None:
    while True:
        try:
            data = os.read(connection, wire.BUFFER)
        except OSError as err:
            if err.errno == errno.ENODEV:
                return
            if err.errno in (errno.ENOENT, errno.EINTR, errno.EAGAIN):
                continue  # it was taken back
            os._exit(3)
        readers.asked(data)
        try:
            answer = tree.answer(data)
        except Exception:  # noqa: BLE001 - one question that we fail at must not hang whoever asked
            sys.excepthook(*sys.exc_info())
            answer = wire.refusal(wire.request(data).unique, errno.EIO)
        if answer is not None:
            _write(connection, answer)


def _write(connection: int, answer: wire.Answer) -> None:
    try:
        os.writev(connection, answer)
    except OSError as err:
        # ENOENT: it was answered already, when whoever asked was killed.
        if err.errno not in (errno.ENOENT, errno.ENODEV, errno.EINTR):
            sys.stderr.write(f"an answer was not taken: {err}\n")
