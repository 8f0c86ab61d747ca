"""Parses an untrusted file in a process that can do nothing but that: a fork without powers, files or network.

It sees one folder, which holds the flist and takes what is made of it; it has a user of its own, no capability, no
network, no way to start a program or another process, and limits on memory, time and what it writes. Its answer is
JSON through a pipe, and is read as the file itself is: as untrusted.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import resource
import shutil
import signal
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from zos.errors import ZosError
from zos.flist.errors import FlistBroken
from zos.runtime import linux, privileges, seccomp

USER = "zos-parser"
NOBODY = 65534
MEMORY = 3 << 30
CPU_SECONDS = 120
WRITES = 4 << 30
LONGEST_ANSWER = 1 << 20
FILES = 64

Work = Callable[[Path], dict[str, Any]]
"""Reads and writes in the folder that it is given; answers what JSON can say."""


def run(work: Work, original: Path, folder: Path, makes: str, name: str) -> dict[str, Any]:
    """Do `work` on a folder that holds `original` alone; what it leaves there as `makes` is moved to `folder`.

    Raises what `work` refused; FlistBroken of the flist `name` when the process did not live to answer.
    """
    user = _user()
    with _workplace(original, folder, user) as place:
        reader, writer = os.pipe2(os.O_CLOEXEC)
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            _child(work, place, original.name, user, writer, parent)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            raw = pipe.read(LONGEST_ANSWER + 1)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        answer = _read(raw, status, name)
        _take(place / makes, folder / makes, name)
        return answer


def limit(memory: int = MEMORY, seconds: int = CPU_SECONDS) -> None:
    """Bound this process in memory and CPU time."""
    for what, value in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CPU, seconds)):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(what, (value, value))


def _user() -> tuple[int, int]:
    """The parser's user and group; nobody's on a machine without it."""
    try:
        found = pwd.getpwnam(USER)
    except KeyError:
        return NOBODY, NOBODY
    return found.pw_uid, found.pw_gid


def _has_powers() -> bool:
    """Whether this process can wall another off; in a test that is nobody's root, the fork is a fork."""
    return privileges.holds("chown", "setuid", "setgid", "sys_chroot", "sys_admin")


@contextlib.contextmanager
def _workplace(original: Path, folder: Path, user: tuple[int, int]) -> Iterator[Path]:
    place = folder / f".parse.{os.getpid()}"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(mode=0o700)
    try:
        os.link(original, place / original.name)
        if _has_powers():
            os.chown(original, os.geteuid(), user[1])
            original.chmod(0o440)
            os.chown(place, *user)
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _child(work: Work, place: Path, name: str, user: tuple[int, int], writer: int, parent: int) -> None:
    """In the fork: never returns."""
    try:
        writer = _close_all_but(writer)
        place = _confine(place, user)
        if os.getppid() not in (parent, 0):
            os._exit(1)
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(_answer(work, place / name))
        os._exit(0)
    except BaseException:  # noqa: BLE001 - the last line of this process; nothing above would print it
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
    finally:
        os._exit(1)


def _answer(work: Work, file: Path) -> bytes:
    try:
        said: dict[str, Any] = {"done": work(file)}
    except ZosError as err:
        said = {"reason": err.reason, "facts": err.facts}
    except MemoryError:
        said = {"reason": FlistBroken.reason, "facts": {"flist": file.name, "problem": "it takes too much memory"}}
    return json.dumps(said).encode()


def _close_all_but(kept: int) -> int:
    """Close what the parent has open, its answer included; returns where `kept` is now."""
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.dup2(kept, 3, inheritable=False)
    os.closerange(4, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    return 3


def _confine(place: Path, user: tuple[int, int]) -> Path:
    """Give everything up; returns where the folder is now."""
    limit()
    for what, value in ((resource.RLIMIT_FSIZE, WRITES), (resource.RLIMIT_NOFILE, FILES), (resource.RLIMIT_CORE, 0)):
        resource.setrlimit(what, (value, value))
    if _has_powers():
        linux.unshare(linux.CLONE_NEWNET | linux.CLONE_NEWIPC)
        os.chroot(place)
        os.chdir("/")
        place = Path("/")
        os.setgroups([])
        os.setresgid(user[1], user[1], user[1])
        os.setresuid(user[0], user[0], user[0])
        privileges.drop_all()
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    # Again: the kernel forgets it when a process becomes somebody else.
    privileges.die_with_parent(signal.SIGKILL)
    linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    if seccomp.available():
        seccomp.allow_only()
    return place


def _read(raw: bytes, status: int, name: str) -> dict[str, Any]:
    try:
        said = json.loads(raw) if status == 0 and len(raw) <= LONGEST_ANSWER else None
        json.dumps(said, ensure_ascii=False).encode()  # halves of characters, which no message can hold
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise FlistBroken(flist=name, problem=f"reading it failed: {_how(status)}")
    if isinstance(said.get("done"), dict):
        done: dict[str, Any] = said["done"]
        return done
    facts = said.get("facts")
    known = ZosError.known.get(str(said.get("reason")), FlistBroken)
    raise known(**{str(key): str(value) for key, value in facts.items()} if isinstance(facts, dict) else {})


def _how(status: int) -> str:
    return f"it was stopped by signal {-status}" if status < 0 else f"status {status}"


def _take(made: Path, to: Path, name: str) -> None:
    """Move what was made, if it is a plain file and one alone."""
    seen = os.lstat(made)
    if not stat.S_ISREG(seen.st_mode) or seen.st_nlink != 1:
        raise FlistBroken(flist=name, problem="reading it failed: it made no plain file")
    if _has_powers():
        os.chown(made, os.geteuid(), os.getegid(), follow_symlinks=False)
    made.chmod(0o600)
    made.replace(to)
