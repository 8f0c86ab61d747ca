"""Named network namespaces, and code that runs inside one.

A thread enters the namespace, works and ends: no other code of this process can ever find itself in a tenant's
namespace, and no process has to be forked.
"""

from __future__ import annotations

import ctypes
import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from zos.runtime import threads

T = TypeVar("T")

FOLDER = Path("/run/netns")
"""Where `ip netns` looks."""
DEADLINE = 60.0
"""Seconds for one batch of netlink calls, of which each takes milliseconds."""

_NEWNET = 0x40000000
_BIND, _REC, _SHARED, _DETACH = 0x1000, 0x4000, 1 << 20, 2
_LIBC = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *args: object) -> None:
    if getattr(_LIBC, name)(*args) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), name)


async def run(work: Callable[[], T], namespace: str = "") -> T:
    """Run blocking work in a thread of its own, inside a named namespace when one is given."""

    def entered() -> T:
        enter(namespace)
        return work()

    where = f"work in the namespace {namespace}" if namespace else "work in the node's namespace"
    return await threads.run(where, entered if namespace else work, DEADLINE)


async def run_in_scratch(work: Callable[[], T]) -> T:
    """Run blocking work in a fresh namespace that ends with it."""

    def unshared() -> T:
        _call("unshare", _NEWNET)
        return work()

    return await threads.run("work in a scratch namespace", unshared, DEADLINE)


def enter(namespace: str) -> None:
    """Move this thread into a named namespace, for good."""
    file = os.open(FOLDER / namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _call("setns", file, _NEWNET)
    finally:
        os.close(file)


def exists(namespace: str) -> bool:
    """Whether the name leads to a namespace (a bare file is what a crash between two steps leaves)."""
    try:
        return os.stat(FOLDER / namespace).st_dev != os.stat(FOLDER).st_dev
    except FileNotFoundError:
        return False


def names() -> tuple[str, ...]:
    """All named namespaces, and files that should have become one."""
    return tuple(sorted(path.name for path in FOLDER.iterdir())) if FOLDER.is_dir() else ()


def create(namespace: str) -> None:
    """Make a named namespace the way `ip netns` does; this thread ends up inside. Call it in a thread of its own."""
    _share()
    path = FOLDER / namespace
    if exists(namespace):
        return
    path.touch(mode=0o444)
    _call("unshare", _NEWNET)
    mine = f"/proc/self/task/{threading.get_native_id()}/ns/net"
    _call("mount", mine.encode(), str(path).encode(), b"none", _BIND, None)


def _share() -> None:
    """Make the folder a shared mount, so that a removal reaches every mount namespace that saw the name."""
    FOLDER.mkdir(parents=True, exist_ok=True, mode=0o755)
    folder = str(FOLDER).encode()
    try:
        _call("mount", b"", folder, b"none", _SHARED | _REC, None)
    except OSError as err:
        if err.errno != errno.EINVAL:
            raise
        _call("mount", folder, folder, b"none", _BIND | _REC, None)
        _call("mount", b"", folder, b"none", _SHARED | _REC, None)


def remove(namespace: str) -> None:
    """Remove a name; the kernel ends the namespace when nothing is left inside."""
    path = FOLDER / namespace
    try:
        _call("umount2", str(path).encode(), _DETACH)
    except OSError as err:
        if err.errno not in (errno.EINVAL, errno.ENOENT):
            raise
    path.unlink(missing_ok=True)
