"""Names in flists that no message can hold."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path

import pytest

from zos.errors import ZosError
from zos.flist import confined
from zos.flist.compile import compile_flist
from zos.flist.errors import FlistBroken
from zos.flist.fl import Writer
from zos.flist.info import INDEX, INFO, Info
from zos.flist.layout import Node, Route
from zos.flist.policy import StorePolicy
from zos.flist.tests.test_fl import DIR, FILE, LINK, PAIR


@pytest.mark.parametrize("place", [b"image.raw", b"boot/vmlinuz", b"boot/initrd.img"])
@pytest.mark.parametrize("name", [b"\xff", b"ok"])
def test_what_a_machine_boots_from_has_a_name_that_can_be_told(tmp_path: Path, place: bytes, name: bytes):
    with Writer(tmp_path / "a.fl") as writer:
        root = writer.add(Node(0, b"/", DIR))
        boot = writer.add(Node(root, b"boot", DIR))
        writer.blocks(writer.add(Node(root, b"name", FILE)), 5, [PAIR])
        writer.add(Node(boot if b"/" in place else root, place.rpartition(b"/")[2], LINK), b"/name")
        writer.route(Route(0, 255, "http://192.0.32.8/blocks"))
    with contextlib.closing(sqlite3.connect(tmp_path / "a.fl")) as database:
        database.execute("UPDATE inode SET name = CAST(? AS TEXT) WHERE name = 'name'", (name,))
        database.execute("UPDATE extra SET data = ?", (b"/" + name,))
        database.commit()
    if name == b"ok":
        info = compile_flist(tmp_path / "a.fl", tmp_path, tmp_path, StorePolicy())
        assert "/ok" in (info.image, info.kernel, info.initrd)
        return
    with pytest.raises(FlistBroken, match=r"a name that is no UTF-8: b'\\xff'; give it another one"):
        compile_flist(tmp_path / "a.fl", tmp_path, tmp_path, StorePolicy())
    assert not (tmp_path / INFO).exists()
    assert (tmp_path / INDEX).exists()


def test_what_an_earlier_release_wrote_of_such_a_name_is_not_believed():
    with pytest.raises(ValueError, match="surrogates"):
        Info.from_json(Info(image="/\udcff").to_json())


def test_a_parser_that_says_halves_of_characters_has_failed():
    for said in (
        {"done": {"routes": [[0, 255, "\ud800"]]}},
        {"reason": FlistBroken.reason, "facts": {"flist": "\udcff"}},
    ):
        with pytest.raises(ZosError) as refusal:
            confined._read(json.dumps(said).encode(), 0, "a.fl")
        assert refusal.value.explain().encode()
        assert "reading it failed" in refusal.value.explain()
