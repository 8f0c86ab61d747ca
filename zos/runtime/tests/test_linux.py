"""What the kernel's table of mounts says, and the calls that need no privilege."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zos.runtime import linux
from zos.runtime.linux import Mounted


def test_the_mount_table_is_read_with_its_escapes():
    text = (
        "29 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        "43 27 0:39 /sub /mnt/a\\040b rw,nosuid,nodev,noatime - btrfs /dev/loop0 rw,subvolid=5\n"
        "44 27 0:40 / /run rw shared:5 master:2 - tmpfs tmpfs rw\n"
        "torn line\n"
    )
    assert tuple(linux.parse_mountinfo(text)) == (
        Mounted("8:1", Path("/"), "ext4", "/dev/sda1", "rw"),
        Mounted("0:39", Path("/mnt/a b"), "btrfs", "/dev/loop0", "rw,subvolid=5"),
        Mounted("0:40", Path("/run"), "tmpfs", "tmpfs", "rw"),
    )


def test_this_process_sees_its_root():
    assert Path("/") in {mounted.point for mounted in linux.mounts()}


@given(st.text(max_size=300))
def test_no_mountinfo_is_too_odd(text: str):
    tuple(linux.parse_mountinfo(text))


def test_a_hole_keeps_the_size_and_what_is_beside_it(tmp_path: Path):
    path = tmp_path / "file"
    path.write_bytes(b"x" * 65536)
    descriptor = os.open(path, os.O_RDWR)
    try:
        linux.punch_hole(descriptor, 4096, 61440)
    finally:
        os.close(descriptor)
    assert path.read_bytes() == b"x" * 4096 + bytes(57344) + b"x" * 4096


def test_a_call_that_fails_says_why(tmp_path: Path):
    with pytest.raises(OSError, match=str(tmp_path)) as caught:
        linux.unmount(tmp_path)
    assert caught.value.errno in (errno.EINVAL, errno.EPERM)
    with pytest.raises(FileNotFoundError):
        linux.setns(tmp_path / "none", linux.CLONE_NEWNET)
