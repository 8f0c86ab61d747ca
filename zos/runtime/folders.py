"""The folders of the daemons: each belongs to its daemon, with all that is in it.

A release that ran every daemon as root left files of root's; they are handed over at each start, which a crash half-way
does not hinder.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

PRIVATE = 0o700
PASSAGE = 0o711


def shared(folder: Path) -> None:
    """Make a folder that has the daemons' own in it: everybody passes, nobody lists it."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(PASSAGE)


def hand_over(folder: Path, user: int, group: int, mode: int) -> None:
    """Make a folder and give it, and what root owns in it, to a user.

    Links are never followed, nor mounts; a file that has another name somewhere is left alone, since its owner may have
    put it there.
    """
    folder.mkdir(exist_ok=True, mode=PRIVATE)
    # Before it becomes another's: from then on he says what is in it.
    for _, folders, files, at in os.fwalk(folder, topdown=True, follow_symlinks=False):
        device = os.fstat(at).st_dev
        for name in [*folders, *files]:
            with contextlib.suppress(FileNotFoundError):
                seen = os.stat(name, dir_fd=at, follow_symlinks=False)
                if seen.st_dev != device:
                    folders[:] = [one for one in folders if one != name]
                elif seen.st_uid == 0 and (stat.S_ISDIR(seen.st_mode) or seen.st_nlink == 1):
                    os.chown(name, user, user, dir_fd=at, follow_symlinks=False)
    os.chown(folder, user, group, follow_symlinks=False)
    os.chmod(folder, mode)
