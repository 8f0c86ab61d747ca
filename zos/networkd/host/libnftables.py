"""libnftables, which the program `nft` is made of (Debian's libnftables1), by ctypes. decisions/0008 says why."""

from __future__ import annotations

import ctypes
import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from zos.networkd.api.errors import NoNftables
from zos.networkd.host.netlink import NETLINK_NETFILTER, Netlink
from zos.runtime.threads import CallTooSlow

LIBRARY = "libnftables.so.1"
DEADLINE = 10.0
"""Seconds for one transaction, and for who waits until another's is over."""
_WORDS = 2000
_LOCK = threading.Lock()
"""Beside its contexts the library has a list of links, which is one for the process."""


class Refused(OSError):
    """A transaction was refused, by the library or by the kernel; `strerror` has nft's own words."""


class Connection:
    """A context of the library: its socket is in the network namespace of the thread that makes this.

    Whoever calls it does so in the block of `turn`.
    """

    def __init__(self) -> None:
        library = _library()
        # The library ends the process when it cannot have a socket; this raises.
        Netlink(NETLINK_NETFILTER).close()
        self._context = library.nft_ctx_new(0)
        # What it says is for `apply`; without buffers it would print.
        buffers = (library.nft_ctx_buffer_error, library.nft_ctx_buffer_output)
        if not self._context or any(buffer(self._context) for buffer in buffers):
            self.close()
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    def apply(self, text: str) -> None:
        """Bring a text of nft's language into force, whole or not at all; raises `Refused`."""
        library = _library()
        if library.nft_run_cmd_from_buffer(self._context, text.encode()) != 0:
            words = (library.nft_ctx_get_error_buffer(self._context) or b"").decode(errors="replace")
            raise Refused(errno.EINVAL, words[:_WORDS].strip() or "no message")

    def close(self) -> None:
        """Give all of it back. The kernel lets the socket close when what was deleted in its namespace is freed."""
        if self._context:
            _library().nft_ctx_free(self._context)
        self._context = None


@contextmanager
def turn(*, patient: bool = False) -> Iterator[None]:
    """The library is this thread's in the block.

    Raises CallTooSlow when another does not come back from it, unless this one is `patient`.
    """
    if not _LOCK.acquire(timeout=-1 if patient else DEADLINE):
        raise CallTooSlow(what="have a turn at nftables", seconds=round(DEADLINE))
    try:
        yield
    finally:
        _LOCK.release()


@cache
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError:
        raise NoNftables(library=LIBRARY) from None
    library.nft_ctx_new.restype = ctypes.c_void_p
    library.nft_ctx_new.argtypes = (ctypes.c_uint32,)
    library.nft_ctx_free.restype = None
    library.nft_ctx_get_error_buffer.restype = ctypes.c_char_p
    for function in ("nft_ctx_free", "nft_ctx_buffer_error", "nft_ctx_buffer_output", "nft_ctx_get_error_buffer"):
        getattr(library, function).argtypes = (ctypes.c_void_p,)
    library.nft_run_cmd_from_buffer.argtypes = (ctypes.c_void_p, ctypes.c_char_p)
    return library
