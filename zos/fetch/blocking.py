"""HTTP for threads: one kept connection, one deadline. The mount processes read blocks by it."""

from __future__ import annotations

import socket
import time

from zos.fetch.dial import dial, left
from zos.fetch.errors import FetchFailed
from zos.fetch.exchange import Answer, Exchange, HungUp, Request, onward
from zos.fetch.policy import Policy, Target, shown, target

PIECE = 64 * 1024


class Client:
    """Asks one server after the other, keeping the last connection. For one thread at a time."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._kept: tuple[tuple[str, str, int], socket.socket] | None = None

    def close(self) -> None:
        """Let go of the connection."""
        if self._kept is not None:
            self._kept[1].close()
            self._kept = None

    def fetch(self, request: Request, deadline: float) -> Answer:
        """The answer, within `deadline` seconds."""
        end, where, followed = time.monotonic() + deadline, target(request.url), 0
        while True:
            answer = self._ask(request, where, end)
            further = onward(request, where, answer, followed)
            if further is None:
                return answer
            where, followed = further, followed + 1

    def _ask(self, request: Request, where: Target, end: float) -> Answer:
        server = (where.scheme, where.host, where.port)
        if self._kept is not None and self._kept[0] == server:
            link, self._kept = self._kept[1], None
            try:
                return self._over(link, request, where, end)
            except (HungUp, ConnectionResetError, BrokenPipeError):
                pass  # it was closed over there while it was idle: once more, on a new one
            except OSError as err:
                raise _unreachable(request, err) from None
        self.close()
        try:
            return self._over(self._connect(where, end), request, where, end)
        except HungUp:
            raise FetchFailed(url=shown(request.url), problem="it hung up") from None
        except OSError as err:
            raise _unreachable(request, err) from None

    def _connect(self, where: Target, end: float) -> socket.socket:
        link = dial(where.host, where.port, end, self._policy)
        if where.scheme == "http":
            return link
        import ssl

        try:
            # The handshake is bounded by the timeout as a whole.
            link.settimeout(left(end))
            return ssl.create_default_context().wrap_socket(link, server_hostname=where.host)
        except BaseException:
            link.close()
            raise

    def _over(self, link: socket.socket, request: Request, where: Target, end: float) -> Answer:
        exchange = Exchange(request, where)
        try:
            link.settimeout(left(end))
            link.sendall(exchange.request())
            done = False
            while not done:
                link.settimeout(left(end))
                done = exchange.feed(link.recv(PIECE))
                for _ in exchange.pour():
                    raise TypeError("a thread awaits nothing: its sink takes what it is given at once")
        except BaseException:
            link.close()
            raise
        if exchange.is_reusable:
            self._kept = ((where.scheme, where.host, where.port), link)
        else:
            link.close()
        return exchange.answer


def _unreachable(request: Request, err: OSError) -> FetchFailed:
    return FetchFailed(url=shown(request.url), problem=str(err) or type(err).__name__)
