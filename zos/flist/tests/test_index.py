"""The index says what the flist said, and paths inside never lead out."""

from __future__ import annotations

import posixpath
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zos.flist import index, inside
from zos.flist.errors import FlistBroken
from zos.flist.fl import Flist, Writer, read
from zos.flist.index import Index
from zos.flist.layout import Node, Ref

DIR, FILE, LINK = stat.S_IFDIR | 0o755, stat.S_IFREG | 0o640, stat.S_IFLNK | 0o777


def tree_of(folder: Path, paths: dict[str, str | int]) -> Index:
    """A tree of files (their size) and links (their target)."""
    with Writer(folder / "t.fl") as writer:
        made = {"": writer.add(Node(0, b"/", DIR))}
        for path, what in sorted(paths.items()):
            parent = ""
            for part in path.split("/")[:-1]:
                here = f"{parent}/{part}" if parent else part
                if here not in made:
                    made[here] = writer.add(Node(made[parent], part.encode(), DIR))
                parent = here
            name = path.split("/")[-1].encode()
            if isinstance(what, str):
                writer.add(Node(made[parent], name, LINK), what.encode())
            else:
                ino = writer.add(Node(made[parent], name, FILE, mtime=-1))
                pairs = [(bytes([n]) * 32, bytes([n + 100]) * 32) for n in range(-(-what // 524288))]
                writer.blocks(ino, what, pairs)
    return written(folder, read(folder / "t.fl"))


def written(folder: Path, flist: Flist) -> Index:
    path = folder / "index"
    path.write_bytes(b"".join(index.build(flist.nodes, flist.blocks, flist.targets, flist.xattrs)))
    return Index(path)


def test_every_name_is_found_and_no_other(tmp_path: Path):
    names = {f"d/{number:03}": number for number in range(100)}
    with tree_of(tmp_path, {**names, "z": 0}) as tree:
        folder = tree.lookup(1, b"d")
        for number in range(100):
            found = tree.lookup(folder, f"{number:03}".encode())
            assert tree.node(found).size == number
        for name in (b"", b"0", b"0000", b"100", b"zzz", b"..", b"\xff"):
            assert tree.lookup(folder, name) == 0
        assert tree.lookup(tree.lookup(1, b"z"), b"000") == 0
        assert [path for _, path, _ in tree.walk()][:4] == ["/", "/d", "/z", "/d/000"]


def test_blocks_are_named_in_order_and_the_last_one_is_short(tmp_path: Path):
    with tree_of(tmp_path, {"a": 5, "b": 524288 + 9}) as tree:
        node = tree.node(tree.lookup(1, b"b"))
        assert tree.ref(node, 0) == Ref(bytes(32), bytes([100]) * 32, 524288)
        assert tree.ref(node, 1) == Ref(bytes([1]) * 32, bytes([101]) * 32, 9)
        assert node.mtime == -1
        assert len(list(tree.keys())) == 3


@pytest.mark.parametrize("number", [0, -1, 5, 1 << 40])
def test_a_number_that_was_never_given_is_an_error(tmp_path: Path, number: int):
    with tree_of(tmp_path, {"a": 1, "b/c": 1}) as tree, pytest.raises(IndexError):
        tree.node(number)


@pytest.mark.parametrize("spoil", [lambda d: d[:-1], lambda d: d[:40], lambda d: d + b"x", lambda d: d[:-1] + b"\xff"])
def test_a_torn_index_is_seen(tmp_path: Path, spoil):
    with tree_of(tmp_path, {"a": 1}):
        path = tmp_path / "index"
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(FlistBroken, match="torn"):
        Index(path)


PATHS: dict[str, str | int] = {
    "etc/passwd": 3,
    "boot/vmlinuz-6": 3,
    "boot/vmlinuz": "vmlinuz-6",
    "boot/abs": "/boot/vmlinuz",
    "boot/up": "../../../../etc/passwd",
    "boot/nowhere": "/root/secret",
    "loop": "loop",
    "ping": "pong",
    "pong": "ping",
    "self": ".",
    "through": "etc/passwd/x",
    "dir": "etc",
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/etc/passwd", "/etc/passwd"),
        ("boot/vmlinuz", "/boot/vmlinuz-6"),
        ("boot/abs", "/boot/vmlinuz-6"),
        ("boot/up", "/etc/passwd"),
        ("../../etc/passwd", "/etc/passwd"),
        ("dir/passwd", "/etc/passwd"),
        ("self/self/./etc//passwd", "/etc/passwd"),
        ("boot/nowhere", ""),
        ("loop", ""),
        ("ping", ""),
        ("through", ""),
        ("etc/passwd/..", ""),
        ("etc", ""),
    ],
)
def test_paths_are_resolved_with_the_flist_as_the_root(tmp_path: Path, path: str, found: str):
    with tree_of(tmp_path, PATHS) as tree:
        number = inside.regular(tree, path.encode())
        assert (inside.path_of(tree, number) if number else "") == found


PART = st.sampled_from(["a", "b", "c", "..", "."])


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(st.sampled_from(["a", "b", "c"]), st.lists(PART, min_size=1, max_size=4), max_size=3),
    st.booleans(),
    st.lists(PART, max_size=6),
)
def test_no_web_of_links_hangs_or_leads_out(tmp_path: Path, links: dict[str, list[str]], rooted: bool, path: list[str]):
    targets: dict[str, str | int] = {
        f"a/{name}": ("/" if rooted else "") + "/".join(target) for name, target in links.items()
    }
    with tree_of(tmp_path, {**targets, "b/file": 1}) as tree:
        number = inside.resolve(tree, "/".join(path).encode())
        if number:
            assert posixpath.normpath(inside.path_of(tree, number)) == inside.path_of(tree, number)
