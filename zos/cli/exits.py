"""Exit codes: what went wrong, for scripts. Pure."""

from __future__ import annotations

from enum import IntEnum

from zos.errors import Status


class Exit(IntEnum):
    """What a shell sees of how a command of `zos` ended."""

    OK = 0
    REFUSED = 1
    """The request cannot be met as it is; also a workload that ended in error."""
    USAGE = 2
    """The command line itself is wrong (argparse's code)."""
    NOT_FOUND = 3
    NOT_NOW = 4
    """Somebody cannot be reached or is not ready; the same command may succeed later."""
    NOT_ALLOWED = 5
    NO_ROOM = 6
    BUG = 70
    INTERRUPTED = 130


_CODES = {
    Status.NOT_FOUND: Exit.NOT_FOUND,
    Status.UNAVAILABLE: Exit.NOT_NOW,
    Status.DEADLINE_EXCEEDED: Exit.NOT_NOW,
    Status.ABORTED: Exit.NOT_NOW,
    Status.PERMISSION_DENIED: Exit.NOT_ALLOWED,
    Status.RESOURCE_EXHAUSTED: Exit.NO_ROOM,
    Status.INTERNAL: Exit.BUG,
}


def code_of(status: Status) -> Exit:
    """The exit code of an error's status."""
    return _CODES.get(status, Exit.REFUSED)
