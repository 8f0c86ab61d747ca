"""One connection to one relay, when the relay fails: on the wire, with real sockets."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from email.utils import formatdate

import pytest

from zos.rmb.connection import RelayConnection
from zos.rmb.errors import NoRelay
from zos.rmb.testing import Twin
from zos.runtime.clock import SystemClock

Play = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
CLOSED = b"\x88\x02\x03\xe8"


@asynccontextmanager
async def relay(play: Play) -> AsyncIterator[str]:
    """A server that plays a part with whoever connects; gives its URL."""
    playing: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        playing.add(task)
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await play(reader, writer)
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in playing:
            task.cancel()
        await asyncio.gather(*playing, return_exceptions=True)
        await server.wait_closed()


async def upgraded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    """Let it in; gives the first line of its request."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    key = next(line.split(": ")[1] for line in lines if line.lower().startswith("sec-websocket-key"))
    digest = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode(), usedforsecurity=False).digest()
    accept = base64.b64encode(digest)
    writer.write(b"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
    writer.write(b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
    return lines[0]


def answered(text: str) -> Play:
    """Answers with a whole HTTP answer."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(text.encode())
        await writer.drain()

    return play


class Ear:
    """Keeps what a line brings, and how often it was lost."""

    def __init__(self) -> None:
        self.frames: asyncio.Queue[bytes] = asyncio.Queue()
        self.lost = 0

    def take(self, frame: bytes, line: RelayConnection) -> None:
        self.frames.put_nowait(frame)

    def gone(self, line: RelayConnection) -> None:
        self.lost += 1

    async def received(self) -> bytes:
        return await asyncio.wait_for(self.frames.get(), 5)


@asynccontextmanager
async def connecting(url: str, ear: Ear | None = None, patience: float = 0.3) -> AsyncIterator[RelayConnection]:
    ear = ear or Ear()

    async def twin() -> int:
        return 1

    line = RelayConnection(url, twin, Twin(1).key, "", SystemClock(), ear.take, ear.gone)
    line.retry_delay, line.timeout = 0.02, patience
    running = asyncio.create_task(line.run())
    try:
        yield line
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def says(line: RelayConnection, words: str) -> None:
    """Until the line's trouble is that."""
    with suppress(TimeoutError):
        async with asyncio.timeout(5):
            while words not in line.problem:
                await asyncio.sleep(0.005)
    assert words in line.problem


async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")


def dated(ago: float) -> Play:
    """A 401 by a clock that is so many seconds behind ours."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        date = formatdate(SystemClock().time() - ago, usegmt=True)
        await answered(f"HTTP/1.1 401 No\r\nDate: {date}\r\nContent-Length: 0\r\n\r\n")(reader, writer)

    return play


@pytest.mark.parametrize(
    ("play", "words"),
    [
        (never, "timed out"),
        (hangs_up, "did not receive a valid HTTP response"),
        (answered("SSH-2.0-OpenSSH_9.2\r\n\r\n"), "did not receive a valid HTTP response"),
        (answered("HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"), "Sec-WebSocket-Accept"),
        (answered("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"), "it answered 200"),
        (answered("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"), "it answered 500"),
        (answered("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"), "it does not accept our token"),
        (dated(0), "it does not know our twin or key (yet)"),
        (dated(3600), "our clock is some 3600 s ahead"),
        (dated(-3600), "our clock is some 3600 s behind"),
        (answered("HTTP/1.1 401 No\r\nDate: gestern\r\nContent-Length: 0\r\n\r\n"), "it does not accept our token"),
        (answered("HTTP/1.1 401 No\r\n" + "X: y\r\n" * 1000 + "\r\n"), "did not receive a valid HTTP response"),
    ],
    ids=[
        "never answers",
        "hangs up",
        "is no web server",
        "does not prove itself",
        "is a web page",
        "fails",
        "dateless 401",
        "401",
        "ahead",
        "behind",
        "bad date",
        "babbles",
    ],
)
async def test_why_a_relay_cannot_be_joined_is_said_without_the_token(play: Play, words: str) -> None:
    async with relay(play) as url, connecting(url) as line:
        await says(line, words)
        assert "?" not in line.problem
        assert not line.up.is_set()
        with pytest.raises(NoRelay, match="not connected"):
            await line.send(b"x")


async def test_nobody_listening_and_no_url_are_said() -> None:
    async with relay(never) as url:
        pass
    async with connecting(url) as line:
        await says(line, "Connect call failed")
    async with connecting("http://127.0.0.1:1") as line:
        await says(line, "no ws:// or wss:// URL")


async def test_a_relay_does_not_send_us_elsewhere() -> None:
    """The token is the relay's; and no relay chooses whom a node connects to."""
    elsewhere: list[str] = []

    async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        elsewhere.append((await reader.readuntil(b"\r\n")).decode())

    async with relay(other) as there:
        moved = f"HTTP/1.1 302 Found\r\nLocation: {there}/?x\r\nContent-Length: 0\r\n\r\n"
        async with relay(answered(moved)) as url, connecting(url) as line:
            await says(line, "it answered 302")
    assert elsewhere == []


async def test_a_relay_that_fails_in_every_way_is_joined_when_it_is_well_again() -> None:
    """Hung up on while joining, then in mid-frame, then with garbage; then it works."""
    tried = 0

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal tried
        tried += 1
        if tried == 1:
            return
        await upgraded(reader, writer)
        if tried == 2:
            writer.write(b"\x82\x7e\x10\x00half of it")
        elif tried == 3:
            writer.write(b"\xff\xff\xff\xff garbage that is no frame at all")
        elif tried == 4:
            writer.write(b"\x82\x7f\x00\x00\x00\x7f\xff\xff\xff\xff")  # half a terabyte is announced
        elif tried == 5:
            writer.write(CLOSED)
        else:
            writer.write(b"\x81\x04text\x82\x03one\x82\x00\x02\x02tw\x80\x01o")
            await asyncio.Event().wait()
        await writer.drain()

    ear = Ear()
    async with relay(play) as url, connecting(url, ear) as line:
        assert [await ear.received() for _ in range(3)] == [b"one", b"", b"two"], "text is passed over"
        assert (tried, ear.lost, line.problem, line.twin) == (6, 4, "", 1)


async def test_each_join_has_a_token_of_its_own_and_no_session() -> None:
    seen: list[str] = []

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await upgraded(reader, writer))
        writer.write(CLOSED)
        await writer.drain()

    async with relay(play) as url, connecting(url):
        async with asyncio.timeout(5):
            while len(seen) < 2:
                await asyncio.sleep(0.01)
    assert all(line.startswith("GET /?eyJhbGciOiJSUzUxMiIsInR5cCI6IkpXVCJ9.") for line in seen)


async def test_a_relay_that_does_not_read_is_given_up_and_joined_again() -> None:
    """It acknowledges nothing: first the send fails in time, then the connection goes."""
    joined = 0

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal joined
        await upgraded(reader, writer)
        joined += 1
        await asyncio.Event().wait()

    ear = Ear()
    async with relay(play) as url, connecting(url, ear, patience=0.2) as line:
        await asyncio.wait_for(line.up.wait(), 5)

        async def fill() -> None:
            for _ in range(64):
                await line.send(bytes(1024 * 1024))

        with pytest.raises(NoRelay, match="accepts no message"):
            await fill()
        async with asyncio.timeout(5):
            while joined < 2:
                await asyncio.sleep(0.01)
        assert ear.lost == 1


async def test_a_relay_that_floods_leaves_turns_to_others() -> None:
    frame = b"\x82\x7e\x01\x00" + bytes(256)
    stop = asyncio.Event()

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upgraded(reader, writer)
        while not stop.is_set():
            writer.write(frame * 1000)
            await writer.drain()
            await asyncio.sleep(0)

    count = 0

    class Counting(Ear):
        def take(self, frame: bytes, line: RelayConnection) -> None:
            nonlocal count
            count += 1

    async with relay(play) as url, connecting(url, Counting()) as line:
        await asyncio.wait_for(line.up.wait(), 5)
        turns = 0
        async with asyncio.timeout(20):
            while count < 10_000:
                before = count
                await asyncio.sleep(0)
                assert count - before <= 64
                turns += 1
        stop.set()
    assert turns > 150
