"""Archives of 0-fs: what they become, what is refused, and what each may cost."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zos.flist import records
from zos.flist.archive import convert
from zos.flist.block import unseal
from zos.flist.errors import FlistBroken
from zos.flist.fl import Flist
from zos.flist.layout import BLOCK_SIZE, Node, Route
from zos.flist.tests import archives
from zos.flist.tests.archives import FILE, FOLDER, LINK, SPECIAL, Archive, Item, key
from zos.flist.tests.trees import ETC, STORE, read, small, wide

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
