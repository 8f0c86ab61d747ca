"""Nothing in an untrusted tree leads out of it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from zos.runtime import inroot


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_bytes(b"the host's")
    folder = tmp_path / "root"
    (folder / "etc").mkdir(parents=True)
    (folder / "etc/name").write_bytes(b"the guest's")
    return folder


def test_a_plain_file_is_read_from_the_root(root: Path):
    for path in ("etc/name", "/etc/name", "//etc/./name"):
        assert inroot.read_file(root, path, 100) == b"the guest's"
        assert inroot.is_file(root, path)


def test_an_absolute_link_is_resolved_inside(root: Path):
    (root / "image.raw").symlink_to("/etc/name")
    assert inroot.read_file(root, "/image.raw", 100) == b"the guest's"


@pytest.mark.parametrize("target", ["../secret", "../../../../../../../../secret", "/secret", "/etc/../../secret"])
def test_no_link_leads_to_the_hosts_files(root: Path, target: str):
    (root / "image.raw").symlink_to(target)
    with pytest.raises(FileNotFoundError):
        inroot.open_file(root, "/image.raw")
    assert not inroot.is_file(root, "/image.raw")


def test_dots_in_the_path_itself_stay_inside(root: Path):
    assert inroot.read_file(root, "/../../../etc/name", 100) == b"the guest's"
    with pytest.raises(FileNotFoundError):
        inroot.open_file(root, "../secret")


def test_a_host_file_by_its_full_name_is_looked_up_inside(root: Path):
    (root / "image.raw").symlink_to(root.parent / "secret")
    with pytest.raises(FileNotFoundError):
        inroot.open_file(root, "image.raw")


def test_a_loop_of_links_is_an_error(root: Path):
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    with pytest.raises(OSError, match="a") as caught:
        inroot.open_file(root, "a")
    assert caught.value.errno == errno.ELOOP


def test_pipes_and_folders_are_refused_without_waiting(root: Path):
    os.mkfifo(root / "pipe")
    for path in ("pipe", "etc"):
        with pytest.raises(OSError, match="not a regular file"):
            inroot.open_file(root, path)
        assert not inroot.is_file(root, path)


def test_another_mount_below_the_root_is_refused():
    with pytest.raises(OSError, match="proc") as caught:
        inroot.open_file(Path("/"), "/proc/self/status")
    assert caught.value.errno == errno.EXDEV


def test_magic_links_are_refused_even_where_mounts_may_be_crossed():
    with pytest.raises(OSError, match="proc") as caught:
        inroot.open_path(Path("/"), "/proc/self/cwd/x", resolve=inroot.RESOLVE_IN_ROOT | inroot.RESOLVE_NO_MAGICLINKS)
    assert caught.value.errno == errno.ELOOP


def test_a_file_longer_than_the_limit_is_not_read(root: Path):
    assert inroot.read_file(root, "etc/name", 11) == b"the guest's"
    with pytest.raises(OSError, match="longer than 10 bytes"):
        inroot.read_file(root, "etc/name", 10)


def test_nothing_stays_open(root: Path):
    before = len(os.listdir("/proc/self/fd"))
    os.close(inroot.open_file(root, "etc/name"))
    inroot.is_file(root, "etc")
    with pytest.raises(OSError, match="not a regular"):
        inroot.open_file(root, "etc")
    assert len(os.listdir("/proc/self/fd")) == before
