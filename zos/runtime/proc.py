"""The one way to run a program: a list of arguments, a deadline, and an error that says what went wrong.

`run` waits for the end; `spawn` starts one that must outlive the daemon (it is found again by observing, never
by being a child).
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from zos.errors import Status, ZosError
from zos.runtime import threads

TAIL = 2000
REAP = 2.0
"""Seconds for which a killed program is waited for; one that hangs in the kernel ends when that comes back."""

_left: set[asyncio.Task[int]] = set()
"""Killed programs that have not ended yet."""


class ProgramFailed(ZosError):
    """A program ended with an error."""

    reason = "runtime.program_failed"
    status = Status.FAILED_PRECONDITION
    text = "`{program}` ended with status {code}: {stderr}"


class ProgramTooSlow(ZosError):
    """A program was stopped at its deadline."""

    reason = "runtime.program_too_slow"
    status = Status.DEADLINE_EXCEEDED
    text = "`{program}` did not finish within {deadline} s and was stopped"


class ProgramMissing(ZosError):
    """A program is not installed."""

    reason = "runtime.program_missing"
    status = Status.FAILED_PRECONDITION
    text = "the program {program} is not installed"
    hint = "install it with the system's package manager (`make` in the source tree does)"


@dataclass(frozen=True, slots=True)
class Completed:
    """How a program ended."""

    code: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Standard output as text."""
        return self.stdout.decode(errors="replace")


async def run(
    argv: Sequence[str | Path],
    *,
    deadline: float = 30.0,
    input: bytes | None = None,
    check: bool = True,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Completed:
    """Run a program to its end; killed with its process group at `deadline` seconds.

    Secrets go in by `input` or a 0600 file, never as an argument.
    """
    words = [str(word) for word in argv]
    try:
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.PIPE if input is not None else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=dict(env) if env is not None else None,
            cwd=cwd,
            start_new_session=True,
        )
    except FileNotFoundError:
        raise ProgramMissing(program=words[0]) from None
    try:
        out, errors = await asyncio.wait_for(process.communicate(input), deadline)
    except TimeoutError:
        raise ProgramTooSlow(program=" ".join(words), deadline=deadline) from None
    finally:
        if process.returncode is None:
            _kill_group(process.pid)
            await _reap(process)
    code = process.returncode or 0
    if check and code != 0:
        tail = errors.decode(errors="replace").strip()[-TAIL:] or out.decode(errors="replace").strip()[-TAIL:]
        raise ProgramFailed(program=" ".join(words), code=code, stderr=tail or "no message")
    return Completed(code, out, errors)


async def _reap(process: asyncio.subprocess.Process) -> None:
    end = asyncio.create_task(process.wait(), name=f"end of process {process.pid}")
    _left.add(end)
    end.add_done_callback(_left.discard)
    if not (await asyncio.wait((end,), timeout=REAP))[0]:
        process._transport.close()  # type: ignore[attr-defined]  # asyncio has no other way to let go of its pipes


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


# fd 3 tells the pid that the program will have; `exec` keeps it.
_SPAWNED = 10.0
"""Seconds for a shell to start."""
_SPAWN = 'cd "$1" && shift && echo $$ >&3 && exec 3>&- && exec "$@"'


async def spawn(
    argv: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path = Path("/"),
) -> int:
    """Start a program that outlives this daemon; returns its pid.

    It gets its own session, its output appended to `log` (0600), no inherited descriptors, and is handed to init
    by a middle process that exits at once, so that no restart, signal or wait of ours reaches it.
    """
    words = [str(word) for word in argv]
    # With the capabilities that are in effect: who has some without being root passes where plain access(2) does not.
    is_here = os.access(words[0], os.X_OK, effective_ids=True) if "/" in words[0] else shutil.which(words[0])
    if not is_here:
        raise ProgramMissing(program=words[0])
    log.parent.mkdir(parents=True, exist_ok=True)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    reader, writer = os.pipe()
    try:
        middle = os.posix_spawnp(  # noqa: ASYNC221 - it returns as soon as the middle process exists
            "setsid",
            ["setsid", "--fork", "/bin/sh", "-c", _SPAWN, "spawn", str(cwd), *words],
            dict(os.environ if env is None else env),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, output, 1),
                (os.POSIX_SPAWN_DUP2, output, 2),
                (os.POSIX_SPAWN_DUP2, writer, 3),
            ],
        )
        os.close(writer)
        writer = -1
        await threads.run(f"start {words[0]}", lambda: os.waitpid(middle, 0), _SPAWNED)
        line = await threads.run(f"start {words[0]}", lambda: os.read(reader, 32), _SPAWNED)
    finally:
        os.close(output)
        os.close(reader)
        if writer >= 0:
            os.close(writer)
    if not line.strip().isdigit():
        raise ProgramFailed(program=" ".join(words), code=-1, stderr=f"it could not be started, see {log}")
    return int(line)
