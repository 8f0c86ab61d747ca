"""A disk as tenants bring them, which boots by its own firmware."""

from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path

from zos.images import guest
from zos.model.units import MiB
from zos.runtime import cpio

STUB = Path("/usr/lib/systemd/boot/efi/linuxx64.efi.stub")
IMAGE_INIT = """#!/bin/sh
/bin/mount -t proc proc /proc; /bin/mount -t devtmpfs dev /dev; /bin/mount -t sysfs sys /sys
/bin/modprobe -a virtio_pci virtio_blk
echo "image guest is up, cidata: $(/bin/grep -c . /proc/partitions)"
while read -r line; do echo "heard $line"; done
"""


def efi_disk(folder: Path) -> Path:
    """A disk as tenants bring them: a partition table, an EFI partition, a loader that holds kernel and initramfs."""
    deb = max(guest.CACHE.glob("linux-image-*-cloud-amd64_*.deb"))

    def run(*words: object) -> None:
        subprocess.run([str(word) for word in words], check=True, timeout=60, capture_output=True)

    run("dpkg-deb", "-x", deb, folder / "kernel")
    (kernel,) = (folder / "kernel/boot").glob("vmlinuz-*")
    # The node's own initramfs with another /init laid over it.
    initrd = (guest.OUT / "initramfs").read_bytes() + cpio.archive([cpio.file("init", IMAGE_INIT.encode(), 0o755)])
    (folder / "initrd").write_bytes(initrd)
    (folder / "cmdline").write_text("console=ttyS0 quiet panic=-1 cryptomgr.notests\0")
    sections, address = [], 0x2000000
    for name, path in ((".cmdline", folder / "cmdline"), (".linux", kernel), (".initrd", folder / "initrd")):
        sections += ["--add-section", f"{name}={path}", "--change-section-vma", f"{name}={address:#x}"]
        address += (path.stat().st_size + 0xFFFFF) & ~0xFFFFF
    run("objcopy", *sections, STUB, folder / "boot.efi")
    disk = folder / "image.raw"
    disk.touch()
    os.truncate(disk, MiB(64))
    with disk.open("r+b") as file:
        file.seek(446)
        file.write(struct.pack("<4B4BII", 0, 0, 2, 0, 0xEF, 255, 255, 255, 2048, 126976) + bytes(48) + b"\x55\xaa")
    part = f"{disk}@@1M"
    run("mformat", "-i", part, "-T", "126976", "-h", "16", "-s", "63", "::")
    run("mmd", "-i", part, "::/EFI", "::/EFI/BOOT")
    run("mcopy", "-i", part, folder / "boot.efi", "::/EFI/BOOT/BOOTX64.EFI")
    return disk
