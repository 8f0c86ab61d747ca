"""Where an archive says that its blocks are, and the blocks themselves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zos.fetch.errors import FetchForbidden
from zos.flist import routing
from zos.flist.block import unseal
from zos.flist.compile import compile_flist
from zos.flist.errors import BlockCorrupt, FlistBroken
from zos.flist.layout import Route
from zos.flist.policy import StorePolicy
from zos.flist.tests import archives
from zos.flist.tests.archives import FILE, Archive, Item, key
from zos.flist.tests.blockserver import serving
from zos.flist.tests.trees import ETC, read, small, wide

HERE = StorePolicy(("127.0.0.1",))


ROUTER = b"""
pools:
  far: {"00:7f": "zdb://far.example:9900", "80:FF": "ardb://far2.example"}
  near: {"12": "zdb://near.example/ns", "1234:56ff": "redis://near.example", "3": "redis://x", 10:59: "zdb://y"}
  unused: {"00:FF": "zdb://unused.example"}
lookup: [near, far]
cache: [near]
"""


def test_a_router_is_asked_in_its_order_and_its_backend_after_it(tmp_path: Path):
    made = small()
    made.router = ROUTER
    made.metadata["backend"] = '{"host": "2001:db8::1", "port": 9910, "namespace": "a/b", "password": "p@ss"}'
    assert read(made.write(tmp_path / "a.flist")).routes == (
        Route(0x12, 0x12, "zdb://near.example/ns"),
        Route(0x12, 0x56, "redis://near.example"),
        Route(0x30, 0x30, "redis://x"),
        Route(0x10, 0x59, "zdb://y"),
        Route(0x00, 0x7F, "zdb://far.example:9900"),
        Route(0x80, 0xFF, "ardb://far2.example"),
        Route(0, 255, "zdb://:p%40ss@[2001:db8::1]:9910/a%2Fb"),
    )


def test_the_backend_that_the_hub_writes_is_a_route(tmp_path: Path):
    made = small()
    made.metadata |= {"backend": '{"host": "hub.grid.tf", "port": 9900, "namespace": "default"}', "readme": "text"}
    assert read(made.write(tmp_path / "a.flist")).routes == (Route(0, 255, "zdb://hub.grid.tf:9900/default"),)


@pytest.mark.parametrize(
    ("router", "problem"),
    [
        (b"\xff", "cannot be read"),
        (b"[" * 99, "cannot be read"),
        (b"[" * 60000, "more than 100 brackets"),
        (b"{a: b", "cannot be read"),
        (b"!!python/object/apply:os.system [true]", "no pools"),
        (b"pools: {}", "no lookup"),
        (b"pools: {a: {}}\nlookup: []", "no lookup"),
        (b"pools: {a: {}}\nlookup: [b]", "no pool 'b'"),
        (b"pools: {a: []}\nlookup: [a]", "no pool 'a'"),
        (b"pools: {}\nlookup: [[a]]", "no pool"),
        (b"pools: {a: {'xy': 'zdb://h'}}\nlookup: [a]", "a range 'xy'"),
        (b"pools: {a: {'00:FFF': 'zdb://h'}}\nlookup: [a]", "a range '00:FFF'"),
        (b"pools: {a: {'FF:00': 'zdb://h'}}\nlookup: [a]", "a range 'FF:00'"),
        (b"pools: {a: {'00': [x]}}\nlookup: [a]", "sends '00' to no URL"),
        (b"pools: {a: {'00': " + b"x" * 3000 + b"}}\nlookup: [a]", "sends '00' to no URL"),
        (b"pools: {a: {'00:FF': 'zdb://h'}}\nlookup: [" + b"a," * 1001 + b"]", "more than 256 routes"),
    ],
)
def test_a_router_of_another_shape_is_refused(tmp_path: Path, router: bytes, problem: str):
    made = small()
    made.router = router
    with pytest.raises(FlistBroken, match=f"its router.yaml.*{problem}"):
        read(made.write(tmp_path / "a.flist"))


@pytest.mark.parametrize(
    "backend",
    [
        "", "null", "[]", "{", "[" * 50000, "{}", '{"host": ""}', '{"host": 5}', '{"host": "h", "port": "9"}',
        '{"host": "h", "port": 99999}', '{"host": "h", "port": -1}', '{"host": "a b/c"}', '{"host": "u@h"}',
        '{"host": "h", "namespace": 5}', '{"socket": "/run/x.sock"}', '{"host": "h\\u0020"}',
    ],
)  # fmt: skip
def test_a_backend_of_another_shape_is_refused(tmp_path: Path, backend: str):
    made = small()
    made.metadata["backend"] = backend
    with pytest.raises(FlistBroken, match="its metadata `backend`"):
        read(made.write(tmp_path / "a.flist"))


_WORDS = st.text(max_size=20) | st.sampled_from(
    ["pools", "lookup", "a", "00:FF", "zdb://h", "host", "port", "password"]
)
_SHAPES = st.recursive(
    _WORDS | st.integers() | st.none(),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(_WORDS, inside, max_size=4),
    max_leaves=20,
)


@given(_SHAPES | st.text(max_size=100))
@settings(max_examples=60, deadline=None)
def test_no_shape_of_routing_is_more_than_refused(shape: object):
    text = (shape if isinstance(shape, str) else json.dumps(shape)).encode(errors="replace")
    for parse in (routing.from_router, routing.from_backend):
        try:
            parse(text)
        except ValueError:
            continue


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("dir:///etc", "it is a folder of this machine"),
        ("zdb:///run/x.sock", "are spoken here"),
        ("ftp://example.org", "are spoken here"),
        ("zdb://10.1.2.3:9900", "10.1.2.3 is not a public address"),
        ("http://169.254.169.254/", "is not a public address"),
    ],
)
def test_an_archive_sends_the_node_no_more_inwards_than_other_flists(tmp_path: Path, url: str, problem: str):
    made = small()
    made.router = f"pools: {{a: {{'00:FF': '{url}'}}}}\nlookup: [a]".encode()
    made.records[key(b"etc")] = archives.listing([Item(b"x", FILE, 1, blocks=made.keep_file(b"x"))], b"etc")
    made.records[key(b"")] = archives.listing([ETC, Item(b".startup.toml", FILE, 1, blocks=made.keep_file(b"#"))])
    path = made.write(tmp_path / "a.flist")
    (tmp_path / "out").mkdir()
    with pytest.raises(FetchForbidden, match=problem):
        compile_flist(path, tmp_path / "out", tmp_path / "cache", StorePolicy())


def test_an_archive_is_compiled_with_what_its_store_gives(tmp_path: Path):
    made = Archive()
    startup = b'[startup.entry.args]\nname = "/sbin/init"\nenv = {A = "b"}\n'
    made.keep_folder(b"", [Item(b".startup.toml", FILE, len(startup), blocks=made.keep_file(startup))])
    path = made.write(tmp_path / "a.flist")
    (tmp_path / "out").mkdir()
    with serving(made.blobs) as server:
        store = f"zdb://127.0.0.1:{server.port}"
        info = compile_flist(path, tmp_path / "out", tmp_path / "cache", HERE, store=store)
    assert (info.entrypoint, info.env, info.nodes, info.size) == ("/sbin/init", {"A": "b"}, 2, len(startup))
    assert info.routes == (Route(0, 255, store),)
    assert sorted(left.name for left in (tmp_path / "out").iterdir()) == ["index", "info.json"]


@pytest.mark.parametrize(
    "harm",
    [
        lambda blob: b"", lambda blob: blob[:-4], lambda blob: blob[:-1], lambda blob: blob + bytes(4),
        lambda blob: bytes([blob[0] ^ 1]) + blob[1:], lambda blob: bytes(len(blob)), lambda blob: bytes(700_000),
        lambda blob: archives.seal(b"another")[2],
    ],
)  # fmt: skip
def test_a_changed_block_is_noticed(harm: Callable[[bytes], bytes]):
    id, secret, blob = archives.seal(b"content" * 10)
    with pytest.raises(BlockCorrupt, match=f"block {id.hex()} is not"):
        unseal(harm(blob), wide(id), wide(secret), 70)


def test_a_block_of_another_length_or_under_another_key_is_noticed():
    id, secret, blob = archives.seal(b"content")
    with pytest.raises(BlockCorrupt, match="it has 7 bytes, the flist says 8"):
        unseal(blob, wide(id), wide(secret), 8)
    with pytest.raises(BlockCorrupt):
        unseal(blob, wide(id), wide(bytes(15) + b"k"), 7)


@given(st.binary(min_size=1, max_size=5000))
@settings(max_examples=50, deadline=None)
def test_every_block_that_was_sealed_comes_back(plain: bytes):
    id, secret, blob = archives.seal(plain)
    assert unseal(blob, wide(id), wide(secret), len(plain)) == plain


@given(st.binary(max_size=300), st.binary(min_size=16, max_size=16))
@settings(max_examples=50, deadline=None)
def test_garbage_is_no_block(blob: bytes, secret: bytes):
    with pytest.raises(BlockCorrupt):
        unseal(blob, wide(bytes(15) + b"i"), wide(secret), 100)
