"""Filters of system calls, made by libseccomp (Debian's libseccomp2): what they refuse fails with EPERM."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterable

LIBRARY = "libseccomp.so.2"
_ALLOW = 0x7FFF0000
_REFUSE = 0x00050000 | errno.EPERM
_ABSENT = 0x00050000 | errno.ENOSYS
_MASKED_EQUAL = 7
_CLONE_NEWUSER = 0x10000000

# What Python needs to compute and to read and write files that it has or may open: nothing of processes, sockets,
# users, mounts, modules or other kernel objects.
COMPUTE = (
    *("read", "readv", "pread64", "write", "writev", "pwrite64", "lseek", "close", "openat", "open", "dup", "fcntl"),
    *("fstat", "stat", "lstat", "newfstatat", "statx", "access", "faccessat", "faccessat2", "readlink", "readlinkat"),
    *("getdents64", "getcwd", "ftruncate", "fallocate", "fsync", "fdatasync", "fadvise64", "ioctl"),
    *("rename", "renameat", "renameat2", "unlink", "unlinkat"),
    *("mmap", "mremap", "munmap", "mprotect", "madvise", "brk", "futex", "membarrier", "rseq", "set_robust_list"),
    *("rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall", "tgkill"),
    *("clock_gettime", "clock_getres", "clock_nanosleep", "gettimeofday", "time", "getrandom", "poll", "sched_yield"),
    *("getpid", "gettid", "getuid", "geteuid", "getgid", "getegid", "getrusage", "uname", "sysinfo"),
    *("sched_getaffinity", "exit", "exit_group"),
)


def available() -> bool:
    """Whether the library is here."""
    try:
        ctypes.CDLL(LIBRARY)
    except OSError:
        return False
    return True


def allow_only(calls: Iterable[str] = COMPUTE) -> None:
    """Refuse this process, and whatever it starts, every other system call; takes no_new_privs; cannot be undone."""
    _filter(_REFUSE, _ALLOW, calls)


def forbid(calls: Iterable[str]) -> None:
    """Refuse this process, and whatever it starts, these system calls, and new user namespaces."""
    _filter(_ALLOW, _REFUSE, calls, users=True)


class _Comparison(ctypes.Structure):
    """`struct scmp_arg_cmp` of libseccomp."""

    _fields_ = (("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64))


def _filter(otherwise: int, action: int, calls: Iterable[str], *, users: bool = False) -> None:
    library = ctypes.CDLL(LIBRARY, use_errno=True)
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = (ctypes.c_uint32,)
    add = library.seccomp_rule_add_array
    add.argtypes = (ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p)
    library.seccomp_load.argtypes = library.seccomp_release.argtypes = (ctypes.c_void_p,)
    library.seccomp_release.restype = None
    resolve = library.seccomp_syscall_resolve_name
    rules = library.seccomp_init(otherwise)
    if not rules:
        raise OSError(errno.ENOMEM, "seccomp_init")
    try:
        for name in calls:
            number = resolve(name.encode())
            # A negative number is a call that this architecture has not.
            if number >= 0:
                _check(add(rules, action, number, 0, None), name)
        if users:
            flags = _Comparison(0, _MASKED_EQUAL, _CLONE_NEWUSER, _CLONE_NEWUSER)
            _check(add(rules, action, resolve(b"clone"), 1, ctypes.byref(flags)), "clone")
            # Its flags are behind a pointer; the C library falls back to clone.
            _check(add(rules, _ABSENT, resolve(b"clone3"), 0, None), "clone3")
        _check(library.seccomp_load(rules), "seccomp_load")
    finally:
        library.seccomp_release(rules)


def _check(result: int, what: str) -> None:
    if result < 0:
        raise OSError(-result, os.strerror(-result), what)
