"""The kernel's questions and our answers, without a kernel."""

from __future__ import annotations

import errno
import stat
import struct
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zos.flist import index
from zos.flist.errors import BlockCorrupt
from zos.flist.fl import Writer, read
from zos.flist.index import Index
from zos.flist.layout import BLOCK_SIZE, Node, Ref
from zos.flistd.fuse import wire
from zos.flistd.fuse.tree import Tree

SIZE = BLOCK_SIZE * 6 + 100
DIR, FILE, LINK = stat.S_IFDIR | 0o755, stat.S_IFREG | 0o4711, stat.S_IFLNK | 0o777


class Blocks:
    """Block n is full of n's."""

    def __init__(self) -> None:
        self.wanted: list[int] = []
        self.read_: list[int] = []
        self.bad = -1

    def read(self, ref: Ref) -> bytes:
        self.read_.append(ref.id[0])
        if ref.id[0] == self.bad:
            raise BlockCorrupt(block=ref.id.hex(), problem="test")
        return bytes([ref.id[0]]) * ref.size

    def ahead(self, refs: Iterator[Ref]) -> None:
        self.wanted += [ref.id[0] for ref in refs]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    folder = tmp_path_factory.mktemp("fuse")
    with Writer(folder / "t.fl") as writer:
        root = writer.add(Node(0, b"/", DIR))
        file = writer.add(Node(root, b"file", FILE, uid=1, gid=2, mtime=5, ctime=6), xattrs={b"user.k": b"value"})
        writer.blocks(file, SIZE, [(bytes([n]) * 32, bytes(32)) for n in range(7)])
        writer.add(Node(root, b"link", LINK), b"/file")
        inside = writer.add(Node(root, b"many", DIR))
        for number in range(1000):
            writer.add(Node(inside, f"{number:04}".encode(), stat.S_IFIFO | 0o600))
    flist = read(folder / "t.fl")
    (folder / "index").write_bytes(b"".join(index.build(flist.nodes, flist.blocks, flist.targets, flist.xattrs)))
    with Index(folder / "index") as opened:
        yield opened


def ask(tree: Tree, opcode: int, node: int = 1, body: bytes = b"") -> tuple[int, bytes]:
    """The error and the body of an answer."""
    answer = tree.answer(wire.IN.pack(wire.IN.size + len(body), opcode, 77, node, 0, 0, 0, 0, 0) + body)
    assert answer is not None
    data = b"".join(answer)
    length, error, unique = wire.OUT.unpack_from(data)
    assert (length, unique) == (len(data), 77)
    return -error, data[wire.OUT.size :]


def look_up(tree: Tree, name: bytes, folder: int = 1) -> tuple[int, bytes]:
    error, body = ask(tree, wire.LOOKUP, folder, name + b"\0")
    assert (error, len(body)) == (0, 128)
    return struct.unpack_from("<Q", body)[0], body[40:]


def read_args(offset: int, size: int) -> bytes:
    return struct.pack("<QQIIQII", 0, offset, size, 0, 0, 0, 0)


def test_a_name_is_found_with_what_stat_shows(built: Index):
    number, attr = look_up(Tree(built, Blocks()), b"file")
    fields = struct.unpack("<QQQqqqIIIIIIIIII", attr)
    assert fields[:3] == (number, SIZE, -(-SIZE // 512))
    assert fields[3:6] == (5, 5, 6)
    assert fields[9:14] == (FILE, 1, 1, 2, 0)
    error, body = ask(Tree(built, Blocks()), wire.GETATTR, number)
    assert (error, body[16:]) == (0, attr)


def test_a_name_that_is_not_there_is_remembered(built: Index):
    error, body = ask(Tree(built, Blocks()), wire.LOOKUP, 1, b"nobody\0")
    assert error == 0
    assert struct.unpack_from("<QQQ", body) == (0, 0, wire.FOREVER)


@pytest.mark.parametrize(
    ("offset", "size"),
    [(0, 10), (BLOCK_SIZE - 5, 10), (0, 1 << 20), (SIZE - 50, 4096), (SIZE, 4096), (SIZE + 9, 1), (100, 1 << 20)],
)
def test_a_read_gives_the_right_bytes_of_all_its_blocks(built: Index, offset: int, size: int):
    tree = Tree(built, Blocks())
    whole = b"".join(bytes([n]) * min(BLOCK_SIZE, SIZE - n * BLOCK_SIZE) for n in range(7))
    error, body = ask(tree, wire.READ, look_up(tree, b"file")[0], read_args(offset, size))
    assert error == 0
    assert body == whole[offset : offset + size]


def test_who_reads_in_order_has_blocks_fetched_ahead(built: Index):
    blocks = Blocks()
    tree = Tree(built, blocks)
    file = look_up(tree, b"file")[0]
    ask(tree, wire.READ, file, read_args(0, 131072))
    assert blocks.wanted == [1, 2], "many only look at the head"
    blocks.wanted.clear()
    ask(tree, wire.READ, file, read_args(BLOCK_SIZE, 131072))
    assert blocks.wanted == [2, 3, 4, 5, 6]
    blocks.wanted.clear()
    ask(tree, wire.READ, file, read_args(BLOCK_SIZE * 4, 131072))
    assert blocks.wanted == [], "a jump is no reading in order"


def test_a_bad_block_is_an_input_error_and_the_others_are_read(built: Index):
    blocks = Blocks()
    blocks.bad = 1
    tree = Tree(built, blocks)
    file = look_up(tree, b"file")[0]
    assert ask(tree, wire.READ, file, read_args(BLOCK_SIZE, 10)) == (errno.EIO, b"")
    assert ask(tree, wire.READ, file, read_args(0, 2)) == (0, b"\0\0")


@pytest.mark.parametrize("plus", [False, True])
def test_a_folder_is_listed_whole_in_many_windows(built: Index, plus: bool):
    tree = Tree(built, Blocks())
    folder, names, offset = look_up(tree, b"many")[0], [], 0
    opcode = wire.READDIRPLUS if plus else wire.READDIR
    while True:
        error, body = ask(tree, opcode, folder, read_args(offset, 4096))
        assert error == 0
        assert len(body) <= 4096
        if not body:
            break
        at = 0
        while at < len(body):
            start = at + (128 if plus else 0)
            number, offset, length, kind = struct.unpack_from("<QQII", body, start)
            name = body[start + 24 : start + 24 + length]
            names.append(name)
            if name[:1] != b".":
                assert (number, kind) == (look_up(tree, name, folder)[0], stat.S_IFIFO >> 12)
                assert not plus or struct.unpack_from("<Q", body, at)[0] == number
            at = start + (24 + length + 7) // 8 * 8
    assert names == [b".", b"..", *(f"{number:04}".encode() for number in range(1000))]


def test_links_and_attributes_are_read(built: Index):
    tree = Tree(built, Blocks())
    assert ask(tree, wire.READLINK, look_up(tree, b"link")[0]) == (0, b"/file")
    file = look_up(tree, b"file")[0]
    assert ask(tree, wire.GETXATTR, file, struct.pack("<II", 0, 0) + b"user.k\0") == (0, struct.pack("<II", 5, 0))
    assert ask(tree, wire.GETXATTR, file, struct.pack("<II", 5, 0) + b"user.k\0") == (0, b"value")
    assert ask(tree, wire.GETXATTR, file, struct.pack("<II", 4, 0) + b"user.k\0")[0] == errno.ERANGE
    assert ask(tree, wire.GETXATTR, file, struct.pack("<II", 9, 0) + b"user.x\0")[0] == errno.ENODATA
    assert ask(tree, wire.LISTXATTR, file, struct.pack("<II", 99, 0)) == (0, b"user.k\0")


@pytest.mark.parametrize("opcode", [wire.OPEN, wire.OPENDIR, 16, 46, 9999])
def test_opening_is_left_to_the_kernel(built: Index, opcode: int):
    assert ask(Tree(built, Blocks()), opcode, 1, bytes(64)) == (errno.ENOSYS, b"")


def test_forgetting_wants_no_answer(built: Index):
    tree = Tree(built, Blocks())
    assert tree.answer(wire.IN.pack(wire.IN.size, wire.FORGET, 0, 1, 0, 0, 0, 0, 0)) is None


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 60), st.integers(0, 1 << 64 - 1), st.binary(max_size=80))
def test_no_question_is_too_odd(built: Index, opcode: int, node: int, body: bytes):
    message = wire.IN.pack(wire.IN.size + len(body), opcode, 1, node % (1 << 64), 0, 0, 0, 0, 0) + body
    answer = Tree(built, Blocks()).answer(message)
    assert answer is None or sum(map(len, answer)) == struct.unpack_from("<I", answer[0])[0]


def test_the_greeting_asks_for_what_both_sides_know():
    offered = wire.WANTED | 1 << 5
    body = struct.pack("<IIIII", 7, 45, 131072, offered & 0xFFFFFFFF, offered >> 32) + bytes(44)
    seen = wire.kernel(body)
    assert seen.can_resend
    answer = wire.greeting(seen, 16)
    assert len(answer) == 64
    fields = struct.unpack("<IIIIHHIIHHI", answer[:36])
    assert fields[0] == 7
    assert fields[3] | fields[10] << 32 == wire.WANTED
    assert fields[8] * 4096 == wire.READ_MAX


def test_an_old_kernel_gets_what_it_knows():
    seen = wire.kernel(struct.pack("<IIII", 7, 23, 131072, wire.ASYNC_READ | wire.DO_READDIRPLUS))
    assert not seen.can_resend
    assert struct.unpack_from("<I", wire.greeting(seen, 16), 12)[0] == wire.ASYNC_READ | wire.DO_READDIRPLUS
