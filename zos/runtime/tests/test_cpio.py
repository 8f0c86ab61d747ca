"""Archives that the kernel unpacks."""

from __future__ import annotations

import stat

from hypothesis import given
from hypothesis import strategies as st

from zos.runtime import cpio


def read(data: bytes) -> list[cpio.Entry]:
    """The entries of a newc archive, by the kernel's documentation (buffer-format)."""
    found: list[cpio.Entry] = []
    at = 0
    while True:
        assert data[at : at + 6] == b"070701"
        fields = [int(data[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        name_at = at + 110
        name = data[name_at : name_at + fields[11] - 1].decode()
        body = -(-(name_at + fields[11]) // 4) * 4
        if name == "TRAILER!!!":
            assert data[body:].strip(b"\0") == b""
            return found
        content = data[body : body + fields[6]]
        found.append(cpio.Entry(name, fields[1], content, (fields[9], fields[10])))
        at = -(-(body + fields[6]) // 4) * 4


names = st.from_regex(r"[a-z0-9._/-]{1,40}", fullmatch=True).filter(lambda name: name != "TRAILER!!!")
entries = st.builds(cpio.file, names, st.binary(max_size=300)) | st.builds(cpio.link, names, names)


@given(st.lists(entries, max_size=8))
def test_an_archive_reads_back(wanted: list[cpio.Entry]):
    data = cpio.archive(wanted)
    assert read(data) == wanted
    assert len(data) % cpio.BLOCK == 0


def test_every_kind_of_entry_keeps_its_mode():
    console = cpio.character_device("dev/console", 5, 1)
    wanted = [cpio.folder("dev"), console, cpio.file("init", b"#!/bin/sh\n", 0o755), cpio.link("bin/sh", "busybox")]
    found = read(cpio.archive(wanted))
    assert [stat.filemode(entry.mode) for entry in found] == ["drwxr-xr-x", "crw-------", "-rwxr-xr-x", "lrwxrwxrwx"]
    assert found[1].device == (5, 1)


def test_equal_entries_make_equal_bytes():
    assert cpio.archive([cpio.file("a", b"x")]) == cpio.archive([cpio.file("a", b"x")])
