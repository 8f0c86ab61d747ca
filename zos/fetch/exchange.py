"""One request and its response over a connection, as bytes; h11 knows the protocol, the limits are here. Pure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urljoin

import h11

from zos.fetch.errors import FetchFailed
from zos.fetch.policy import Target, shown, target

HEADERS = 64 * 1024
"""Bytes of a response's headers."""
INTERIM = 8
"""Responses like `100 Continue` before the one that counts."""
ERROR_PAGE = 64 * 1024
"""Bytes of the body that are read when the status is not 200: its beginning says what is wrong."""
REDIRECTS = (301, 302, 303, 307, 308)

Piece = bytes | bytearray


@dataclass(frozen=True, slots=True)
class Request:
    """What to ask, and how much of an answer to take."""

    url: str
    limit: int
    """Bytes of the body."""
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    redirects: int = 0
    """How many are followed."""
    sink: Callable[[Piece], Awaitable[object] | None] | None = None
    """Takes the body of a 200 piece by piece; it is not in the answer then. In an event loop it may be awaited: nothing
    more is read before."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server answered; the body is whole and within the policy's limit."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


class HungUp(Exception):
    """The connection ended before any of the response: a kept one may have been closed while it was idle."""


class Exchange:
    """Feed it what arrives until it has the whole answer. Raises FetchFailed for what is no answer, or too long."""

    def __init__(self, request: Request, where: Target) -> None:
        self._request = request
        self._where = where
        self._connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEADERS)
        self._head: h11.Response | None = None
        self._pieces: list[Piece] = []
        self._size = self._interim = 0
        self._begun = self._cut = False
        self._for_sink: list[Piece] = []

    def request(self) -> bytes:
        """The bytes to send."""
        wanted = self._request
        headers = [("Host", self._where.authority), ("User-Agent", "zos"), ("Accept-Encoding", "identity")]
        if wanted.body or wanted.method != "GET":
            headers.append(("Content-Length", str(len(wanted.body))))
        try:
            made = h11.Request(
                method=wanted.method, target=self._where.path, headers=[*headers, *wanted.headers.items()]
            )
            parts = [
                self._connection.send(made),
                self._connection.send(h11.Data(data=wanted.body)) if wanted.body else b"",
            ]
        except h11.LocalProtocolError as err:
            raise self._problem(str(err)) from None
        parts.append(self._connection.send(h11.EndOfMessage()))
        return b"".join(part for part in parts if part)

    def feed(self, data: bytes) -> bool:
        """Take what arrived (nothing: the connection ended); whether the answer is whole."""
        if not data and not self._begun:
            raise HungUp
        self._begun = True
        try:
            self._connection.receive_data(data)
            return self._take_events()
        except h11.RemoteProtocolError as err:
            problem = "it hung up in the middle of its answer" if not data else f"it speaks no HTTP: {err}"
            raise self._problem(problem) from None

    def pour(self) -> Iterator[Awaitable[object]]:
        """Give the sink what came for it since; what it answers is to be awaited one by one."""
        pieces, self._for_sink = self._for_sink, []
        for piece in pieces:
            assert self._request.sink is not None
            if (taken := self._request.sink(piece)) is not None:
                yield taken

    def _take_events(self) -> bool:
        while True:
            event = self._connection.next_event()
            match event:
                case h11.InformationalResponse():
                    self._interim += 1
                    if self._interim > INTERIM:
                        raise self._problem("it does not come to its answer")
                case h11.Response():
                    self._head = event
                case h11.Data():
                    if self._take(event.data):
                        return True
                case h11.EndOfMessage():
                    return True
                case _:
                    return False

    def _take(self, piece: Piece) -> bool:
        assert self._head is not None
        wanted = self._head.status_code == 200
        self._size += len(piece)
        if not wanted and self._size > ERROR_PAGE:
            self._cut = True
            return True
        if wanted and self._size > self._request.limit:
            raise self._problem(f"it sends more than {self._request.limit} bytes")
        if wanted and self._request.sink is not None:
            self._for_sink.append(piece)
        else:
            self._pieces.append(piece)
        return False

    def _problem(self, problem: str) -> FetchFailed:
        return FetchFailed(url=shown(self._request.url), problem=problem)

    @property
    def answer(self) -> Answer:
        assert self._head is not None
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in self._head.headers}
        return Answer(self._head.status_code, headers, b"".join(self._pieces))

    @property
    def is_reusable(self) -> bool:
        """Whether the connection can carry another request."""
        ended = self._connection.their_state is h11.DONE and self._connection.our_state is h11.DONE
        return ended and not self._cut and not self._connection.trailing_data[0]


def onward(request: Request, where: Target, answer: Answer, followed: int) -> Target | None:
    """Where a redirect leads, after `followed` others; its address is judged like the first one.

    None when it is none, or the caller follows none.
    """
    place = answer.headers.get("location")
    if answer.status not in REDIRECTS or not place or not request.redirects:
        return None
    if request.method != "GET" and answer.status not in (307, 308):
        return None
    if followed >= request.redirects:
        raise FetchFailed(url=shown(request.url), problem=f"it redirects more than {request.redirects} times")
    return target(urljoin(f"{where.scheme}://{where.authority}{where.path}", place))
