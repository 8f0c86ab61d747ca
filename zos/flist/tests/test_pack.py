"""Packing folders and tars."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from pathlib import Path

import pytest

from zos.fetch.errors import FetchForbidden
from zos.flist import index
from zos.flist.block import unseal
from zos.flist.compile import compile_flist
from zos.flist.errors import BadSource, FlistBroken
from zos.flist.fl import read
from zos.flist.index import Index
from zos.flist.layout import BLOCK_SIZE
from zos.flist.pack import Progress, pack
from zos.flist.policy import StorePolicy
from zos.flist.store import FolderStore


def content(folder: Path, path: Path, store: FolderStore) -> dict[str, tuple[str, int, bytes]]:
    """Everything in a flist: path to kind, permissions, and content or target."""
    flist = read(path)
    place = folder / "index"
    place.write_bytes(b"".join(index.build(flist.nodes, flist.blocks, flist.targets, flist.xattrs)))
    found = {}
    with Index(place) as tree:
        for number, name, node in tree.walk():
            data = tree.target(number)
            if stat.S_ISREG(node.mode):
                refs = [tree.ref(node, block) for block in range(node.count)]
                blobs = [store.get(ref.id, 1.0) for ref in refs]
                data = b"".join(unseal(b or b"", r.id, r.key, r.size) for r, b in zip(refs, blobs, strict=True))
            found[name] = (stat.filemode(node.mode)[0], stat.S_IMODE(node.mode), data)
    return found


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


def source(folder: Path) -> Path:
    root = folder / "source"
    (root / "a/b").mkdir(parents=True)
    (root / "a/b/big").write_bytes(os.urandom(BLOCK_SIZE * 2 + 17))
    (root / "a/text").write_bytes(b"hello")
    (root / "a/text").chmod(0o4755)
    (root / "empty").write_bytes(b"")
    (root / "link").symlink_to("/a/text")
    os.mkfifo(root / "pipe")
    root.chmod(0o750)
    return root


def test_a_folder_comes_back_from_its_blocks(tmp_path: Path, store: FolderStore):
    root = source(tmp_path)
    said: list[Progress] = []
    packed = pack(root, tmp_path / "a.fl", store, "http://hub/blocks", tags={"author": "me"}, progress=said.append)
    found = content(tmp_path, tmp_path / "a.fl", store)
    assert found["/"][:2] == ("d", 0o750)
    assert found["/a/b/big"][2] == (root / "a/b/big").read_bytes()
    assert found["/a/text"] == ("-", 0o4755, b"hello")
    assert found["/empty"] == ("-", 0o644, b"")
    assert found["/link"] == ("l", 0o777, b"/a/text")
    assert found["/pipe"][0] == "p"
    assert (packed.entries, packed.size, packed.blocks) == (8, BLOCK_SIZE * 2 + 22, 4)
    assert said[-1].size == packed.size
    assert read(tmp_path / "a.fl").tags == {"author": "me"}


def test_the_same_tree_is_the_same_flist_and_stores_nothing_new(tmp_path: Path, store: FolderStore):
    root = source(tmp_path)
    first = pack(root, tmp_path / "a.fl", store, "http://hub/blocks")
    second = pack(root, tmp_path / "b.fl", store, "http://hub/blocks", workers=1)
    assert (tmp_path / "a.fl").read_bytes() == (tmp_path / "b.fl").read_bytes()
    assert first.stored > 0
    assert second.stored == 0


def tar_of(path: Path, *members: tuple[tarfile.TarInfo, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for member, data in members:
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, mode
    return info


def test_a_tar_becomes_a_flist(tmp_path: Path, store: FolderStore):
    capable = member("./bin/ping", mode=0o755)
    capable.pax_headers = {"SCHILY.xattr.security.capability": "\x01cap", "SCHILY.xattr.trusted.x": "no"}
    path = tar_of(
        tmp_path / "a.tar.gz",
        (capable, b"ping"),
        (member("bin/again", tarfile.LNKTYPE, "bin/ping", 0o755), b""),
        (member("/abs/name"), b"x"),
        (member("abs/name"), b"later"),
        (member("sh", tarfile.SYMTYPE, "/bin/ping"), b""),
        (member("dev/null", tarfile.CHRTYPE), b""),
    )
    pack(path, tmp_path / "a.fl", store, "http://hub/blocks")
    found = content(tmp_path, tmp_path / "a.fl", store)
    assert found["/bin/ping"] == found["/bin/again"] == ("-", 0o755, b"ping")
    assert found["/abs/name"][2] == b"later"
    assert found["/sh"] == ("l", 0o777, b"/bin/ping")
    assert found["/dev/null"][0] == "c"
    assert found["/"][:2] == ("d", 0o755)
    assert list(read(tmp_path / "a.fl").xattrs.values()) == [{b"security.capability": b"\x01cap"}]


@pytest.mark.parametrize(
    "wrong",
    [
        member("../out"),
        member("a/../../out"),
        member("bad", tarfile.LNKTYPE, "no/such"),
        member("n" * 300),
        member("empty", tarfile.SYMTYPE, ""),
    ],
    ids=lambda info: info.name[:10],
)
def test_a_tar_that_cannot_be_a_tree_is_refused_and_leaves_no_flist(
    tmp_path: Path, store: FolderStore, wrong: tarfile.TarInfo
):
    path = tar_of(tmp_path / "a.tar", (wrong, b""), mode="w")
    with pytest.raises(BadSource):
        pack(path, tmp_path / "a.fl", store, "http://hub/blocks")
    assert not (tmp_path / "a.fl").exists()


def test_a_torn_tar_is_refused(tmp_path: Path, store: FolderStore):
    path = tar_of(tmp_path / "a.tar.gz", (member("x"), os.urandom(100_000)))
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(BadSource):
        pack(path, tmp_path / "a.fl", store, "http://hub/blocks")


STARTUP = b"""
[startup.entry]
name = "core.system"
[startup.entry.args]
name = "/bin/sh"
args = ["-c", "echo $HOME"]
env = {A = "b c"}
dir = "/"
"""


def compiled(folder: Path, root: Path, store: FolderStore):
    pack(root, folder / "a.fl", store, f"dir://{store.root}")
    out = folder / "out"
    out.mkdir(exist_ok=True)
    return compile_flist(folder / "a.fl", out, folder / "cache", StorePolicy(folders=True))


def test_compiling_says_what_a_container_starts(tmp_path: Path, store: FolderStore):
    root = tmp_path / "r"
    (root / "boot").mkdir(parents=True)
    (root / ".startup.toml").write_bytes(STARTUP)
    (root / "boot/vmlinuz-1").write_bytes(b"k")
    (root / "boot/vmlinuz").symlink_to("/boot/vmlinuz-1")
    (root / "boot/initrd.img").symlink_to("/nowhere")
    info = compiled(tmp_path, root, store)
    assert (info.entrypoint, info.env) == ("/bin/sh -c 'echo $HOME'", {"A": "b c"})
    assert (info.kernel, info.initrd, info.image, info.detail) == ("/boot/vmlinuz-1", "", "", "")


def test_an_image_is_known_by_its_file_and_a_link_out_is_refused(tmp_path: Path, store: FolderStore):
    root = tmp_path / "r"
    root.mkdir()
    (root / "image.raw").write_bytes(b"x" * 1000)
    assert (compiled(tmp_path, root, store).image, compiled(tmp_path, root, store).image_size) == ("/image.raw", 1000)
    (root / "image.raw").unlink()
    (root / "image.raw").symlink_to("/etc/shadow")
    with pytest.raises(FlistBroken, match=r"/image.raw leads to no file inside the flist"):
        compiled(tmp_path, root, store)


@pytest.mark.parametrize(
    "text", [b"x", b"startup = 3", b"[startup.entry.args]\nname = 4", b"[startup.entry.args]\nargs = 4", b"\xff"]
)
def test_a_startup_file_that_cannot_be_read_is_no_reason_to_refuse(tmp_path: Path, store: FolderStore, text: bytes):
    root = tmp_path / "r"
    root.mkdir()
    (root / ".startup.toml").write_bytes(text)
    info = compiled(tmp_path, root, store)
    assert info.entrypoint == ""
    assert "/.startup.toml is not read" in info.detail


def test_a_flist_whose_blocks_cannot_be_had_from_here_is_refused_at_once(tmp_path: Path, store: FolderStore):
    root = tmp_path / "r"
    root.mkdir()
    (root / "x").write_bytes(b"x")
    pack(root, tmp_path / "a.fl", store, f"dir://{store.root}")
    with pytest.raises(FetchForbidden, match="a folder of this machine"):
        compile_flist(tmp_path / "a.fl", tmp_path, tmp_path / "cache", StorePolicy())


def test_names_that_are_no_utf8_are_kept_apart_or_refused_and_what_is_changed_is_said(
    tmp_path: Path, store: FolderStore, caplog: pytest.LogCaptureFixture
):
    root = os.fsencode(tmp_path / "source")
    os.mkdir(root)
    for name in (b"a\xff", b"b\xff"):
        with open(os.path.join(root, name), "wb") as file:
            file.write(name)
    pack(tmp_path / "source", tmp_path / "a.fl", store, "http://hub/blocks")
    assert [node.name for node in read(tmp_path / "a.fl").nodes] == [b"", "a\ufffd".encode(), "b\ufffd".encode()]
    assert len([one for one in caplog.records if "flists hold UTF-8 only" in one.getMessage()]) == 2
    os.rename(os.path.join(root, b"b\xff"), os.path.join(root, b"a\xfe"))
    with pytest.raises(BadSource, match="rename one"):
        pack(tmp_path / "source", tmp_path / "b.fl", store, "http://hub/blocks")
    assert not (tmp_path / "b.fl").exists()
