"""Reading untrusted flists: what is right comes back as it was, what cannot be is refused with a reason."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zos.flist.errors import FlistBroken
from zos.flist.fl import SCHEMA, Flist, Limits, Writer, read
from zos.flist.layout import Node, Route

DIR, FILE, LINK = stat.S_IFDIR | 0o755, stat.S_IFREG | 0o644, stat.S_IFLNK | 0o777
PAIR = (b"i" * 32, b"k" * 32)


def write(path: Path) -> Path:
    """`/`, `/etc`, `/etc/hosts` (5 bytes), `/bin` -> `usr/bin`."""
    with Writer(path) as writer:
        root = writer.add(Node(0, b"/", DIR, mtime=7))
        etc = writer.add(Node(root, b"etc", DIR, uid=3, gid=4))
        hosts = writer.add(Node(etc, b"hosts", FILE), xattrs={b"user.a": b"b"})
        writer.blocks(hosts, 5, [PAIR])
        writer.add(Node(root, b"bin", LINK, size=7), b"usr/bin")
        writer.route(Route(0, 255, "http://hub/blocks"))
        writer.tag("version", "1")
    return path


def change(path: Path, *statements: str) -> Path:
    """A written flist, spoilt."""
    database = sqlite3.connect(write(path))
    for statement in statements:
        database.execute(statement)
    database.commit()
    database.close()
    return path


def test_what_was_written_comes_back_in_index_order(tmp_path: Path):
    flist = read(write(tmp_path / "a.fl"))
    assert [node.name for node in flist.nodes] == [b"", b"bin", b"etc", b"hosts"]
    root, link, etc, hosts = flist.nodes
    assert (root.first, root.count, root.nlink, root.mtime) == (2, 2, 3, 7)
    assert (etc.parent, etc.uid, etc.gid, etc.first, etc.count) == (1, 3, 4, 4, 1)
    assert (hosts.parent, hosts.size, hosts.first, hosts.count, hosts.nlink) == (3, 5, 0, 1, 1)
    assert (link.size, flist.targets) == (7, {2: b"usr/bin"})
    assert flist.blocks == PAIR[0] + PAIR[1]
    assert (flist.routes, flist.tags, flist.xattrs) == (
        (Route(0, 255, "http://hub/blocks"),),
        {"version": "1"},
        {4: {b"user.a": b"b"}},
    )


def test_the_tables_are_those_of_rfs(tmp_path: Path):
    database = sqlite3.connect(write(tmp_path / "a.fl"))
    columns = {
        table: [(row[1], row[2]) for row in database.execute(f"PRAGMA table_info({table})")]
        for table in ("inode", "extra", "block", "tag", "route")
    }
    assert [name for name, _ in columns["inode"]] == (
        ["ino", "parent", "name", "size", "uid", "gid", "mode", "rdev", "ctime", "mtime"]
    )
    assert columns["extra"] == [("ino", "INTEGER"), ("data", "VARCHAR(4096)")]
    assert columns["block"] == [("ino", "INTEGER"), ("id", "VARCHAR(32)"), ("key", "VARCHAR(32)")]
    assert columns["route"] == [("start", "INTEGER"), ("end", "INTEGER"), ("url", "VARCHAR(2048)")]
    row = database.execute("SELECT ino, parent, name, typeof(name) FROM inode ORDER BY ino").fetchone()
    assert row == (1, 0, "/", "text")
    assert database.execute("SELECT typeof(id), typeof(key) FROM block").fetchone() == ("blob", "blob")
    assert database.execute("SELECT typeof(data) FROM extra").fetchone() == ("blob",)
    assert database.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    database.close()


def test_a_failed_writing_leaves_nothing(tmp_path: Path):
    writer = Writer(tmp_path / "a.fl")
    writer.add(Node(0, b"/", DIR))
    writer.__exit__(RuntimeError, RuntimeError(), None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE inode SET name='..' WHERE ino=3", "cannot be called"),
        ("UPDATE inode SET name='.' WHERE ino=3", "cannot be called"),
        ("UPDATE inode SET name='a/b' WHERE ino=3", "cannot be called"),
        ("UPDATE inode SET name=CAST(x'610062' AS BLOB) WHERE ino=3", "cannot be called"),
        ("UPDATE inode SET name='' WHERE ino=3", "the name of inode 3"),
        ("UPDATE inode SET name=NULL WHERE ino=3", "the name of inode 3"),
        ("UPDATE inode SET name=zeroblob(256) WHERE ino=3", "the name of inode 3"),
        ("UPDATE inode SET parent=99 WHERE ino=3", "the root does not lead to inode 3"),
        ("UPDATE inode SET parent=3 WHERE ino=2", "the root does not lead to inode"),
        ("UPDATE inode SET parent=2 WHERE ino=2", "the root does not lead to inode"),
        ("UPDATE inode SET parent=4 WHERE ino=3", "inode 4 is no folder"),
        ("UPDATE inode SET parent=-1 WHERE ino=3", "the parent of inode 3 is -1"),
        ("UPDATE inode SET ino=-5 WHERE ino=4", "an inode's number is -5"),
        ("DELETE FROM inode WHERE ino=1", "no root"),
        ("UPDATE inode SET mode=33188 WHERE ino=1", "no root"),
        ("UPDATE inode SET size=-1 WHERE ino=3", "the size of inode 3 is -1"),
        ("UPDATE inode SET size=9223372036854775807 WHERE ino=3", "the size of inode 3"),
        ("UPDATE inode SET size=1e300 WHERE ino=3", "the size of inode 3"),
        ("UPDATE inode SET size='many' WHERE ino=3", "the size of inode 3"),
        ("UPDATE inode SET size=524289 WHERE ino=3", "file 3 of 524289 bytes has 1 blocks"),
        ("UPDATE inode SET size=0 WHERE ino=3", "file 3 of 0 bytes has 1 blocks"),
        ("UPDATE inode SET mode=0 WHERE ino=3", "the mode of inode 3 is 0"),
        ("UPDATE inode SET mode=1<<40 WHERE ino=3", "the mode of inode 3"),
        ("UPDATE inode SET uid=-1 WHERE ino=3", "the owner of inode 3"),
        ("UPDATE inode SET gid=1<<32 WHERE ino=3", "the group of inode 3"),
        ("UPDATE inode SET mtime='now' WHERE ino=3", "a time of inode 3"),
        ("UPDATE block SET id=zeroblob(31)", "a block's id"),
        ("UPDATE block SET key=NULL", "a block's key"),
        ("UPDATE block SET ino=2", "which is no file"),
        ("UPDATE block SET ino=77", "which is no file"),
        ("DELETE FROM block", "file 3 of 5 bytes has 0 blocks"),
        ("DELETE FROM extra", "link 4 has no target"),
        ("UPDATE extra SET data=''", "the target of link 4"),
        ("UPDATE extra SET data=zeroblob(5000)", "the target of link 4"),
        ("UPDATE extra SET data=zeroblob(5)", "the target of link 4"),
        ("UPDATE route SET start=-1", "a route's start"),
        ("UPDATE route SET end=256", "a route's end"),
        ("UPDATE route SET url=NULL", "a route's URL"),
        ("DROP TABLE route", "no table route"),
        ("CREATE VIEW v AS SELECT 1", "it holds a view, v"),
        ("CREATE TRIGGER t AFTER INSERT ON tag BEGIN SELECT 1; END", "it holds a trigger, t"),
        ("UPDATE inode SET name=zeroblob(2000000) WHERE ino=3", "too big"),
        ("INSERT INTO xattr VALUES (99, x'61', x'62')", "an attribute belongs to inode 99"),
        ("UPDATE xattr SET value=zeroblob(5000)", "an attribute"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, statement: str, problem: str):
    with pytest.raises(FlistBroken, match=problem):
        read(change(tmp_path / "a.fl", statement))


def test_a_table_that_is_a_view_is_refused(tmp_path: Path):
    path = tmp_path / "a.fl"
    database = sqlite3.connect(path)
    database.executescript(SCHEMA)
    database.execute("DROP TABLE block")
    database.execute("CREATE VIEW block AS SELECT 1 AS ino, x'' AS id, x'' AS key FROM inode")
    database.close()
    with pytest.raises(FlistBroken, match="it holds a view, block"):
        read(path)


def test_more_than_the_limits_is_refused(tmp_path: Path):
    path = write(tmp_path / "a.fl")
    with pytest.raises(FlistBroken, match="more than 3 rows"):
        read(path, Limits(nodes=3))
    with pytest.raises(FlistBroken, match="more than 0 rows"):
        read(path, Limits(blocks=0))


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda data: data[: len(data) // 2], "malformed|disk image"),
        (lambda data: b"", "another kind of file"),
        (lambda data: b"\x1f\x8b" + data, "another kind of file"),
        (lambda data: os.urandom(4096), "another kind of file"),
        (lambda data: data[:16] + os.urandom(len(data) - 16), "malformed|not a database|disk|encrypted"),
    ],
    ids=["truncated", "empty", "old", "noise", "noise-after-the-magic"],
)
def test_torn_and_other_files_are_refused(tmp_path: Path, spoil: Callable[[bytes], bytes], problem: str):
    path = write(tmp_path / "a.fl")
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(FlistBroken, match=problem):
        read(path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(16, 1 << 16), st.integers(0, 255)), min_size=1, max_size=40))
def test_a_spoilt_file_is_read_or_refused_and_nothing_else(tmp_path: Path, spots: list[tuple[int, int]]):
    path = write(tmp_path / "a.fl")
    data = bytearray(path.read_bytes())
    for at, value in spots:
        data[16 + at % (len(data) - 16)] = value
    path.write_bytes(bytes(data))
    try:
        flist = read(path)
    except FlistBroken:
        return
    holds_together(flist)


def holds_together(flist: Flist) -> None:
    """What everything behind the reader relies on."""
    assert stat.S_ISDIR(flist.nodes[0].mode)
    for number, node in enumerate(flist.nodes, 1):
        assert number == 1 or node.parent < number
        assert number == 1 or stat.S_ISDIR(flist.nodes[node.parent - 1].mode)
        if stat.S_ISREG(node.mode):
            assert node.count == -(-node.size // 524288)
            assert (node.first + node.count) * 64 <= len(flist.blocks)
        if stat.S_ISLNK(node.mode):
            assert flist.targets[number]


def test_of_equal_names_the_first_is_shown_and_what_is_below_the_others_is_not(tmp_path: Path):
    """As rfs writes two names that are no UTF-8: both become U+FFFD."""
    path = tmp_path / "a.fl"
    with Writer(path) as writer:
        root = writer.add(Node(0, b"/", DIR))
        for number in range(3):
            folder = writer.add(Node(root, "\ufffd".encode(), DIR, uid=number))
            file = writer.add(Node(folder, b"file", FILE), xattrs={b"user.a": b"b"})
            writer.blocks(file, 5, [PAIR])
            writer.add(Node(folder, b"link", LINK, size=1), b"x")
    flist = read(path)
    assert [node.name for node in flist.nodes] == [b"", "\ufffd".encode(), b"file", b"link"]
    assert flist.nodes[1].uid == 0
    assert flist.hidden == 6
