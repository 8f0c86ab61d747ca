"""A block store that speaks redis' protocol as 0-db and redis do: `python -m zos.flist.tests.blockserver FOLDER PORT`.

The folder holds a file per block, named by the id's hex digits.
"""

from __future__ import annotations

import socketserver
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Server(socketserver.ThreadingTCPServer):
    """`blobs` by id. With a `password`, nothing is given before AUTH, or before SELECT of `namespace` with it."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, blobs: dict[bytes, bytes], port: int = 0, *, namespace: str = "", password: str = "") -> None:
        self.blobs = blobs
        self.namespace = namespace
        self.password = password
        self.asked: list[list[bytes]] = []
        self.connections = 0
        self.raw: bytes | None = None
        """Said instead of any answer, and then nothing more."""
        super().__init__(("127.0.0.1", port), _Handler)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def answer(self, words: list[bytes], known: bool) -> tuple[bytes, bool]:
        """What to say, and whether the other end has shown the password by now."""
        name, rest = words[0].upper(), [word.decode(errors="replace") for word in words[1:]]
        if name == b"AUTH" and not self.namespace:
            known = rest == [self.password]
            return (b"+OK\r\n" if known else b"-Access denied\r\n"), known
        if name == b"SELECT":
            if rest[0] not in (self.namespace, "default"):
                return b"-Namespace not found\r\n", known
            if self.namespace and self.password:
                known = rest[1:] == [self.password]
            return (b"+OK\r\n" if known else b"-Access denied\r\n"), known
        if name != b"GET" or len(words) != 2:
            return b"-Command not supported\r\n", known
        if not known:
            return b"-Access denied\r\n", known
        blob = self.blobs.get(words[1])
        return (b"$-1\r\n" if blob is None else b"$%d\r\n%b\r\n" % (len(blob), blob)), known


class _Handler(socketserver.StreamRequestHandler):
    server: Server

    def handle(self) -> None:
        self.server.connections += 1
        known = not self.server.password
        while (line := self.rfile.readline()).startswith(b"*"):
            words = []
            for _ in range(int(line[1:])):
                size = int(self.rfile.readline()[1:])
                words.append(self.rfile.read(size + 2)[:-2])
            self.server.asked.append(words)
            if self.server.raw is not None:
                self.wfile.write(self.server.raw)
                return
            said, known = self.server.answer(words, known)
            self.wfile.write(said)


@contextmanager
def serving(blobs: dict[bytes, bytes], *, namespace: str = "", password: str = "") -> Iterator[Server]:
    """A store in this process, until the block ends."""
    with Server(blobs, namespace=namespace, password=password) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


if __name__ == "__main__":
    found = {bytes.fromhex(path.name): path.read_bytes() for path in Path(sys.argv[1]).iterdir()}
    Server(found, int(sys.argv[2])).serve_forever()
