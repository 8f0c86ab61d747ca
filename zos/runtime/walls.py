"""Walls around a program that does not administer the machine: its own view of the files, and fewer system calls.

Beside its user, whom the siblings' files do not belong to: the node's key and the siblings' folders are not there, the
system is read-only, only sockets of daemons that it calls can be reached, and nobody without capabilities can look
into it. They are put up before uid 0 and the capabilities go.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Collection, Iterable
from pathlib import Path

from zos.runtime import linux, seccomp

SYSTEM = ("/etc", "/usr", "/bin", "/sbin", "/lib", "/lib64", "/boot", "/opt", "/root", "/home", "/srv")
"""What is read-only beside the root's own file system, where it is a mount of its own."""

NEVER = (
    *("init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "bpf", "perf_event_open"),
    *("keyctl", "add_key", "request_key", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register"),
    *("open_by_handle_at", "swapon", "swapoff", "reboot", "acct", "iopl", "ioperm", "vhangup", "syslog"),
    *("settimeofday", "clock_settime", "adjtimex", "clock_adjtime", "sethostname", "setdomainname", "pidfd_getfd"),
    *("process_vm_readv", "process_vm_writev", "ptrace", "kcmp", "lookup_dcookie", "fanotify_init"),
)
"""System calls that no daemon needs, those that administer the machine included."""

FORBIDDEN = (
    *NEVER,
    *("mount", "umount2", "pivot_root", "move_mount", "open_tree", "fsopen", "fsmount", "fsconfig", "mount_setattr"),
    *("chroot", "setns", "unshare", "name_to_handle_at", "quotactl", "quotactl_fd", "mknod", "mknodat", "personality"),
)

CODE = Path(__file__).resolve().parents[2]
"""The folder that `zos` is in."""


def program() -> tuple[Path, ...]:
    """The folders of the interpreter and of the code of this process, none of them inside of another."""
    found = {Path(one).resolve() for one in (sys.prefix, sys.base_prefix, CODE)}
    return tuple(sorted(one for one in found if not any(one != other and one.is_relative_to(other) for other in found)))


def build(
    name: str,
    run_dir: Path,
    state_dir: Path,
    calls: Collection[str],
    writable: Collection[Path] = (),
    reach: Collection[Path] = (),
) -> None:
    """Show this process the folders of the daemon `name` and no sibling's, for good; takes CAP_SYS_ADMIN.

    Of `run_dir` it also sees, read-only, the folders of those that it `calls`. The root's file system and `SYSTEM` are
    read-only but for the folders in `writable`. Any user can get to the folders of `reach`, wherever they are.
    """
    _leave()
    _open_ways(reach)
    for folder in writable:
        linux.mount(folder, folder, flags=linux.MS_BIND | linux.MS_REC)
    _leave_only(state_dir, {name})
    _leave_only(run_dir, {name, *calls})
    for other in set(calls) - {name}:
        _read_only(run_dir / other)
    for point in _system(linux.mounts()):
        if point not in writable:
            _read_only(point)


def reach_program() -> bool:
    """Let this process get to its interpreter and code when it gives up its capabilities; takes CAP_SYS_ADMIN.

    Whether it has a view of files of its own now: it needs none where others can enter all folders on the way.
    """
    if not _shut(program()):
        return False
    _leave()
    _open_ways(program())
    return True


def close_up(forbidden: Collection[str] = FORBIDDEN) -> None:
    """Give up what a daemon does not need: new privileges, being looked into, the kernel's odd corners."""
    linux.prctl(linux.PR_SET_DUMPABLE, 0)
    linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    if seccomp.available():
        seccomp.forbid(forbidden)


def _leave() -> None:
    """Have a view of files of one's own, into which what storaged and flistd mount later still comes."""
    linux.unshare(linux.CLONE_NEWNS)
    linux.mount("none", "/", flags=linux.MS_REC | linux.MS_SLAVE)


def _shut(folders: Collection[Path]) -> Path | None:
    """The first folder on the way to any of these, or one of them, that others cannot enter."""
    parts = (part for folder in folders for part in (*reversed(folder.parents), folder))
    return next((part for part in parts if not part.stat().st_mode & stat.S_IXOTH), None)


def _open_ways(folders: Collection[Path]) -> None:
    """Cover what shuts others out of these folders, as root's home does, by empty ones that have the folders alone."""
    while shut := _shut(folders):
        inside = shut.iterdir() if shut in folders else (one for one in folders if one.is_relative_to(shut))
        _cover(shut, [path for path in inside if not path.is_symlink()])


def _cover(folder: Path, kept: Collection[Path]) -> None:
    handles = {path: os.open(path, os.O_PATH) for path in kept}
    linux.mount("none", folder, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "size=1m,mode=755")
    for path, handle in handles.items():
        is_folder = stat.S_ISDIR(os.fstat(handle).st_mode)
        for made in (*reversed(path.parents), path):
            if made.is_relative_to(folder) and not made.exists():
                made.mkdir() if is_folder or made != path else made.touch()
                made.chmod(0o755)
        linux.mount(f"/proc/self/fd/{handle}", path, flags=linux.MS_BIND | linux.MS_REC)
        os.close(handle)
        _read_only(path)
    _read_only(folder)


def _leave_only(folder: Path, names: Collection[str]) -> None:
    """Cover a folder by an empty one that has only these of its folders."""
    kept = {name: os.open(folder / name, os.O_PATH | os.O_DIRECTORY) for name in names if (folder / name).is_dir()}
    linux.mount("none", folder, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "size=64k,mode=711")
    for name, handle in kept.items():
        (folder / name).mkdir()
        linux.mount(f"/proc/self/fd/{handle}", folder / name, flags=linux.MS_BIND | linux.MS_REC)
        os.close(handle)
    _read_only(folder)


def _system(mounted: Iterable[linux.Mounted]) -> list[Path]:
    points = {one.point for one in mounted}
    tops = tuple(Path(top) for top in SYSTEM)
    return [Path("/"), *sorted(point for point in points if any(point.is_relative_to(top) for top in tops))]


def _read_only(point: Path) -> None:
    flags = os.statvfs(point).f_flag
    kept = sum(bit for bit in (linux.MS_NOSUID, linux.MS_NODEV, linux.MS_NOEXEC) if flags & bit)
    linux.mount("none", point, flags=linux.MS_BIND | linux.MS_REMOUNT | linux.MS_RDONLY | kept)
