"""The last steps: the root as an EROFS, the initramfs that holds it, the signed EFI file of kernel and initramfs."""

from __future__ import annotations

import lzma
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from zos.images.node import recipe
from zos.images.node.tools import Tools
from zos.images.node.tree import dependencies
from zos.runtime import cpio, secret
from zos.runtime.files import write_atomic

ROOT, KERNEL, INITRD, IMAGE, CERTIFICATE = "root.erofs", "vmlinuz", "initrd", "zos-node.efi", "zos-node.crt"
APPLETS = ("sh", "cat", "insmod", "losetup", "mkdir", "mount", "reboot", "sleep", "switch_root")
BUSYBOX = "usr/bin/busybox"
# Level 15 takes the builder minutes instead of seconds and saves a tenth; LZMA saves a little less, and is slow to
# read where the processor is emulated.
EROFS = ("-zzstd,level=6", "-C65536", "-Eztailpacking", "--quiet")
UUID = "5a6f7300-0000-4000-8000-000000000001"
"""The file system's name in every image: a random one would make each build's bytes differ."""
STUB = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub"
YEARS = 10
_KEY = ("req", "-new", "-x509", "-newkey", "rsa:2048", "-nodes", "-sha256", "-subj", "/CN=zos node image/")


async def erofs(tools: Tools, tree: Path, out: Path, epoch: int) -> None:
    """Make the root's file system."""
    argv = ["mkfs.erofs", *EROFS, "-T", str(epoch), "--all-time"]
    await tools.run([*argv, "-U", UUID, f"/out/{ROOT}", "/tree"], {tree: "/tree", out: "/out"})


def initrd(texts: Path, root: Path, release: str, image: bytes) -> bytes:
    """The initramfs: busybox, our init, the modules that it loads, and the root's file system, as it is."""
    return cpio.archive(_entries(texts, root, release, image))


def _entries(texts: Path, root: Path, release: str, image: bytes) -> Iterator[cpio.Entry]:
    for name in ("bin", "dev", "modules", "proc", "sys"):
        yield cpio.folder(name)
    yield cpio.character_device("dev/console", 5, 1)
    yield cpio.file("init", (texts / "init").read_bytes(), 0o755)
    yield cpio.file("bin/busybox", (root / BUSYBOX).read_bytes(), 0o755)
    for applet in APPLETS:
        yield cpio.link(f"bin/{applet}", "busybox")
    wanted = recipe.lines((texts / "early").read_text())
    order = recipe.load_order(wanted, dependencies(root, release))
    for path in order:
        data = (root / "usr/lib/modules" / release / path).read_bytes()
        plain = lzma.decompress(data) if path.endswith(".xz") else data
        yield cpio.file(f"modules/{recipe.module_name(path)}.ko", plain)
    yield cpio.file("early", "".join(f"{recipe.module_name(path)}\n" for path in order).encode())
    yield cpio.file(ROOT, image)


async def make_key(tools: Tools, key: Path, certificate: Path, scratch: Path) -> None:
    """Make the key that signs images, once; whoever has it makes what a machine with this certificate boots."""
    if not key.exists():
        argv = ["openssl", *_KEY, "-days", str(365 * YEARS), "-keyout", "/out/key", "-out", "/out/crt"]
        await tools.run(argv, {scratch: "/out"})
        write_atomic(certificate, (scratch / "crt").read_bytes(), mode=0o644)
        secret.write(key, (scratch / "key").read_bytes())
        (scratch / "key").unlink()


async def sign(tools: Tools, out: Path, texts: Path, key: Path, certificate: Path, epoch: int) -> None:
    """Make the EFI file of what is in `out`, signed."""
    line = " ".join(recipe.lines((texts / "cmdline").read_text()))
    # A signature has the time at which it was made.
    then = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(epoch))
    argv = [
        "faketime",
        "-f",
        then,
        "ukify",
        "build",
        f"--linux=/out/{KERNEL}",
        f"--initrd=/out/{INITRD}",
        f"--cmdline={line}",
    ]
    argv += ["--os-release=@/out/os-release", f"--stub={STUB}", f"--output=/out/{IMAGE}"]
    argv += ["--secureboot-private-key=/keys/key", "--secureboot-certificate=/keys/crt"]
    await tools.run(argv, {out: "/out", **_keys(key, certificate)})
    (out / IMAGE).chmod(0o644)


def _keys(key: Path, certificate: Path) -> Mapping[Path, str]:
    # A mount of a file needs one to be mounted over: both lie in one folder under these names.
    assert key.parent == certificate.parent, "a key and its certificate lie in one folder"
    return {key.parent: "/keys"}
