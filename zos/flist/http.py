"""HTTP GET as the mounts and flistd need it: one kept connection, a deadline for all of it, a size limit, the policy.

Synchronous, on the standard library: it runs in the mount processes' threads, where every import counts.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from zos.flist.dial import dial, left
from zos.flist.errors import StoreUnreachable
from zos.flist.policy import Policy, shown

_PIECE = 256 * 1024
_REDIRECTS = (301, 302, 303, 307, 308)
_MAX_REDIRECTS = 5


@dataclass(frozen=True, slots=True)
class Answer:
    """A response; the body too, unless it went to a sink."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


class _Plain(http.client.HTTPConnection):
    policy: Policy

    def connect(self) -> None:
        self.sock = dial(self.host, self.port, self.timeout or 10.0, self.policy)


def _connection(scheme: str, host: str, port: int | None, policy: Policy) -> http.client.HTTPConnection:
    if scheme == "http":
        plain = _Plain(host, port)
        plain.policy = policy
        return plain
    import ssl

    context = ssl.create_default_context()

    class Secure(http.client.HTTPSConnection):
        def connect(self) -> None:
            link = dial(self.host, self.port, self.timeout or 10.0, policy)
            self.sock = context.wrap_socket(link, server_hostname=self.host)

    return Secure(host, port, context=context)


class Client:
    """Asks one server after the other, keeping the last connection. For one thread at a time."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._kept: tuple[tuple[str, str, int | None], http.client.HTTPConnection] | None = None

    def close(self) -> None:
        """Let go of the connection."""
        if self._kept is not None:
            self._kept[1].close()
            self._kept = None

    def get(
        self,
        url: str,
        *,
        limit: int,
        deadline: float,
        headers: Mapping[str, str] | None = None,
        sink: Callable[[bytes], object] | None = None,
    ) -> Answer:
        """GET within `deadline` seconds, at most `limit` bytes; redirects are followed under the same policy."""
        end = time.monotonic() + deadline
        for _ in range(_MAX_REDIRECTS):
            answer = self._ask(url, limit, end, headers or {}, sink)
            if answer.status not in _REDIRECTS or "location" not in answer.headers:
                return answer
            url = urljoin(url, answer.headers["location"])
        raise StoreUnreachable(url=shown(url), problem="it redirects for ever")

    def _ask(
        self, url: str, limit: int, end: float, headers: Mapping[str, str], sink: Callable[[bytes], object] | None
    ) -> Answer:
        self._policy.check_url(url)
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        # A kept connection may have been closed over there while it was idle: then once more, on a new one.
        for fresh in (False, True):
            kept = self._kept is not None
            try:
                link = self._link(parts.scheme, str(parts.hostname), parts.port, end)
                link.request("GET", target, headers={"User-Agent": "zos", "Accept-Encoding": "identity", **headers})
                return self._read(link, url, limit, end, sink)
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError) as err:
                self.close()
                if fresh or not kept:
                    raise StoreUnreachable(url=shown(url), problem=err or "it hung up") from None
            except (OSError, http.client.HTTPException, ValueError) as err:
                self.close()
                raise StoreUnreachable(url=shown(url), problem=err or type(err).__name__) from None
            except BaseException:
                self.close()
                raise
        raise AssertionError(url)

    def _link(self, scheme: str, host: str, port: int | None, end: float) -> http.client.HTTPConnection:
        where = (scheme, host, port)
        if self._kept is not None and self._kept[0] != where:
            self.close()
        if self._kept is None:
            self._kept = (where, _connection(scheme, host, port, self._policy))
        link = self._kept[1]
        link.timeout = left(end)
        if link.sock is not None:
            link.sock.settimeout(left(end))
        return link

    def _read(
        self,
        link: http.client.HTTPConnection,
        url: str,
        limit: int,
        end: float,
        sink: Callable[[bytes], object] | None,
    ) -> Answer:
        response = link.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders()}
        wanted = response.status == 200
        pieces: list[bytes] = []
        size = 0
        while True:
            if link.sock is not None:
                link.sock.settimeout(left(end))
            piece = response.read1(_PIECE)
            if not piece:
                break
            size += len(piece)
            if size > (limit if wanted else _PIECE):
                self.close()
                raise StoreUnreachable(url=shown(url), problem=f"it sends more than {limit} bytes")
            if sink is not None and wanted:
                sink(piece)
            else:
                pieces.append(piece)
        if response.length:
            # It hung up in the middle.
            raise http.client.IncompleteRead(b"", response.length)
        # Read to its end by pieces it still counts as open, and the connection as busy.
        response.close()
        if response.will_close:
            self.close()
        return Answer(response.status, headers, b"".join(pieces))
