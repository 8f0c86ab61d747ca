"""The parts of the host that need no device: superblocks, copies, deadlines."""

from __future__ import annotations

import os
import struct
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zos.storaged.api import DeviceRefused
from zos.storaged.host import block, image
from zos.storaged.host.linux import LinuxHost
from zos.storaged.model import Content, Layout


def superblock(magic: bytes = b"_BHRfS_M", label: bytes = b"pool", devices: int = 1) -> bytes:
    data = bytearray(4096)
    data[0x40:0x48] = magic
    struct.pack_into("<Q", data, 0x88, devices)
    data[0x12B : 0x12B + len(label)] = label
    return bytes(data)


def test_a_superblock_says_label_devices_and_whether_it_is_finished():
    assert block.parse_superblock(superblock()) == block.Superblock(True, "pool", 1)
    assert block.parse_superblock(superblock(b"!BHRfS_M", devices=2)) == block.Superblock(False, "pool", 2)
    assert block.parse_superblock(superblock(b"XFSB____")) is None


@given(st.binary(max_size=5000))
def test_no_superblock_is_too_strange(data: bytes):
    assert block.parse_superblock(data) is None or len(data) >= 4096
    whole = superblock()[:0x12B] + data[:256].ljust(256, b"\0") + bytes(4096 - 0x12B - 256)
    seen = block.parse_superblock(whole)
    assert seen is not None
    assert "\0" not in seen.label


def test_what_is_no_device_is_said_to_be_none(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"x")
    for path, content in (("file", Content.ABSENT), ("nothing", Content.ABSENT), ("", Content.OTHER)):
        seen = block.look(str(tmp_path / path), "", Layout())
        assert (seen.content, bool(seen.detail)) == (content, True)


@pytest.mark.parametrize("at", [70_000, 64 << 20, (64 << 20) + 65_600, 150 << 20, (200 << 20) - 1])
def test_a_device_with_a_byte_left_of_a_pool_is_not_blank(tmp_path: Path, at: int):
    size = 200 << 20
    with (tmp_path / "device").open("w+b") as file:
        file.truncate(size)
        assert block.is_blank(file.fileno(), size)
        file.seek(at)
        file.write(b"x")
        file.flush()
        assert not block.is_blank(file.fileno(), size)


def test_a_file_without_a_loop_device_stays_a_file(tmp_path: Path):
    (tmp_path / "disk").write_bytes(b"x")
    (tmp_path / "link").symlink_to("disk")
    assert block.candidates([str(tmp_path / "link")]) == ((str(tmp_path / "disk"), str(tmp_path / "link")),)


def test_every_fixed_disk_is_a_candidate_when_none_is_named_but_no_loop():
    assert not [path for path, _ in block.candidates(()) if "loop" in path or "ram" in path]


def test_a_file_can_be_measured(tmp_path: Path):
    (tmp_path / "disk").write_bytes(bytes(1 << 20))
    speed = block.measure(str(tmp_path / "disk"), seed=1)
    assert 0 < speed.median <= speed.p90


pieces = st.lists(st.tuples(st.booleans(), st.integers(1, 200_000)), max_size=12)


@given(pieces)
def test_a_copy_is_the_same_and_not_larger_than_its_data(
    tmp_path_factory: pytest.TempPathFactory, parts: list[tuple[bool, int]]
):
    folder = tmp_path_factory.mktemp("copy")
    content = b"".join((b"\xa5" if full else b"\0") * size for full, size in parts)
    (folder / "source").write_bytes(content)
    source = os.open(folder / "source", os.O_RDONLY)
    target = os.open(folder / "target", os.O_RDWR | os.O_CREAT)
    try:
        os.ftruncate(target, len(content))
        assert image.copy(source, target, len(content), threading.Event())
    finally:
        os.close(source)
        os.close(target)
    assert (folder / "target").read_bytes() == content


def test_a_copy_leaves_holes_where_zeros_were(tmp_path: Path):
    content = b"x" * 4096 + bytes(8 << 20) + b"y"
    (tmp_path / "source").write_bytes(content)
    with (tmp_path / "source").open("rb") as source, (tmp_path / "target").open("wb") as target:
        os.ftruncate(target.fileno(), len(content))
        image.copy(source.fileno(), target.fileno(), len(content), threading.Event())
    assert (tmp_path / "target").read_bytes() == content
    assert (tmp_path / "target").stat().st_blocks * 512 < 1 << 18


def test_a_copy_stops_when_it_is_told_and_an_image_that_ends_early_is_an_error(tmp_path: Path):
    (tmp_path / "source").write_bytes(b"x" * 100)
    stop = threading.Event()
    with (tmp_path / "source").open("rb") as source, (tmp_path / "target").open("wb") as target:
        with pytest.raises(OSError, match="has not 200 bytes any more"):
            image.copy(source.fileno(), target.fileno(), 200, stop)
        stop.set()
        assert not image.copy(source.fileno(), target.fileno(), 100, stop)


async def test_a_device_that_does_not_answer_holds_up_its_own_callers_and_no_others():
    stuck, host = threading.Event(), LinuxHost(Layout())
    try:
        with pytest.raises(DeviceRefused, match="could not look: the device did not answer within 0 s"):
            await host._on("a", "look", lambda: stuck.wait(10), 0.05)
        with pytest.raises(DeviceRefused):
            await host._on("a", "look", lambda: None)
        assert await host._on("b", "look", lambda: "fine") == "fine"
    finally:
        stuck.set()
