"""Replays recordings of the real 0-db against a server of ours, in this process over real sockets."""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zos.zdb import command
from zos.zdb.service import serve

GOLDEN = Path(__file__).parent / "data" / "golden.jsonl"
PATIENCE = 8.0


def scenarios() -> Iterator[tuple[str, str, list[tuple[int, dict[str, Any]]]]]:
    """Name, options and numbered steps."""
    name, options = "", ""
    steps: list[tuple[int, dict[str, Any]]] = []
    for number, line in enumerate(GOLDEN.read_text().splitlines(), 1):
        step = json.loads(line)
        if "scenario" in step:
            if name:
                yield name, options, steps
            name, options, steps = step["scenario"], step["args"], []
        else:
            steps.append((number, step))
    yield name, options, steps


@asynccontextmanager
async def running(folder: Path, options: str = "", **changes: Any) -> AsyncIterator[int]:
    """A server on a free port."""
    parser = argparse.ArgumentParser()
    command.add_options(parser)
    words = ["--data", f"{folder}/data", "--index", f"{folder}/index", "--port", "0", *options.split()]
    wanted = replace(command.options(parser.parse_args(words)), **changes)
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    stopping = asyncio.Event()
    serving = asyncio.ensure_future(serve(wanted, ready.set_result, stopping))
    await asyncio.wait((ready, serving), return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        serving.result()
    try:
        yield int((await ready).rpartition(" ")[2])
    finally:
        stopping.set()
        await serving


class Client:
    """One connection, as the recordings drive it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._nonce = ""
        self._cursors: list[bytes] = []

    @classmethod
    async def to(cls, port: int, address: str = "127.0.0.1") -> Client:
        return cls(*await asyncio.open_connection(address, port, limit=1 << 24))

    async def close(self) -> None:
        self._writer.close()

    async def raw(self, data: bytes) -> None:
        self._writer.write(data)

    async def command(self, *words: bytes) -> bytes:
        """A command and its whole answer, undecoded."""
        await self.send(list(words))
        return await self.reply()

    async def send(self, words: list[bytes]) -> None:
        await self.raw(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words))

    def expanded(self, text: str) -> bytes:
        """A word of a recording."""
        if found := re.fullmatch(r"\{secure:(.*)\}", text):
            return hashlib.sha1(f"{self._nonce}:{found[1]}".encode()).hexdigest().encode()
        if found := re.fullmatch(r"\{big:(\d+)\}", text):
            return b"x" * int(found[1])
        if found := re.fullmatch(r"\{cur:(\d+)\}", text):
            return self._cursors[-1 - int(found[1])]
        return text.encode("latin-1")

    async def reply(self) -> bytes:
        """One whole answer; what there was of it when the server closed."""
        try:
            async with asyncio.timeout(PATIENCE):
                got = await self._value()
        except (asyncio.IncompleteReadError, ConnectionError) as err:
            return getattr(err, "partial", b"")
        if found := re.fullmatch(rb"\+([0-9a-f]{16})\r\n", got):
            self._nonce = found[1].decode()
        if found := re.match(rb"\*[23]\r\n\$(17|8)\r\n", got):
            self._cursors.append(got[found.end() : found.end() + int(found[1])])
        if got.startswith(b"$17\r\n"):
            self._cursors.append(got[5:22])
        return got

    async def _value(self) -> bytes:
        line = await self._reader.readuntil(b"\r\n")
        count = int(line[1:]) if line[:1] in (b"$", b"*") else 0
        if line[:1] == b"$" and count >= 0:
            return line + await self._reader.readexactly(count + 2)
        if line[:1] == b"*":
            return line + b"".join([await self._value() for _ in range(count)])
        return line

    async def is_closed(self) -> bool:
        """Whether the server closes the connection."""
        async with asyncio.timeout(PATIENCE):
            try:
                return await self._reader.read(1) == b""
            except ConnectionError:
                return True


@dataclass(frozen=True, slots=True)
class Difference:
    """A step that was answered otherwise."""

    line: int
    note: str
    text: str


class Replay:
    """Plays a recorded scenario against a server and compares the answers."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._clients: dict[str, Client] = {}

    async def run(self, options: str, steps: list[tuple[int, dict[str, Any]]]) -> list[Difference]:
        """The differences; a `restart` splits the steps."""
        found: list[Difference] = []
        rest = list(steps)
        while rest:
            async with running(self._folder, options) as port:
                while rest and "restart" not in rest[0][1]:
                    number, step = rest.pop(0)
                    got, wanted, is_same = await self._step(step, port)
                    if not is_same:
                        words = step.get("send", step.get("raw", step.get("file")))
                        found.append(Difference(number, step.get("note", ""), f"{words}: {got!r}, not {wanted!r}"))
                for client in self._clients.values():
                    await client.close()
                self._clients.clear()
            if rest:
                options = rest.pop(0)[1]["restart"]
        return found

    async def _step(self, step: dict[str, Any], port: int) -> tuple[str, str, bool]:
        if "file" in step:
            wanted = step["bytes"]
            got = (self._folder / step["file"]).read_bytes()[: len(wanted)].decode("latin-1")
            return got, wanted, got == wanted
        name = step["conn"]
        if name not in self._clients:
            self._clients[name] = await Client.to(port)
        client = self._clients[name]
        if "raw" in step:
            await client.raw(step["raw"].encode("latin-1"))
        elif "send" in step:
            await client.send([client.expanded(word) for word in step["send"]])
        if "reply" not in step and "like" not in step:
            return "", "", True
        got = (await client.reply()).decode("latin-1")
        wanted = str(step.get("like", step.get("reply")))
        is_same = bool(re.fullmatch(wanted, got, re.DOTALL)) if "like" in step else got == wanted
        if step.get("eof"):
            is_same = is_same and await client.is_closed()
            await self._clients.pop(name).close()
        return got, wanted, is_same
