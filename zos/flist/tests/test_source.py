"""Fetching and keeping blocks: stores, policy, cache, and the source that readers use."""

from __future__ import annotations

import contextlib
import http.server
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from zos.fetch.errors import FetchFailed
from zos.flist import cache as caching
from zos.flist.block import Sealed, seal
from zos.flist.cache import BlockCache, trim
from zos.flist.errors import BlockCorrupt, BlockMissing
from zos.flist.layout import Ref, Route
from zos.flist.policy import StorePolicy
from zos.flist.source import Source
from zos.flist.store import FolderStore, Stores, open_store

HERE = StorePolicy(("127.0.0.1",), folders=True)


@pytest.fixture(autouse=True)
def _mounted(tmp_path: Path) -> None:
    """The cache's volume is there."""
    (tmp_path / "blocks").mkdir()


def ref(sealed: Sealed, plain: bytes) -> Ref:
    return Ref(sealed.id, sealed.key, len(plain))


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    files: dict[str, bytes] = {}
    asked: list[str] = []

    def do_GET(self) -> None:
        type(self).asked.append(self.path)
        body = self.files.get(self.path)
        self.send_response(200 if body is not None else 404)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[str]:
    Handler.files, Handler.asked = {}, []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as web:
        web.daemon_threads = True
        thread = threading.Thread(target=web.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{web.server_address[1]}"
        web.shutdown()
        thread.join()


def test_a_block_comes_by_both_names_of_http_stores(server: str):
    first, second = seal(b"one"), seal(b"two")
    Handler.files = {f"/b/{first.id.hex()[:2]}/{first.id.hex()}": first.blob, f"/b/{second.id.hex()}": second.blob}
    store = open_store(f"{server}/b/", HERE)
    assert store.get(first.id, 5.0) == first.blob
    assert store.get(second.id, 5.0) == second.blob
    assert store.get(bytes(32), 5.0) is None
    store.close()


def test_a_thousand_routes_do_not_mean_two_thousand_requests(server: str):
    routes = [Route(0, 255, f"{server}/{number}") for number in range(1000)]
    with contextlib.closing(Stores(routes, HERE)) as stores, pytest.raises(BlockMissing):
        stores.fetch(bytes(32), lambda blob: blob, 30.0)
    assert len(Handler.asked) <= 16


def test_a_policy_reaches_another_process():
    assert StorePolicy.from_json(HERE.to_json()) == HERE
    assert StorePolicy.from_json(StorePolicy(neighbours=True).to_json()) == StorePolicy(neighbours=True)


def test_a_good_store_makes_up_for_a_bad_one(tmp_path: Path, server: str):
    sealed = seal(b"content")
    good, bad = FolderStore(tmp_path / "good"), FolderStore(tmp_path / "bad")
    good.put(sealed.id, sealed.blob)
    bad.put(sealed.id, b"rubbish")
    urls = [f"dir://{bad.root}", "http://127.0.0.1:1/", f"{server}/", f"dir://{good.root}"]
    with contextlib.closing(Stores([Route(0, 255, url) for url in urls], HERE)) as stores:
        source = Source(BlockCache(tmp_path), stores, patience=5.0)
        assert source.read(ref(sealed, b"content")) == b"content"


def test_routes_are_chosen_by_the_first_byte(tmp_path: Path):
    sealed = seal(b"content")
    store = FolderStore(tmp_path / "s")
    store.put(sealed.id, sealed.blob)
    byte = sealed.id[0]
    other = [Route(0, byte - 1, f"dir://{store.root}"), Route(byte + 1, 255, f"dir://{store.root}")]
    with pytest.raises(BlockMissing):
        Stores(other, HERE).fetch(sealed.id, bytes, 1.0)
    assert Stores([Route(byte, byte, f"dir://{store.root}")], HERE).fetch(sealed.id, bytes, 1.0) == sealed.blob


def test_a_wrong_block_is_said_to_be_wrong(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    sealed = seal(b"content")
    store = FolderStore(tmp_path / "s")
    store.put(sealed.id, seal(b"another").blob)
    source = Source(BlockCache(tmp_path), Stores([Route(0, 255, f"dir://{store.root}")], HERE))
    for _ in range(3):
        with pytest.raises(BlockCorrupt):
            source.read(ref(sealed, b"content"))
    assert len([record for record in caplog.records if "is not what the flist says" in record.message]) == 1


def test_a_read_waits_for_a_store_that_comes_back(tmp_path: Path):
    sealed = seal(b"content")
    store = FolderStore(tmp_path / "s")
    source = Source(BlockCache(tmp_path), Stores([Route(0, 255, f"dir://{store.root}")], HERE), patience=10.0)
    threading.Timer(0.2, store.put, (sealed.id, sealed.blob)).start()
    assert source.read(ref(sealed, b"content")) == b"content"


@pytest.mark.parametrize("reader", ["reads", "fills"])
def test_a_block_that_every_store_says_it_has_not_is_an_error_at_once(tmp_path: Path, server: str, reader: str):
    sealed = seal(b"content")
    (tmp_path / "s").mkdir()
    routes = [Route(0, 255, f"dir://{tmp_path / 's'}"), Route(0, 255, f"{server}/")]
    with contextlib.closing(Stores(routes, HERE)) as stores:
        source, began = Source(BlockCache(tmp_path), stores, patience=60.0), time.monotonic()
        if reader == "reads":
            with pytest.raises(BlockMissing, match="no block store"):
                source.read(ref(sealed, b"content"))
        else:
            assert source.fill(iter([ref(sealed, b"content")])) == 0
    assert time.monotonic() - began < 5


def test_what_cannot_be_had_is_told_once_and_again_when_it_can(tmp_path: Path):
    here, away = seal(b"here"), seal(b"away")
    store = FolderStore(tmp_path / "s")
    store.put(here.id, here.blob)
    told: list[str] = []
    source = Source(BlockCache(tmp_path), Stores([Route(0, 255, f"dir://{store.root}")], HERE), trouble=told.append)
    for _ in range(2):
        with pytest.raises(BlockMissing):
            source.read(ref(away, b"away"))
    source.read(ref(here, b"here"))
    assert len(told) == 1
    assert away.id.hex() in told[0]
    store.put(away.id, away.blob)
    source.read(ref(away, b"away"))
    assert told[1:] == [""]


def test_a_silent_store_is_told_until_any_block_comes(tmp_path: Path):
    one, two = seal(b"one"), seal(b"two")
    store, told = FolderStore(tmp_path / "s"), list[str]()
    routes = [Route(0, 255, f"dir://{store.root}")]
    source = Source(BlockCache(tmp_path), Stores(routes, HERE), patience=0.1, trouble=told.append)
    with pytest.raises(FetchFailed):
        source.read(ref(one, b"one"))
    assert "the folder is not there" in told[-1]
    store.put(two.id, two.blob)
    source.read(ref(two, b"two"))
    assert told[-1] == ""


def test_while_one_store_is_silent_the_others_word_is_not_the_last(tmp_path: Path):
    sealed = seal(b"content")
    (tmp_path / "empty").mkdir()
    late = FolderStore(tmp_path / "late")
    routes = [Route(0, 255, f"dir://{tmp_path / 'empty'}"), Route(0, 255, f"dir://{late.root}")]
    source = Source(BlockCache(tmp_path), Stores(routes, HERE), patience=10.0)
    threading.Timer(0.2, late.put, (sealed.id, sealed.blob)).start()
    assert source.read(ref(sealed, b"content")) == b"content"


def test_many_readers_fetch_a_block_once(tmp_path: Path, server: str):
    plain = os.urandom(1000)
    sealed = seal(plain)
    Handler.files = {f"/{sealed.id.hex()[:2]}/{sealed.id.hex()}": sealed.blob}
    stores = Stores([Route(0, 255, server)], HERE)
    source = Source(BlockCache(tmp_path), stores)
    source.ahead([ref(sealed, plain)] * 3)
    found: list[bytes | memoryview] = []
    threads = [threading.Thread(target=lambda: found.append(source.read(ref(sealed, plain)))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert found == [plain] * 8
    assert len(Handler.asked) == 1
    stores.close()


def test_what_was_kept_needs_no_store(tmp_path: Path):
    sealed = seal(b"content")
    BlockCache(tmp_path).keep(sealed.key, b"content")
    source = Source(BlockCache(tmp_path), Stores([], HERE), patience=0.1)
    assert source.read(ref(sealed, b"content")) == b"content"
    # Another flist that lies about the length of the same block does not get it.
    with pytest.raises(BlockMissing):
        source.read(Ref(sealed.id, sealed.key, 3))


def test_memory_stays_bounded(tmp_path: Path):
    cache = BlockCache(tmp_path)
    source = Source(cache, Stores([], HERE), memory=10_000, patience=0.1)
    for number in range(30):
        plain = bytes([number]) * 1000
        sealed = seal(plain)
        cache.keep(sealed.key, plain)
        assert source.read(ref(sealed, plain)) == plain
    assert source._size <= 10_000
    assert len(source._kept) == 10


@pytest.mark.parametrize(
    "harm",
    [lambda d: d[:-1], lambda d: b"", lambda d: b"X" + d[1:], lambda d: d + b"more"],
    ids=["torn", "empty", "changed", "longer"],
)
def test_a_damaged_copy_is_not_served(tmp_path: Path, harm):
    sealed = seal(b"content")
    cache = BlockCache(tmp_path)
    cache.keep(sealed.key, b"content")
    path = cache.path(sealed.key)
    path.write_bytes(harm(path.read_bytes()))
    assert cache.load(ref(sealed, b"content")) is None


def test_a_lost_secret_costs_no_blocks(tmp_path: Path):
    sealed = seal(b"content")
    BlockCache(tmp_path).keep(sealed.key, b"content")
    (tmp_path / "secret").write_bytes(b"torn")
    assert bytes(BlockCache(tmp_path).load(ref(sealed, b"content")) or b"") == b"content"
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600
    assert len((tmp_path / "secret").read_bytes()) == 32


def test_the_cache_drops_what_was_not_used_for_longest_and_the_wanted_last(tmp_path: Path):
    cache = BlockCache(tmp_path)
    made = [seal(bytes([number]) * 3000) for number in range(4)]
    for age, (number, sealed) in enumerate(enumerate(made)):
        cache.keep(sealed.key, bytes([number]) * 3000)
        os.utime(cache.path(sealed.key), (age, age))
    (cache.path(made[0].key).parent / ".draft").write_bytes(b"x")
    os.utime(cache.path(made[0].key).parent / ".draft", (0, 0))
    size = sum(entry.size for entry in caching.entries(tmp_path))
    assert trim(tmp_path, size, set()) == 0
    assert trim(tmp_path, size // 2, {made[0].key}) > 0
    left = [number for number, sealed in enumerate(made) if cache.path(sealed.key).exists()]
    assert left == [0, 3]
    assert not list(tmp_path.rglob(".draft"))


def test_a_full_disk_only_costs_the_copy(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    cache = BlockCache(tmp_path)
    cache.folder.rmdir()
    cache.folder.write_bytes(b"in the way")
    cache.keep(bytes(32), b"x")
    cache.keep(bytes(32), b"x")
    assert len(caplog.records) == 1


def test_nothing_is_kept_below_a_volume_that_has_gone(tmp_path: Path):
    cache = BlockCache(tmp_path)
    shutil.rmtree(cache.folder)
    (tmp_path / "secret").unlink()
    for one in (cache, BlockCache(tmp_path)):
        one.keep(bytes(32), b"x")
    assert list(tmp_path.iterdir()) == []


def test_filling_fetches_what_is_missing_and_passes_over_what_is_bad(tmp_path: Path):
    store, cache = FolderStore(tmp_path / "s"), BlockCache(tmp_path)
    plains = [bytes([number]) * 100 for number in range(6)]
    sealed = [seal(plain) for plain in plains]
    for one in sealed[1:]:
        store.put(one.id, one.blob)
    cache.keep(sealed[0].key, plains[0])
    store.path(sealed[3].id).write_bytes(b"rubbish")
    source = Source(cache, Stores([Route(0, 255, f"dir://{store.root}")], HERE))
    assert source.fill(map(ref, sealed, plains)) == 4
    assert [cache.has(ref(one, plain)) for one, plain in zip(sealed, plains, strict=True)] == (
        [True, True, True, False, True, True]
    )


def test_what_stores_say_is_logged_once_a_minute_however_many_blocks_are_read(
    tmp_path: Path, server: str, caplog: pytest.LogCaptureFixture
):
    with contextlib.closing(Stores((Route(0, 255, f"{server}/b"),), HERE)) as stores:
        source = Source(BlockCache(tmp_path), stores)
        for _ in range(30):
            name = os.urandom(32)
            with pytest.raises(BlockMissing):
                source.read(Ref(name, name, 4096))
    assert len([record for record in caplog.records if record.name == "zos.flist"]) == 1
