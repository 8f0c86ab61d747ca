"""Named network namespaces, and code that runs inside one.

A thread enters the namespace, works and ends: no other code of this process can ever find itself in a tenant's
namespace, and no process has to be forked.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from zos.runtime import linux, threads

T = TypeVar("T")

FOLDER = Path("/run/netns")
"""Where `ip netns` looks."""
DEADLINE = 60.0
"""Seconds for one batch of netlink calls, of which each takes milliseconds."""


async def run(
    work: Callable[[], T],
    namespace: str = "",
    deadline: float = DEADLINE,
    after: Callable[[], object] | None = None,
) -> T:
    """Run blocking work in a thread of its own, inside a named namespace when one is given.

    `after` is done there too, and nobody waits for it.
    """

    def entered() -> T:
        enter(namespace)
        return work()

    where = f"work in the namespace {namespace}" if namespace else "work in the root namespace"
    return await threads.run(where, entered if namespace else work, deadline, after)


async def run_in_scratch(work: Callable[[], T]) -> T:
    """Run blocking work in a fresh namespace that ends with it."""

    def unshared() -> T:
        linux.unshare(linux.CLONE_NEWNET)
        return work()

    return await threads.run("work in a scratch namespace", unshared, DEADLINE)


def enter(namespace: str) -> None:
    """Move this thread into a named namespace, for good."""
    linux.setns(FOLDER / namespace, linux.CLONE_NEWNET)


def exists(namespace: str) -> bool:
    """A bare file does not count: a crash between two steps leaves one."""
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
    linux.unshare(linux.CLONE_NEWNET)
    # /proc/self/ns would be the namespace of the process's first thread; only this one is in the new one.
    linux.mount(f"/proc/self/task/{threading.get_native_id()}/ns/net", path, flags=linux.MS_BIND)


def _share() -> None:
    """Make the folder a shared mount, so that a removal reaches every mount namespace that saw the name."""
    FOLDER.mkdir(parents=True, exist_ok=True, mode=0o755)
    shared = linux.MS_SHARED | linux.MS_REC
    try:
        linux.mount("", FOLDER, flags=shared)
    except OSError as err:
        if err.errno != errno.EINVAL:
            raise
        linux.mount(FOLDER, FOLDER, flags=linux.MS_BIND | linux.MS_REC)
        linux.mount("", FOLDER, flags=shared)


def remove(namespace: str) -> None:
    """Remove a name; the kernel ends the namespace when nothing is left inside."""
    path = FOLDER / namespace
    try:
        linux.unmount(path)
    except OSError as err:
        if err.errno not in (errno.EINVAL, errno.ENOENT):
            raise
    path.unlink(missing_ok=True)
