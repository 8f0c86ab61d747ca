"""Spoilt, forged and oversized archives are refused, and cost little."""

from __future__ import annotations

import gzip
import os
import struct
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zos.flist import records, unpack
from zos.flist.archive import convert
from zos.flist.errors import FlistBroken
from zos.flist.fl import Limits
from zos.flist.records import BadRecord
from zos.flist.tests import archives
from zos.flist.tests.archives import FILE, FOLDER, LINK, SPECIAL, Archive, Item, key
from zos.flist.tests.trees import STORE, read, small

PAIR = (bytes(16), b"k" * 16)


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
