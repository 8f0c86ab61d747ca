"""A server of raw bytes on the loopback: each path is a function that is given the connection."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

Play = Callable[[socket.socket], object]


def reply(body: bytes = b"", status: int = 200, **headers: str) -> Play:
    lines = [f"HTTP/1.1 {status} So", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return lambda link: link.sendall("\r\n".join([*lines, "", ""]).encode() + body)


def drip(*pieces: bytes, pause: float = 0.02, stop: threading.Event | None = None) -> Play:
    """These pieces with pauses; the last one again and again until the other end has gone."""

    def play(link: socket.socket) -> None:
        end = stop or threading.Event()
        for piece in pieces:
            link.sendall(piece)
            end.wait(pause)
        while not end.wait(pause):
            link.sendall(pieces[-1])

    return play


class Server(socketserver.ThreadingTCPServer):
    """`asked` counts requests by path; `connections` and `most` (at the same time) count connections."""

    daemon_threads = True
    allow_reuse_address = True
    block_on_close = False

    def __init__(self, plays: Mapping[str, Play]) -> None:
        self.plays = dict(plays)
        self.asked: Counter[str] = Counter()
        self.received: list[bytes] = []
        self.connections = self.open = self.most = 0
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class _Handler(socketserver.StreamRequestHandler):
    server: Server

    def handle(self) -> None:
        self.server.connections += 1
        with suppress(OSError):
            while line := self.rfile.readline():
                size = 0
                while (header := self.rfile.readline()) not in (b"\r\n", b""):
                    if header.lower().startswith(b"content-length:"):
                        size = int(header.split(b":")[1])
                self.server.received.append(self.rfile.read(size))
                path = line.split()[1].decode()
                self.server.asked[path] += 1
                self.server.open += 1
                self.server.most = max(self.server.most, self.server.open)
                try:
                    if self.server.plays[path](self.connection) is False:
                        return
                finally:
                    self.server.open -= 1


@contextmanager
def serving(plays: Mapping[str, Play]) -> Iterator[Server]:
    """Until the block ends."""
    with Server(plays) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
