"""The guest's kernel and initramfs: what is chosen and how it is packed."""

from __future__ import annotations

import struct
from pathlib import Path

import cramjam
import pytest

from zos.images import guest
from zos.images.guest import CannotBuild, closure, initramfs, parse_dependencies, unpack_kernel, wanted_modules

DEPENDENCIES = parse_dependencies(
    "a/fuse.ko:\na/virtiofs.ko: a/fuse.ko a/virtio_ring.ko\na/virtio_ring.ko:\nb/raid6-pq.ko:\n"
)


def test_a_module_brings_what_it_needs():
    found = closure(["virtiofs"], DEPENDENCIES)
    assert set(found) == {"a/virtiofs.ko", "a/fuse.ko", "a/virtio_ring.ko"}
    assert found["a/virtiofs.ko"] == ("a/fuse.ko", "a/virtio_ring.ko")


def test_names_are_the_same_with_either_dash():
    assert set(closure(["raid6_pq"], DEPENDENCIES)) == set(closure(["raid6-pq"], DEPENDENCIES)) == {"b/raid6-pq.ko"}


def test_what_is_built_in_needs_no_module():
    assert closure(["ext4"], DEPENDENCIES, ["ext4"]) == {}


def test_a_module_that_is_nowhere_is_an_error():
    with pytest.raises(CannotBuild, match="ext5"):
        closure(["ext5"], DEPENDENCIES)


def test_the_recipe_is_whole():
    modules = wanted_modules((guest.RECIPE / "modules").read_text())
    assert {"virtiofs", "virtio_blk", "virtio_net", "virtio_pci"} <= set(modules)
    # What docker, k3s and VPNs ask for.
    wanted = "overlay bridge veth br_netfilter nf_tables vxlan tun wireguard fuse loop xt_MASQUERADE xt_conntrack"
    assert set(wanted.split()) <= set(modules)
    assert len(modules) == len(set(modules))
    init = (guest.RECIPE / "init").read_text()
    assert init.startswith("#!/bin/sh\n")
    applets = set((guest.RECIPE / "applets").read_text().split())
    assert {"sh", "mount", "ip", "switch_root", "env", "modprobe"} <= applets


def test_the_initramfs_has_init_links_and_modules():
    modules = {"virtiofs.ko": b"1", "fuse.ko": b"2", "modules.dep": b"virtiofs.ko: fuse.ko\n"}
    tree = {e.name: e for e in initramfs(b"#!", b"ELF", ["sh", "mount"], "6.1", modules)}
    assert tree["init"].mode & 0o111
    assert tree["bin/sh"].data == b"busybox"
    assert tree["lib/modules/6.1/fuse.ko"].data == b"2"
    assert tree["lib/modules/6.1/modules.dep"].data == b"virtiofs.ko: fuse.ko\n"
    assert {"root", "zos", "proc", "dev/console"} <= set(tree)


def bz_image(payload: bytes) -> bytes:
    head = bytearray(1024)
    head[0x1F1] = 1
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<II", head, 0x248, 100, len(payload))
    return bytes(head) + bytes(100) + payload


def test_the_kernel_is_unpacked_when_it_can_be():
    kernel = b"\x7fELF" + bytes(range(256)) * 40
    block = bytes(cramjam.lz4.compress_block(kernel, store_size=False))
    packed = b"\x02\x21\x4c\x18" + struct.pack("<I", len(block)) + block + struct.pack("<I", len(kernel))
    assert unpack_kernel(bz_image(packed)) == kernel
    other = bz_image(b"\x28\xb5\x2f\xfd zstd")
    assert unpack_kernel(other) == other
    with pytest.raises(CannotBuild, match="bzImage"):
        unpack_kernel(bytes(2048))


def test_what_is_current_is_not_made_again(tmp_path: Path):
    for name in ("vmlinux", "initramfs"):
        (tmp_path / name).touch()
    (tmp_path / "stamp").write_text("abc linux.deb\n")
    assert guest._is_current(tmp_path, "abc")
    assert not guest._is_current(tmp_path, "abd")
    (tmp_path / "vmlinux").unlink()
    assert not guest._is_current(tmp_path, "abc")
