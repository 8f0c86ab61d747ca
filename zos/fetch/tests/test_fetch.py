"""Both transports against a server that misbehaves: what they refuse, and when they give up."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from contextlib import closing

import pytest

from zos.fetch import aio, dial, names
from zos.fetch.aio import Fetcher
from zos.fetch.blocking import Client
from zos.fetch.errors import FetchFailed, FetchForbidden
from zos.fetch.exchange import ERROR_PAGE, Answer, Request
from zos.fetch.names import Shares
from zos.fetch.policy import Policy
from zos.fetch.tests.served import drip, reply, serving

HERE = Policy(("127.0.0.1",))
HEAD = b"HTTP/1.1 200 OK\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

Ask = Callable[..., Answer]


def by_event_loop(request: Request, deadline: float = 5.0, policy: Policy = HERE) -> Answer:
    async def run() -> Answer:
        async with Fetcher(policy) as fetcher:
            return await fetcher.fetch(request, deadline)

    return asyncio.run(run())


def by_thread(request: Request, deadline: float = 5.0, policy: Policy = HERE) -> Answer:
    with closing(Client(policy)) as client:
        return client.fetch(request, deadline)


@pytest.fixture(params=[by_event_loop, by_thread])
def ask(request: pytest.FixtureRequest) -> Ask:
    found: Ask = request.param
    return found


def in_parts(link: socket.socket) -> None:
    link.sendall(HEAD + b"Content-Length: 5\r\n\r\nwh")
    time.sleep(0.05)
    link.sendall(b"ole")


def test_an_answer_is_read_whole_however_it_comes(ask: Ask):
    chunks = HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\nwhol\r\n1\r\ne\r\n0\r\n\r\n"
    plays = {
        "/length": reply(b"whole"),
        "/parts": in_parts,
        "/chunks": lambda link: link.sendall(chunks),
        "/end": lambda link: link.sendall(HEAD + b"\r\nwhole") or False,
        "/interim": lambda link: link.sendall(
            b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"Content-Length: 5\r\n\r\nwhole"
        ),
    }
    with serving(plays) as server:
        for path in plays:
            assert ask(Request(server.url + path, limit=5)).body == b"whole", path


@pytest.mark.parametrize(
    "pieces",
    [
        (HEAD + b"X: ", b"y"),
        (CONTINUE,),
        (HEAD + b"Content-Length: 100000\r\n\r\n", b"."),
        (b"H",),
        (b"",),
    ],
)
def test_a_deadline_holds_against_an_answer_in_drips(ask: Ask, pieces: tuple[bytes, ...]):
    with serving({"/": drip(*pieces)}) as server:
        began = time.monotonic()
        with pytest.raises(FetchFailed):
            ask(Request(server.url, limit=1 << 20), 0.3)
        assert time.monotonic() - began < 3


def test_responses_that_only_announce_are_counted(ask: Ask):
    plays = {"/": lambda link: link.sendall(CONTINUE * 100_000)}
    with serving(plays) as server, pytest.raises(FetchFailed, match="does not come to its answer"):
        ask(Request(server.url, limit=10))


def test_headers_are_bounded(ask: Ask):
    plays = {"/": lambda link: link.sendall(HEAD + b"X: " + b"y" * (1 << 20))}
    with serving(plays) as server, pytest.raises(FetchFailed, match="speaks no HTTP"):
        ask(Request(server.url, limit=10))


def test_more_than_the_limit_is_not_taken(ask: Ask):
    with serving({"/": reply(bytes(5000))}) as server:
        with pytest.raises(FetchFailed, match="more than 4999 bytes"):
            ask(Request(server.url, limit=4999))
        assert len(ask(Request(server.url, limit=5000)).body) == 5000


def test_a_page_that_tells_an_error_is_cut(ask: Ask):
    with serving({"/": reply(bytes(1 << 20), 500)}) as server:
        seen = ask(Request(server.url, limit=10))
        assert seen.status == 500
        assert len(seen.body) <= ERROR_PAGE


@pytest.mark.parametrize("said", [HEAD + b"Content-Length: 100\r\n\r\nonly this", HEAD, b"", b"SSH-2.0-OpenSSH\r\n"])
def test_a_server_that_hangs_up_early_is_said_to(ask: Ask, said: bytes):
    plays = {"/": lambda link: link.sendall(said) or False}
    with serving(plays) as server, pytest.raises(FetchFailed, match=r"hung up|speaks no HTTP"):
        ask(Request(server.url, limit=1000))


def test_a_body_goes_to_a_sink_and_an_error_does_not(ask: Ask):
    got = bytearray()
    with serving({"/": reply(b"content"), "/no": reply(b"sorry", 404)}) as server:
        assert ask(Request(server.url, limit=10, sink=got.extend)).body == b""
        assert ask(Request(f"{server.url}/no", limit=10, sink=got.extend)).body == b"sorry"
    assert got == b"content"


async def test_nothing_more_is_read_before_the_sink_has_taken_what_came():
    """A slow sink slows its own download down, in bounded memory, and nothing else."""
    sent = 0
    ended = threading.Event()

    def send(link: socket.socket) -> bool:
        nonlocal sent
        link.settimeout(0.5)
        link.sendall(HEAD + b"Content-Length: 100000000\r\n\r\n")
        try:
            while True:
                sent += link.send(bytes(1 << 16))
        except OSError:
            ended.set()
        return False

    first = asyncio.Event()
    more = asyncio.Event()

    async def sink(piece: bytes | bytearray) -> None:
        first.set()
        await more.wait()

    with serving({"/": send}) as server:
        async with Fetcher(HERE) as fetcher:
            fetching = asyncio.create_task(fetcher.fetch(Request(server.url, limit=1 << 30, sink=sink), 20.0))
            await first.wait()
            while not ended.is_set():
                await asyncio.sleep(0.01)
            assert sent < 20_000_000
            more.set()
            with pytest.raises(FetchFailed, match="hung up"):
                await fetching


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "①②⑦.⓪.⓪.①", "127.1", "localhost", "0"]
)
def test_no_notation_leads_inside(ask: Ask, host: str):
    with serving({"/": reply(b"inside")}) as server, pytest.raises(FetchForbidden, match="not a public address"):
        ask(Request(f"http://{host}:{server.port}/", limit=10), policy=Policy())
    assert server.connections == 0


def test_redirects_are_followed_when_asked_and_judged_again(ask: Ask):
    with serving({"/secret": reply(b"inside")}) as inside:
        plays = {
            "/near": reply(status=302, Location="/here"),
            "/here": reply(b"here"),
            "/away": reply(status=302, Location=f"{inside.url}/secret"),
            "/loop": reply(status=301, Location="/loop"),
            "/file": reply(status=301, Location="file:///etc/passwd"),
        }
        with serving(plays) as server:
            only = Policy((f"127.0.0.1:{server.port}",))
            assert ask(Request(f"{server.url}/near", limit=10, redirects=5), policy=only).body == b"here"
            assert ask(Request(f"{server.url}/near", limit=10), policy=only).status == 302
            for path in ("/away", "/file"):
                with pytest.raises(FetchForbidden):
                    ask(Request(server.url + path, limit=10, redirects=5), policy=only)
            with pytest.raises(FetchFailed, match="redirects more than"):
                ask(Request(f"{server.url}/loop", limit=10, redirects=5), policy=only)
            assert server.asked["/loop"] == 6
        assert inside.connections == 0


def test_what_is_sent_arrives(ask: Ask):
    with serving({"/": reply()}) as server:
        ask(Request(server.url, limit=0, method="POST", body=b"message"))
        assert server.received == [b"message"]


def test_a_header_smuggled_into_a_request_is_refused(ask: Ask):
    with serving({"/": reply()}) as server:
        with pytest.raises(FetchFailed):
            ask(Request(server.url, limit=0, headers={"X": "y\r\nZ: z"}))
        assert not server.asked


def test_a_name_server_that_is_silent_does_not_hold_a_fetch(ask: Ask, monkeypatch: pytest.MonkeyPatch):
    stop = threading.Event()

    def silent(host: str, port: int) -> list[dial.Found]:
        stop.wait(10)
        raise OSError("stopped")

    monkeypatch.setattr(dial, "lookup", silent)
    monkeypatch.setattr(aio, "lookup", silent)
    # asyncio.run waits for nobody's threads but its own.
    began = time.monotonic()
    with pytest.raises(FetchFailed):
        ask(Request("http://silent.example/", limit=0), 0.2)
    assert time.monotonic() - began < 5
    stop.set()


# Connections


def closing_after_one(link: socket.socket) -> bool:
    reply(b"x")(link)
    return False


def test_a_thread_keeps_its_connection_and_makes_a_new_one_when_that_was_closed():
    with serving({"/": reply(b"x"), "/last": closing_after_one}) as server, closing(Client(HERE)) as client:
        for path, connections in (("/", 1), ("/last", 1), ("/", 2), ("/", 2)):
            assert client.fetch(Request(server.url + path, limit=10), 5.0).body == b"x"
            assert server.connections == connections


async def test_an_event_loop_keeps_connections_and_makes_new_ones_when_they_were_closed():
    with serving({"/": reply(b"x"), "/last": closing_after_one}) as server:
        async with Fetcher(HERE) as fetcher:
            for path, connections in (("/", 1), ("/last", 1), ("/", 2), ("/", 2)):
                assert (await fetcher.fetch(Request(server.url + path, limit=10), 5.0)).body == b"x"
                assert server.connections == connections


async def test_one_tenant_has_its_share_of_connections_and_others_have_theirs():
    stop = threading.Event()
    with serving({"/slow": drip(b"H", stop=stop), "/": reply(b"x")}) as server:
        async with Fetcher(HERE, total=8, share=2) as fetcher:
            slow = [
                asyncio.create_task(fetcher.fetch(Request(f"{server.url}/slow", limit=1), 5.0, "7")) for _ in range(20)
            ]
            async with asyncio.timeout(5):
                while server.asked["/slow"] < 2:
                    await asyncio.sleep(0.01)
                assert (await fetcher.fetch(Request(server.url, limit=1), 5.0, "8")).body == b"x"
            with pytest.raises(FetchFailed, match="too slow"):
                await fetcher.fetch(Request(server.url, limit=1), 0.1, "7")
            assert server.asked["/slow"] == 2
            for task in slow:
                task.cancel()
            await asyncio.gather(*slow, return_exceptions=True)
    stop.set()


async def test_a_silent_name_server_of_one_tenant_holds_no_thread_of_another(monkeypatch: pytest.MonkeyPatch):
    stop = threading.Event()

    def some_silent(host: str, port: int) -> list[dial.Found]:
        if host == "silent.example":
            stop.wait(10)
        return dial.numeric("127.0.0.1", port)

    monkeypatch.setattr(aio, "lookup", some_silent)
    with serving({"/": reply(b"x")}) as server:
        async with Fetcher(HERE) as fetcher:
            asked = [fetcher.fetch(Request("http://silent.example/", limit=1), 0.1, "7") for _ in range(100)]
            assert all(isinstance(one, FetchFailed) for one in await asyncio.gather(*asked, return_exceptions=True))
            # Who gave up still holds two threads; a hundred would have held them all.
            fine = Request(f"http://fine.example:{server.port}/", limit=1)
            assert (await fetcher.fetch(fine, 2.0, "8")).body == b"x"
            stop.set()


def _hang_up(fetcher: Fetcher) -> None:
    for kept in fetcher._idle.values():
        for _, connection in kept:
            connection.close()
    fetcher._idle.clear()


async def test_a_name_that_answered_lately_is_reached_whoever_holds_the_threads(monkeypatch: pytest.MonkeyPatch):
    stop = threading.Event()

    def some_silent(host: str, port: int) -> list[dial.Found]:
        if host.endswith("silent.example"):
            stop.wait(10)
            raise OSError("no answer")
        return dial.numeric("127.0.0.1", port)

    monkeypatch.setattr(aio, "lookup", some_silent)
    monkeypatch.setattr(names, "PATIENCE", 0.05)
    monkeypatch.setattr(names, "SILENT", 0.0)
    with serving({"/": reply(b"x")}) as server:
        async with Fetcher(HERE, total=100) as fetcher:
            fine = Request(f"http://fine.example:{server.port}/", limit=1)
            assert (await fetcher.fetch(fine, 2.0, "8")).body == b"x"
            wanted = [Request(f"http://{n}.silent.example/", limit=1) for n in range(40)]
            held = [asyncio.create_task(fetcher.fetch(one, 9.0, one.url, f"{n % 20}")) for n, one in enumerate(wanted)]
            await asyncio.sleep(0)
            _hang_up(fetcher)
            assert (await fetcher.fetch(fine, 2.0, "8")).body == b"x"
            # Also when its own name server, and all that answered once, are silent now.
            monkeypatch.setattr(aio, "lookup", lambda host, port: some_silent("silent.example", port))
            for _ in range(3):
                _hang_up(fetcher)
                assert (await fetcher.fetch(fine, 2.0, "8")).body == b"x"
            stop.set()
            await asyncio.gather(*held, return_exceptions=True)
            with pytest.raises(FetchFailed, match="did not answer"):
                await fetcher.fetch(wanted[0], 1.0, "9")


async def test_shares_are_given_back_and_forgotten():
    shares = Shares(2, 1)
    async with shares.place("a"), shares.place("b"):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01), shares.place("a"):
                pass
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01), shares.place("c"):
                pass
    assert not shares._keys
    async with shares.place("c"), shares.place("a"):
        pass
