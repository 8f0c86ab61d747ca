"""A tree, archives of it and what is read out of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from zos.flist.compile import read_any
from zos.flist.fl import Flist
from zos.flist.layout import DIGEST
from zos.flist.tests.archives import FILE, FOLDER, Archive, Item, key

STORE = "zdb://store.example:9900"
ETC = Item(b"etc", FOLDER, text=key(b"etc"))


def wide(digest: bytes) -> bytes:
    return digest.ljust(DIGEST, b"\0")


def read(path: Path) -> Flist:
    flist = read_any(path, path.parent, STORE)
    assert [left.name for left in path.parent.iterdir() if left.name.startswith(".")] == []
    return flist


def small(**changes: object) -> Archive:
    """An archive with `/`, `/etc` and `/etc/hosts`; `changes` are fields of the last."""
    made = Archive()
    hosts = Item(b"hosts", FILE, 5, made.keep_acl(0o644), 7, 8, made.keep_file(b"hosts"))
    made.keep_folder(b"etc", [replace(hosts, **changes)])  # type: ignore[arg-type]
    made.keep_folder(b"", [Item(b"etc", FOLDER, acl=made.keep_acl(0o755), text=key(b"etc"))])
    return made
