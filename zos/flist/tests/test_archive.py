"""0-fs' archives: what the real writer wrote is read, hostile ones are refused with the reason, and nothing loops."""

from __future__ import annotations

import gzip
import json
import os
import stat
import struct
import tarfile
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zos.fetch.errors import FetchForbidden
from zos.flist import records, routing, unpack
from zos.flist.archive import convert
from zos.flist.block import unseal
from zos.flist.compile import compile_flist, read_any
from zos.flist.errors import BlockCorrupt, FlistBroken
from zos.flist.fl import Flist, Limits
from zos.flist.layout import BLOCK_SIZE, DIGEST, Node, Route
from zos.flist.policy import StorePolicy
from zos.flist.records import BadRecord
from zos.flist.tests import archives
from zos.flist.tests.archives import FILE, FOLDER, LINK, SPECIAL, Archive, Item, key
from zos.flist.tests.blockserver import serving

STORE = "zdb://store.example:9900"
HERE = StorePolicy(("127.0.0.1",))

# Written by 0-flist's zflist (development-v2): the record of a folder `etc/deep/er` with one file, an access list of
# the user 12 and the group `backup`, and what a 0-db then held of the file.
LISTING = bytes.fromhex(
    "0000000027000000500000000200050004000000030003000400000000000000010000005ec8096b5ec8096b000000002d0000002a000000"
    "2000000001000100290000008a000000040000000000020005000000820000000900000082000000c8f3afa75a65720c76d571dfc8085998"
    "ea3f7090d7501dff33a6d18f6164155c8000000000000000ddffffff1700000066696c650000000035663634636631333839643135343731"
    "000000000000000000100000000000005ec8096b5ec8096b110000001a00000011000000620000009dffffff37000000110000000a010000"
    "210000008a00000065720000000000006574632f646565702f65720000000000663264373265376331306635613461626232316562336130"
    "3037633032353832000000000000000064373638336465303030633133363839" + "0000000000000000"
)
ACL = bytes.fromhex(
    "00000000090000000000000003000300ed09000000000000f3ffffffffffffffddffffffffffffff"
    "090000001a000000090000003a000000000000000000000031320000000000006261636b75700000"
)
ID, KEY = bytes.fromhex("c8f3afa75a65720c76d571dfc8085998"), bytes.fromhex("ea3f7090d7501dff33a6d18f6164155c")
BLOB = bytes.fromhex("38f06ce2e49df9a2ee99c70b")


def wide(digest: bytes) -> bytes:
    return digest.ljust(DIGEST, b"\0")


def test_what_the_real_writer_wrote_is_read():
    (entry,) = records.listing(LISTING).entries
    assert entry == records.Entry(b"file", 4, b"5f64cf1389d15471", 1795803230, 1795803230, records.File(((ID, KEY),)))
    assert records.listing(LISTING).acl == archives.acl_key(0o755, 0, 0)
    assert records.acl(ACL) == records.Acl(b"12", b"backup", 0o4755, 12, 34)
    assert unseal(BLOB, wide(ID), wide(KEY), 4) == b"deep"


def test_the_tests_own_writer_agrees_with_the_real_one():
    real = records.listing(LISTING)
    items = [Item(b"file", FILE, 4, b"5f64cf1389d15471", 1795803230, 1795803230, [(ID, KEY)])]
    mine = archives.listing(items, b"etc/deep/er", real.acl, real.mtime, real.ctime, key(b"etc/deep"))
    assert records.listing(mine) == real
    assert len(mine) == len(LISTING)
    assert archives.acl(0o4755, 12, 34, b"12", b"backup") == ACL
    assert archives.acl_key(0o644, 0, 0) == b"5f64cf1389d15471"
    assert archives.seal(b"deep") == (ID, KEY, BLOB)
    assert key(b"") == b"cae66941d9efbd404e4d88758ea67670"


def a_tree(folder: Path) -> Path:
    root = folder / "source"
    (root / "etc/deep/er").mkdir(parents=True)
    (root / "etc/hosts").write_bytes(b"127.0.0.1 localhost\n")
    (root / "etc/link").symlink_to("../../up")
    (root / "etc/deep/er/file").write_bytes(b"deep")
    (root / "big").write_bytes(os.urandom(BLOCK_SIZE) + b"tail")
    (root / "empty").touch()
    (root / "setuid").write_bytes(b"#!/bin/sh\n")
    (root / "setuid").chmod(0o6755)
    (root / "tmp").mkdir(mode=0o777)
    (root / "tmp").chmod(0o1777)
    (root / os.fsdecode(b"na\xffme")).touch()
    os.mkfifo(root / "pipe")
    os.utime(root / "etc/hosts", (5, 7))
    root.chmod(0o751)
    return root


def read(path: Path) -> Flist:
    flist = read_any(path, path.parent, STORE)
    assert [left.name for left in path.parent.iterdir() if left.name.startswith(".")] == []
    return flist


def paths(flist: Flist) -> dict[bytes, Node]:
    found: dict[bytes, Node] = {b"": flist.nodes[0]}
    full = {1: b""}
    for number, node in enumerate(flist.nodes[1:], 2):
        full[number] = full[node.parent] + b"/" + node.name
        found[full[number]] = node
    return found


def test_an_archive_becomes_the_tree_that_it_was_made_of(tmp_path: Path):
    source = a_tree(tmp_path)
    archive = Archive().take(source)
    flist = read(archive.write(tmp_path / "a.flist"))
    found = paths(flist)
    assert {os.fsencode(path) for path in source.rglob("*")} == {os.fsencode(source) + path for path in found if path}
    for path, node in found.items():
        seen = os.lstat(os.fsencode(source) + path)
        kind = stat.S_IFSOCK if stat.S_ISFIFO(seen.st_mode) else stat.S_IFMT(seen.st_mode)
        assert node.mode == kind | stat.S_IMODE(seen.st_mode), path
        assert (node.uid, node.gid) == (seen.st_uid, seen.st_gid)
        assert (node.mtime, node.ctime) == (int(seen.st_mtime), int(seen.st_ctime))
        if stat.S_ISREG(seen.st_mode):
            assert node.size == seen.st_size
            refs = [flist.blocks[64 * at : 64 * at + 64] for at in range(node.first, node.first + node.count)]
            sizes = [min(BLOCK_SIZE, node.size - BLOCK_SIZE * at) for at in range(node.count)]
            content = b"".join(
                unseal(archive.blobs[ref[:16]], ref[:32], ref[32:], size) for ref, size in zip(refs, sizes, strict=True)
            )
            assert content == Path(os.fsdecode(os.fsencode(source) + path)).read_bytes()
    assert flist.targets == {[*found].index(b"/etc/link") + 1: b"../../up"}
    assert flist.routes == (Route(0, 255, STORE),)


def test_the_content_tells_the_kinds_apart_whatever_they_are_called(tmp_path: Path):
    made = Archive().take(a_tree(tmp_path)).write(tmp_path / "really.fl")
    assert len(read(made).nodes) == 13
    converted = tmp_path / "converted.flist"
    convert(made, converted, STORE)
    assert len(read(converted).nodes) == 13


def small(**changes: object) -> Archive:
    """An archive with `/`, `/etc` and `/etc/hosts`; `changes` are fields of the last."""
    made = Archive()
    hosts = Item(b"hosts", FILE, 5, made.keep_acl(0o644), 7, 8, made.keep_file(b"hosts"))
    made.keep_folder(b"etc", [replace(hosts, **changes)])  # type: ignore[arg-type]
    made.keep_folder(b"", [Item(b"etc", FOLDER, acl=made.keep_acl(0o755), text=key(b"etc"))])
    return made


def spoilt(**changes: object) -> Callable[[], Archive]:
    return lambda: small(**changes)


def with_record(name: bytes, value: object) -> Callable[[], Archive]:
    def make() -> Archive:
        made = small()
        made.records[name] = value  # type: ignore[assignment]
        return made

    return make


def in_root(*items: Item) -> Callable[[], Archive]:
    return with_record(key(b""), archives.listing(items))


PAIR = (bytes(16), b"k" * 16)
ETC = Item(b"etc", FOLDER, text=key(b"etc"))


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (spoilt(name=b"a/b"), r"/etc holds something that cannot be called b'a/b'"),
        (spoilt(name=b".."), r"/etc holds something that cannot be called b'\.\.'"),
        (spoilt(name=b"."), "cannot be called"),
        (spoilt(name=b""), "cannot be called"),
        (spoilt(name=b"a\0b"), "cannot be called"),
        (spoilt(name=b"n" * 256), "cannot be called"),
        (spoilt(size=BLOCK_SIZE + 1), "/etc/hosts of 524289 bytes has 1 blocks"),
        (spoilt(size=0), "/etc/hosts of 0 bytes has 1 blocks"),
        (spoilt(size=(1 << 64) - 1), "/etc/hosts of 18446744073709551615 bytes"),
        (spoilt(blocks=[(b"short", b"k" * 16)]), "a block of b'hosts' is named by 16 bytes|named by 5 bytes"),
        (spoilt(blocks=[(b"i" * 32, b"k" * 32)]), "named by 32 bytes"),
        (spoilt(what=LINK, text=b""), "/etc/hosts points to b''"),
        (spoilt(what=LINK, text=b"a\0b"), "/etc/hosts points to"),
        (spoilt(what=LINK, text=b"x" * 4096), "/etc/hosts points to"),
        (spoilt(what=SPECIAL, kind=4, text=b""), "/etc/hosts is of a kind that is not known, 4"),
        (spoilt(what=SPECIAL, kind=2, text=b"1;3"), "/etc/hosts is the device b'1;3'"),
        (spoilt(what=SPECIAL, kind=1, text=b"9999,0"), "is the device"),
        (spoilt(what=9), "/etc has a record that cannot be read: b'hosts' in it is of an unknown kind"),
        (spoilt(what=FOLDER, text=key(b"")), "/etc/hosts is a folder that was there before"),
        (spoilt(what=FOLDER, text=key(b"etc")), "/etc/hosts is a folder that was there before"),
        (spoilt(what=FOLDER, text=key(b"else")), "/etc/hosts has no record"),
        (spoilt(what=FOLDER, text=b""), "/etc/hosts has no record"),
        (in_root(ETC, ETC), "/ holds b'etc' twice"),
        (in_root(ETC, Item(b"again", FOLDER, text=key(b"etc"))), "/again is a folder that was there before"),
        (with_record(key(b"etc"), b""), "/etc has a record that cannot be read"),
        (with_record(key(b"etc"), LISTING[:-8]), "/etc has a record that cannot be read"),
        (with_record(key(b"etc"), b"\xff" * 64), "/etc has a record that cannot be read"),
        (with_record(key(b"etc"), 5), "/etc has no record"),
        (with_record(key(b"etc"), None), "/etc has no record"),
        (with_record(archives.acl_key(0o644, 0, 0), b"torn"), "/etc/hosts has an access list that cannot be read"),
        (with_record(archives.acl_key(0o644, 0, 0), archives.acl(0, -2)), "/etc/hosts belongs to -2:0"),
        (with_record(archives.acl_key(0o644, 0, 0), archives.acl(0, 0, 1 << 40)), "belongs to 0:1099511627776"),
        (Archive, "/ has no record"),
    ],
)
def test_what_cannot_be_is_refused_with_its_path(tmp_path: Path, make: Callable[[], Archive], problem: str):
    path = make().write(tmp_path / "a.flist")
    with pytest.raises(FlistBroken, match=f"^a.flist is no usable flist: .*({problem})"):
        read(path)
    assert [left.name for left in tmp_path.iterdir()] == ["a.flist"]


@pytest.mark.parametrize(
    ("item", "mode", "owner"),
    [
        (Item(b"x", acl=b""), 0o100444, (0, 0)),
        (Item(b"x", acl=b"gone"), 0o100444, (0, 0)),
        (Item(b"x", acl=b"named"), 0o100640, (0, 1000)),
        (Item(b"x", acl=b"numbered"), 0o100600, (12, 1000)),
        (Item(b"x", acl=b"older"), 0o100604, (0, 1000)),
        (Item(b"x", acl=b"bits"), 0o107777, (1, 2)),
        (Item(b"x", SPECIAL, acl=b"named", kind=2, text=b"1,3"), 0o20640, (0, 1000)),
        (Item(b"x", SPECIAL, acl=b"named", kind=1, text=b"8,0"), 0o60640, (0, 1000)),
        (Item(b"x", SPECIAL, acl=b"named", kind=3), 0o10640, (0, 1000)),
        (Item(b"x", LINK, acl=b"named", text=b"y"), 0o120777, (0, 1000)),
    ],
)
def test_modes_and_owners_are_whole_and_names_of_people_mean_root_or_1000(
    tmp_path: Path, item: Item, mode: int, owner: tuple[int, int]
):
    made = Archive()
    made.records |= {
        b"named": archives.acl(0o640, -1, -1, b"root", b"adm"),
        b"numbered": archives.acl(0o600, -1, -1, b"12", b""),
        b"bits": archives.acl(0o177777, 1, 2),
        b"older": without_ids(0o604),
        key(b""): archives.listing([item]),
    }
    root, node = read(made.write(tmp_path / "a.flist")).nodes
    assert (node.mode, (node.uid, node.gid)) == (mode, owner)
    assert root.mode == stat.S_IFDIR | 0o755
    if item.text in (b"1,3", b"8,0"):
        assert (os.major(node.rdev), os.minor(node.rdev)) == tuple(map(int, item.text.split(b",")))


def without_ids(mode: int) -> bytes:
    """An access list from before ids were written."""
    message = archives.Message()
    pointers = message.struct(0, struct.pack("<HxxI", mode, 0), 3)
    message.text(pointers, b"root")
    message.text(pointers + 1, b"staff")
    return message.framed()


def test_a_folder_nested_without_end_is_refused(tmp_path: Path):
    made, name = Archive(), b"n" * 250
    for depth in range(18):
        path = b"/".join([name] * depth)
        made.keep_folder(path, [Item(name, FOLDER, text=key(b"/".join([name] * (depth + 1))))])
    with pytest.raises(FlistBroken, match="is nested too deep"):
        read(made.write(tmp_path / "a.flist"))


@pytest.mark.parametrize(
    ("limits", "problem"),
    [
        (Limits(nodes=2), "more than 2 entries"),
        (Limits(blocks=0), "more than 0 blocks"),
        (Limits(size=4), "/etc/hosts of 5 bytes"),
    ],
)
def test_more_than_the_limits_is_refused(tmp_path: Path, limits: Limits, problem: str):
    path = small().write(tmp_path / "a.flist")
    with pytest.raises(FlistBroken, match=problem):
        convert(path, tmp_path / "out", STORE, limits)
    assert [left.name for left in tmp_path.iterdir()] == ["a.flist"]


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE VIEW v AS SELECT 1",
        "CREATE TRIGGER t AFTER INSERT ON entries BEGIN SELECT 1; END",
        "ALTER TABLE entries RENAME TO others",
        "ALTER TABLE entries RENAME COLUMN value TO worth",
    ],
)
def test_a_database_of_another_shape_is_refused(tmp_path: Path, statement: str):
    import sqlite3

    path = tmp_path / "database"
    path.write_bytes(archives.database(tmp_path / "d", small().records, {}))
    changed = sqlite3.connect(path)
    changed.execute(statement)
    changed.commit()
    changed.close()
    made = archives.pack(tmp_path / "a.flist", [("flistdb.sqlite3", path.read_bytes())])
    with pytest.raises(FlistBroken, match=r"it holds a|it has no table entries|no such column"):
        read(made)


def small_database(folder: Path) -> bytes:
    return archives.database(folder / "d", small().records, {})


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ([("../flistdb.sqlite3", b"")], r"a member is called b'\.\./flistdb\.sqlite3'"),
        ([("a/../../b", b"x")], "a member is called"),
        ([("/etc/passwd", b"x")], "a member is called b'/etc/passwd'"),
        ([("flistdb.sqlite3", None), ("./flistdb.sqlite3", None)], "two flistdb.sqlite3"),
        ([("router.yaml", b"a"), ("router.yaml", b"a")], "two router.yaml"),
        ([("router.yaml", b"#" * 70000)], "its router.yaml has 70000 bytes"),
        ([(f"m{number}", b"") for number in range(1001)], "more than 1000 members"),
        ([("other", b"x")], "it has no flistdb.sqlite3"),
        ([("deep/flistdb.sqlite3", None)], "it has no flistdb.sqlite3"),
        ([("flistdb.sqlite3", b"no database" * 100)], "not a database"),
        ([("flistdb.sqlite3", b"")], "has no table entries"),
    ],
)
def test_a_tar_of_another_shape_is_refused(tmp_path: Path, members: list[tuple[str, bytes | None]], problem: str):
    content = small_database(tmp_path)
    made = archives.pack(tmp_path / "a.flist", [(name, content if data is None else data) for name, data in members])
    with pytest.raises(FlistBroken, match=problem):
        read(made)


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda data: data[: len(data) // 2], "it is cut off"),
        (lambda data: data[:-9], "it is cut off"),
        (lambda data: data[:-4] + bytes(4), "incorrect length check"),
        (lambda data: data[:-8] + bytes(4) + data[-4:], "incorrect data check"),
        (lambda data: data + b"more", "something follows"),
        (lambda data: b"\x1f\x8b" + os.urandom(1000), "unknown compression|header|cut off|invalid"),
        (lambda data: b"\x1f\x8b", "it is cut off"),
        (lambda data: gzip.compress(gzip.decompress(data)[:-600]), "the tar in it is cut off"),
        (lambda data: gzip.compress(b"x" + gzip.decompress(data)), "a header in it is damaged|a number in a header"),
        (lambda data: gzip.compress(gzip.decompress(data)[:100]), "the tar in it is cut off"),
        (
            lambda data: gzip.compress(archives.member("flistdb.sqlite3", kind=tarfile.SYMTYPE)),
            "flistdb.sqlite3 in it is no regular file",
        ),
        # Sizes past eight octal digits are written another way, which no archive needs; below zero, too.
        (lambda data: gzip.compress(archives.member("a", 1 << 40)), "a number in a header"),
        (lambda data: gzip.compress(b""), "it has no flistdb.sqlite3"),
    ],
)
def test_a_torn_or_forged_archive_is_refused(tmp_path: Path, spoil: Callable[[bytes], bytes], problem: str):
    path = small().write(tmp_path / "a.flist")
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(FlistBroken, match=problem):
        read(path)


def test_padding_and_foreign_members_are_passed_over(tmp_path: Path):
    members = [("LOG", b"old"), ("flistdb.sqlite3", small_database(tmp_path)), ("later", b"x" * 513)]
    path = archives.pack(tmp_path / "a.flist", members, end=bytes(10240))
    path.write_bytes(path.read_bytes() + bytes(100))
    assert len(read(path).nodes) == 3


def test_a_bomb_ends_early_and_takes_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(unpack, "MAX_CONTENT", 20 << 20)
    path = tmp_path / "a.flist"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(archives.member("flistdb.sqlite3", 60 << 20))
        for _ in range(60):
            file.write(bytes(1 << 20))
    assert path.stat().st_size < 1 << 20
    tracemalloc.start()
    with pytest.raises(FlistBroken, match="unpacked it has more than 20 MiB"):
        read(path)
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


def test_a_record_that_points_to_one_place_many_times_stays_bounded():
    # Forty thousand files with the same thousand blocks: the library stops counting.
    pairs = [(bytes([number % 256]) * 16, b"k" * 16) for number in range(1000)]
    record = bytearray(archives.listing([Item(b"x", FILE, 0, b"", 0, 0, pairs), *[Item(b"y", FOLDER)] * 40000]))
    first = record.index(struct.pack("<QH", 0, FILE))
    target = first + 24 + 8
    offset = struct.unpack_from("<i", record, target)[0] >> 2
    for number in range(1, 40001):
        at = target + 48 * number
        struct.pack_into("<H", record, first + 48 * number + 8, FILE)
        struct.pack_into("<iHH", record, at, (offset - 6 * number) << 2, 1, 1)
    with pytest.raises(BadRecord, match=r"(?i)limit"):
        records.listing(bytes(record))


def test_a_record_with_elements_of_no_size_is_refused():
    message = archives.Message()
    pointers = message.struct(0, bytes(16), 5)
    tag = message.structs(pointers + 2, [b""], 0)[0] - 1
    framed = bytearray(message.framed())
    struct.pack_into("<iHH", framed, 8 + 8 * tag, (1 << 28) << 2, 0, 0)
    with pytest.raises(BadRecord, match="traversal limit"):
        records.listing(bytes(framed))


@given(st.binary(max_size=400) | st.builds(lambda data: data[: len(data) // 8 * 8], st.binary(max_size=400)))
@settings(max_examples=200, deadline=None)
def test_garbage_is_no_record(data: bytes):
    for parse in (records.listing, records.acl):
        try:
            parse(data)
        except BadRecord:
            continue


RECORD = archives.listing(
    [
        Item(b"file", FILE, 5, b"acl", 1, 2, [PAIR, PAIR]),
        Item(b"folder", FOLDER, text=b"key"),
        Item(b"link", LINK, text=b"to"),
        Item(b"null", SPECIAL, text=b"1,3"),
    ]
)


@given(
    st.lists(st.tuples(st.integers(0, len(RECORD) - 1), st.integers(0, 255)), max_size=8),
    st.integers(0, len(RECORD)),
)
@settings(max_examples=200, deadline=None)
def test_a_spoilt_record_is_refused_or_bounded(changes: list[tuple[int, int]], cut: int):
    data = bytearray(RECORD)
    for at, value in changes:
        data[at] = value
    try:
        found = records.listing(bytes(data[: cut or None]))
    except BadRecord:
        return
    assert len(found.entries) * records.ENTRY <= len(RECORD)


@given(st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), min_size=1, max_size=20), st.booleans())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_spoilt_archive_is_refused_or_still_a_tree(tmp_path: Path, changes: list[tuple[int, int]], in_database: bool):
    database = bytearray(small_database(tmp_path))
    if in_database:
        for at, value in changes:
            database[at % len(database)] = value
    path = archives.pack(tmp_path / "a.flist", [("flistdb.sqlite3", bytes(database))])
    if not in_database:
        tar = bytearray(gzip.decompress(path.read_bytes()))
        for at, value in changes:
            tar[at % 2048] = value
        path.write_bytes(gzip.compress(bytes(tar), 1))
    try:
        flist = read(path)
    except FlistBroken:
        return
    assert all(node.name and b"/" not in node.name for node in flist.nodes[1:])


@given(st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_tree_survives(tmp_path: Path, data: st.DataObject):
    names = st.binary(min_size=1, max_size=20).filter(lambda name: not {b"/", b"\0"} & {*map(bytes, zip(name))})
    made, want, waiting = Archive(), {b""}, [b""]
    while waiting:
        here = waiting.pop()
        items = []
        for name in data.draw(st.sets(names.filter(lambda name: name not in (b".", b"..")), max_size=4)):
            path = here + b"/" + name
            want.add(path)
            if len(want) < 12 and data.draw(st.booleans()):
                items.append(Item(name, FOLDER, text=key(path[1:])))
                waiting.append(path)
            else:
                content = data.draw(st.binary(max_size=3))
                items.append(Item(name, FILE, len(content), made.keep_acl(0o600), blocks=made.keep_file(content)))
        made.keep_folder(here[1:], items)
    assert set(paths(read(made.write(tmp_path / "a.flist")))) == want


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
        (b"pools: {a: {'00:FF': 'zdb://h'}}\nlookup: [" + b"a," * 1001 + b"]", "more than 1000 routes"),
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
