"""Asking a store that speaks redis' protocol: over a real socket, with a server that may misbehave."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zos.fetch.errors import FetchFailed, FetchForbidden
from zos.flist.cache import BlockCache
from zos.flist.errors import BlockMissing, StoreRefused
from zos.flist.layout import Ref, Route
from zos.flist.policy import StorePolicy
from zos.flist.redis import RedisStore
from zos.flist.source import Source
from zos.flist.store import MAX_BLOB, Stores, open_store
from zos.flist.tests.archives import seal
from zos.flist.tests.blockserver import Server, serving

HERE = StorePolicy(("127.0.0.1",))


@pytest.fixture(autouse=True)
def _mounted(tmp_path: Path) -> None:
    """The cache's volume is there."""
    (tmp_path / "blocks").mkdir()


@contextmanager
def store(server: Server, scheme: str = "zdb", secret: str = "", path: str = "") -> Iterator[RedisStore]:
    made = RedisStore(f"{scheme}://{secret}127.0.0.1:{server.port}{path}", HERE, 10_000)
    with closing(made):
        yield made


@pytest.mark.parametrize("scheme", ["zdb", "redis", "ardb"])
def test_blocks_come_by_their_raw_ids_over_one_connection(scheme: str):
    with (
        serving({b"a" * 16: b"\r\n$5\0", b"b" * 32: b"", b"c": b"x" * 10_000}) as server,
        store(server, scheme) as made,
    ):
        assert made.get(b"a" * 16, 5.0) == b"\r\n$5\0"
        assert made.get(b"b" * 32, 5.0) == b""
        assert made.get(b"c", 5.0) == b"x" * 10_000
        assert made.get(b"d", 5.0) is None
        assert server.connections == 1
        assert server.asked[0] == [b"GET", b"a" * 16]


@pytest.mark.parametrize(
    ("scheme", "secret", "path", "words"),
    [
        ("zdb", "", "", []),
        ("zdb", "", "/default", []),
        ("zdb", "", "/", []),
        ("redis", "", "/0", [b"SELECT", b"0"]),
        ("zdb", "", "/a%2Fb", [b"SELECT", b"a/b"]),
        ("zdb", ":p%40ss@", "/ns", [b"SELECT", b"ns", b"p@ss"]),
        ("zdb", ":p@", "", [b"AUTH", b"p"]),
        ("ardb", "p@", "", [b"AUTH", b"p"]),
    ],
)
def test_a_store_is_greeted_as_its_url_says(scheme: str, secret: str, path: str, words: list[bytes]):
    namespace = words[1].decode() if words[:1] == [b"SELECT"] else ""
    password = words[-1].decode() if secret else ""
    with serving({b"a": b"b"}, namespace=namespace, password=password) as server:
        with store(server, scheme, secret, path) as made:
            assert made.get(b"a", 5.0) == b"b"
        assert server.asked == [*([words] if words else []), [b"GET", b"a"]]


@pytest.mark.parametrize(
    ("secret", "path", "said"),
    [
        ("", "/ns", "it says 'Access denied' to SELECT"),
        (":wrong@", "/ns", "it says 'Access denied' to SELECT"),
        (":right@", "/other", "it says 'Namespace not found' to SELECT"),
        ("", "", "it says 'Access denied' to GET"),
    ],
)
def test_a_refusal_is_told_without_the_password(secret: str, path: str, said: str):
    with (
        serving({b"a": b"b"}, namespace="ns", password="right") as server,
        store(server, secret=secret, path=path) as made,
        pytest.raises(StoreRefused) as told,
    ):
        made.get(b"a", 5.0)
    assert str(told.value) == f"zdb://127.0.0.1:{server.port}{path} refuses: {said}"


def test_a_server_that_was_restarted_is_asked_again():
    with serving({b"a": b"b"}) as server, store(server) as made:
        assert made.get(b"a", 5.0) == b"b"
        server.raw = b""  # it hangs up at the next question
        with pytest.raises(FetchFailed, match="it hung up"):
            made.get(b"a", 5.0)
        server.raw = None
        assert made.get(b"a", 5.0) == b"b"
        assert server.connections == 3
        # A connection that ended while it was idle is not the caller's trouble.
        made._idle[0]._link.shutdown(socket.SHUT_RDWR)
        assert made.get(b"a", 5.0) == b"b"
        assert server.connections == 4


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "it hung up"),
        (b"$5\r\nabc", "it hung up"),
        (b"$5\r\nabcdefg", "another protocol"),
        (b"$-2\r\n", "another protocol"),
        (b"$x\r\n", "another protocol"),
        (b"$\r\n", "another protocol"),
        (b"$1234567890\r\n", "another protocol"),
        (b"$10001\r\n", "it sends more than 10000 bytes"),
        (b"*1\r\n$1\r\na\r\n", "another protocol"),
        (b":5\r\n", "another protocol"),
        (b"HTTP/1.1 400 Bad Request\r\n", "another protocol"),
        (b"x" * 5000, "another protocol"),
        (b"-ERR no\r\n", "it says 'ERR no' to GET"),
    ],
)
def test_a_wrong_answer_is_the_stores_fault(raw: bytes, said: str):
    with serving({}) as server, store(server) as made:
        server.raw = raw
        with pytest.raises((FetchFailed, StoreRefused), match=said):
            made.get(b"a", 5.0)
        assert made._idle == []


@given(st.binary(max_size=60))
@settings(max_examples=30, deadline=None)
def test_no_answer_is_worse_than_unreachable(raw: bytes):
    with serving({}) as server, store(server) as made:
        server.raw = raw
        try:
            made.get(b"a", 5.0)
        except (FetchFailed, StoreRefused):
            return


def test_many_threads_share_a_store():
    ids = [bytes([number]) * 16 for number in range(64)]
    found: list[bool] = []
    interval = sys.getswitchinterval()
    with serving({id: id * 10 for id in ids}) as server, store(server) as made:

        def work() -> None:
            found.extend(made.get(id, 10.0) == id * 10 for id in ids * 3)

        threads = [threading.Thread(target=work) for _ in range(8)]
        sys.setswitchinterval(1e-6)
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            sys.setswitchinterval(interval)
        assert found == [True] * 8 * 3 * 64
        assert len(made._idle) <= 8


def test_a_silent_or_dripping_store_costs_no_more_than_the_deadline():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stop = threading.Event()

        def drip() -> None:
            with listener.accept()[0] as link:
                while not stop.wait(0.05):
                    link.sendall(b"x")

        thread = threading.Thread(target=drip)
        thread.start()
        made = RedisStore(f"zdb://127.0.0.1:{listener.getsockname()[1]}", HERE, 10_000)
        began = time.monotonic()
        with pytest.raises(FetchFailed, match=r"too slow|timed out"):
            made.get(b"a", 0.3)
        assert time.monotonic() - began < 5
        stop.set()
        thread.join()


def test_the_policy_holds_for_it():
    with serving({}) as server, pytest.raises(FetchForbidden, match="not a public address"):
        open_store(f"zdb://127.0.0.1:{server.port}", StorePolicy()).get(b"a", 5.0)
    assert server.asked == []
    for url in ("zdb:///run/x.sock", "zdb://h:x", "unix://h", "s3://h"):
        with pytest.raises(FetchForbidden):
            open_store(url, HERE)
    with pytest.raises(FetchForbidden) as told:
        open_store("s3://key:secret@h/bucket", HERE)
    assert "secret" not in str(told.value)


def test_readers_get_old_blocks_from_it_and_then_from_the_cache(tmp_path: Path):
    plain = os.urandom(512 * 1024)
    id, key, blob = seal(plain)
    ref = Ref(id.ljust(32, b"\0"), key.ljust(32, b"\0"), len(plain))
    with serving({id: blob}) as server:
        with closing(Stores([Route(0, 255, f"zdb://127.0.0.1:{server.port}")], HERE)) as stores:
            assert Source(BlockCache(tmp_path), stores, patience=5.0).read(ref) == plain
            with pytest.raises(BlockMissing, match=f"has block {'61' * 16}$"):
                stores.fetch(b"a" * 16 + bytes(16), bytes, 5.0)
        assert server.asked == [[b"GET", id], [b"GET", b"a" * 16]]
    assert Source(BlockCache(tmp_path), Stores([], HERE), patience=0.1).read(ref) == plain
    # A lost secret: the hash decides, which is a shorter one here.
    (tmp_path / "secret").unlink()
    assert bytes(BlockCache(tmp_path).load(ref) or b"") == plain
    path = BlockCache(tmp_path).path(ref.key)
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
    assert BlockCache(tmp_path).load(ref) is None


def test_the_largest_block_fits():
    blob = seal(os.urandom(512 * 1024))[2]
    assert len(blob) < MAX_BLOB


@pytest.mark.parametrize(("raw", "waits"), [(b"-NOAUTH Authentication required\r\n", False), (b"-LOADING\r\n", True)])
def test_a_refusal_is_final_and_a_server_that_is_not_ready_is_waited_for(tmp_path: Path, raw: bytes, waits: bool):
    with serving({}) as server, closing(Stores([Route(0, 255, f"redis://127.0.0.1:{server.port}")], HERE)) as stores:
        server.raw = raw
        source, began = Source(BlockCache(tmp_path), stores, patience=1.0), time.monotonic()
        with pytest.raises(FetchFailed if waits else StoreRefused):
            source.read(Ref(b"i" * 32, b"k" * 32, 10))
        assert (time.monotonic() - began > 0.5) is waits
