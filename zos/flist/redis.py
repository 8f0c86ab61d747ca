"""Asks block stores that speak redis' protocol: 0-db, redis, ardb. GET, and what it takes to get there.

    zdb://[:password@]host[:9900][/namespace]       SELECT namespace [password]
    redis://…[:6379], ardb://…[:16379]              AUTH password, SELECT namespace

A password of a `zdb` without a namespace is the server's own (AUTH). Synchronous: mount
processes read by it, in threads.
"""

from __future__ import annotations

import socket
import time
from urllib.parse import unquote, urlsplit

from zos.fetch.dial import dial, left
from zos.fetch.errors import FetchFailed
from zos.fetch.policy import shown
from zos.flist.errors import StoreRefused
from zos.flist.policy import StorePolicy

PORTS = {"zdb": 9900, "redis": 6379, "ardb": 16379}
_LATER = (b"LOADING", b"BUSY", b"TRYAGAIN", b"MASTERDOWN", b"CLUSTERDOWN")
"""Errors of redis that pass by themselves."""
IDLE = 4
MAX_LINE = 1024
_PIECE = 256 * 1024


class _Refused(Exception):
    """An answer that will be the same next time."""


class RedisStore:
    """Keeps a few connections; every call brings its own deadline, in seconds."""

    def __init__(self, url: str, policy: StorePolicy, limit: int) -> None:
        policy.check_store(url)
        parts = urlsplit(url)
        self._shown = shown(url)
        self._where = (str(parts.hostname), parts.port or PORTS[parts.scheme])
        self._greeting = _greeting(parts.scheme, unquote(parts.path).strip("/"), _password(url))
        self._policy = policy
        self._limit = limit
        self._idle: list[_Link] = []

    def get(self, id: bytes, deadline: float) -> bytes | None:
        """The stored form, unchecked."""
        end = time.monotonic() + deadline
        # A kept connection may have been closed over there while it was idle: then once more, on a new one.
        while (link := self._kept()) is not None:
            try:
                return self._ask(link, id, end)
            except (ConnectionError, EOFError):
                continue
            except _Refused as err:
                raise StoreRefused(url=self._shown, problem=err) from None
            except (OSError, ValueError) as err:
                raise self._unreachable(err) from None
        try:
            return self._ask(self._connect(end), id, end)
        except _Refused as err:
            raise StoreRefused(url=self._shown, problem=err) from None
        except (OSError, EOFError, ValueError) as err:
            raise self._unreachable(err) from None

    def close(self) -> None:
        """Let go of the idle connections."""
        while (link := self._kept()) is not None:
            link.close()

    def _kept(self) -> _Link | None:
        # Asked first whether there is one, another thread may take it meanwhile.
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _unreachable(self, err: Exception) -> FetchFailed:
        return FetchFailed(url=self._shown, problem=str(err) or type(err).__name__)

    def _connect(self, end: float) -> _Link:
        link = _Link(dial(*self._where, end, self._policy), self._limit)
        try:
            for words in self._greeting:
                if link.ask(words, end) != b"OK":
                    raise _Refused(f"it does not say OK to {words[0].decode()}")
        except BaseException:
            link.close()
            raise
        return link

    def _ask(self, link: _Link, id: bytes, end: float) -> bytes | None:
        try:
            blob = link.ask((b"GET", id), end)
        except BaseException:
            link.close()
            raise
        if len(self._idle) < IDLE:
            self._idle.append(link)
        else:
            link.close()
        return blob


def _password(url: str) -> str:
    """`:password@`, or `password@` as 0-fs writes it."""
    parts = urlsplit(url)
    return unquote(parts.password or parts.username or "")


def _greeting(scheme: str, namespace: str, password: str) -> list[tuple[bytes, ...]]:
    chosen = (b"SELECT", namespace.encode()) if namespace not in ("", "default") else ()
    secret = (password.encode(),) if password else ()
    if chosen and scheme == "zdb":
        return [(*chosen, *secret)]
    return [words for words in ((b"AUTH", *secret) if secret else (), chosen) if words]


class _Link:
    """One connection; after any error it is good for nothing."""

    def __init__(self, link: socket.socket, limit: int) -> None:
        self._link = link
        self._limit = limit
        self._read = bytearray()

    def close(self) -> None:
        self._link.close()

    def ask(self, words: tuple[bytes, ...], end: float) -> bytes | None:
        """One command, one answer; ValueError when it is an error or no answer of this protocol."""
        message = b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)
        self._link.settimeout(left(end))
        self._link.sendall(message)
        line = self._line(end)
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest
        if kind == b"-":
            problem = f"it says {rest[:100].decode(errors='replace')!r} to {words[0].decode()}"
            raise ValueError(problem) if rest.startswith(_LATER) else _Refused(problem)
        if kind == b"$" and rest == b"-1":
            return None
        if kind != b"$" or not rest.isdigit() or len(rest) > 9:
            raise ValueError("it speaks another protocol")
        if int(rest) > self._limit:
            raise ValueError(f"it sends more than {self._limit} bytes")
        blob = self._take(int(rest) + 2, end)
        if blob[-2:] != b"\r\n":
            raise ValueError("it speaks another protocol")
        return blob[:-2]

    def _line(self, end: float) -> bytes:
        while (at := self._read.find(b"\r\n")) < 0:
            if len(self._read) > MAX_LINE:
                raise ValueError("it speaks another protocol")
            self._more(end)
        return self._take(at + 2, end)[:-2]

    def _take(self, size: int, end: float) -> bytes:
        while len(self._read) < size:
            self._more(end)
        taken = bytes(self._read[:size])
        del self._read[:size]
        return taken

    def _more(self, end: float) -> None:
        self._link.settimeout(left(end))
        piece = self._link.recv(_PIECE)
        if not piece:
            raise EOFError("it hung up")
        self._read += piece
