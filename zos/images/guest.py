"""Builds what container machines boot: Debian's cloud kernel as an ELF file, and a small initramfs with our /init.

    python -m zos.images.guest --out DIR

It writes `vmlinux` (QEMU starts an ELF 0.2 s sooner than a compressed kernel), `initramfs` (not compressed: unpacking
costs an emulated processor more than reading does), and `stamp`, which names their sources, so that nothing is built
again until one of these changes. The kernel package is fetched into a cache and unpacked, not installed. The recipe is
in `images/guest/`.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import hashlib
import lzma
import shutil
import struct
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import cramjam

from zos.errors import Status, ZosError
from zos.runtime import cpio, data, proc, threads
from zos.runtime.files import write_atomic

RECIPE = data.folder("images") / "guest"
OUT = Path("/usr/lib/zos/guest")
"""Where vmd looks by default. All nodes of a lab share it."""
CACHE = Path("/var/cache/zos-images")
PACKAGE = "linux-image-cloud-amd64"
BUSYBOX = Path("/bin/busybox")
BOOT = ("virtio_pci", "virtio_blk", "virtio_net", "virtiofs")
"""Modules that every boot loads. The others are compressed: each MiB of the initramfs costs an emulated boot 60 ms."""
FORMAT = 4
"""Raise this number when this file builds something else from the same sources."""

PACK = 300.0
"""Seconds for unpacking a kernel and packing an initramfs."""


class CannotBuild(ZosError):
    """The guest's kernel or initramfs cannot be built."""

    reason = "images.cannot_build_guest"
    status = Status.FAILED_PRECONDITION
    text = "{problem}"
    hint = "Debian's package archive must be reachable once; busybox-static and kmod must be installed"


async def build(out: Path = OUT, cache: Path = CACHE, recipe: Path = RECIPE) -> bool:
    """Build kernel and initramfs in `out` unless they are current; true if something was built."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / ".lock").open("w") as lock:
        # If two run at once, the second waits and finds all of it built.
        await threads.run("wait for another build", lambda: fcntl.flock(lock, fcntl.LOCK_EX), None)
        recipe_hash = _recipe_hash(recipe)
        if _is_current(out, recipe_hash):
            return False
        missing = set((recipe / "applets").read_text().split()) - await _known_applets()
        if missing:
            raise CannotBuild(problem=f"{BUSYBOX} has no {', '.join(sorted(missing))}")
        deb = await _fetch(cache)
        with tempfile.TemporaryDirectory(prefix="zos-guest-", dir=cache) as folder:
            tree = Path(folder)
            await proc.run(["dpkg-deb", "-x", deb, tree], deadline=120)
            modules = await _modules(tree, recipe)
            made = await threads.run("pack the guest", lambda: _assets(tree, recipe, modules), PACK)
        for name, data in made.items():
            write_atomic(out / name, data, mode=0o644)
        write_atomic(out / "stamp", f"{recipe_hash} {deb.name}\n".encode(), mode=0o644)
        return True


def _recipe_hash(recipe: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name in ("init", "applets", "modules"):
        digest.update(hashlib.blake2b((recipe / name).read_bytes()).digest())
    if not BUSYBOX.exists():
        raise CannotBuild(problem=f"{BUSYBOX} is missing")
    digest.update(BUSYBOX.read_bytes())
    digest.update(bytes([FORMAT]))
    return digest.hexdigest()


def _is_current(out: Path, recipe_hash: str) -> bool:
    stamp = out / "stamp"
    whole = all((out / name).exists() for name in ("vmlinux", "initramfs", "stamp"))
    return whole and stamp.read_text().startswith(recipe_hash + " ")


async def _fetch(cache: Path) -> Path:
    """The kernel's package file, from the cache or the archive."""
    cache.mkdir(parents=True, exist_ok=True)
    shown = await proc.run(["apt-cache", "depends", PACKAGE], check=False)
    names = [line.split()[1] for line in shown.text.splitlines() if line.strip().startswith("Depends: linux-image-")]
    if not names:
        kept = sorted(cache.glob("linux-image-*-cloud-amd64_*.deb"))
        if kept:
            return kept[-1]
        raise CannotBuild(problem=f"apt knows no {PACKAGE}; `apt-get update` may help")
    kept = sorted(cache.glob(f"{names[0]}_*.deb"))
    if not kept:
        with tempfile.TemporaryDirectory(prefix="fetch-", dir=cache) as folder:
            # Root's download folder is closed to apt's own user, which is a warning and no more.
            await proc.run(["apt-get", "download", "-q", names[0]], cwd=Path(folder), deadline=600)
            (fetched,) = Path(folder).glob("*.deb")
            kept = [Path(shutil.move(fetched, cache / fetched.name))]
    return kept[-1]


async def _known_applets() -> frozenset[str]:
    """The applets of this machine's busybox; distributions differ."""
    return frozenset((await proc.run([BUSYBOX, "--list"])).text.split())


async def _module_order(tree: Path, recipe: Path) -> Mapping[str, tuple[str, ...]]:
    """The wanted modules and those that they depend on: path below the kernel's folder -> paths of its dependencies."""
    release = _release(tree)
    await proc.run(["depmod", "-b", tree, release], deadline=120)
    folder = tree / "lib" / "modules" / release
    dependencies = parse_dependencies((folder / "modules.dep").read_text())
    builtin = {_module_name(line) for line in (folder / "modules.builtin").read_text().split()}
    return closure(wanted_modules((recipe / "modules").read_text()), dependencies, builtin)


async def _modules(tree: Path, recipe: Path) -> dict[str, bytes]:
    """The wanted modules in one folder, with what depmod says of them: by alias, symbol and dependency."""
    release = _release(tree)
    source, flat = tree / "lib/modules" / release, tree / "flat/lib/modules" / release
    flat.mkdir(parents=True)
    order = await _module_order(tree, recipe)
    plain = {path for name in BOOT for path in order if _module_name(path) == name}
    plain |= {needed for path in plain for needed in order[path]}
    for path in order:
        content, name = (source / path).read_bytes(), Path(path).name
        if path in plain:
            (flat / name).write_bytes(content)
        else:
            # Every kmod and busybox reads xz; Debian's kmod has no gzip.
            packed = await threads.run(
                "compress a module", partial(lzma.compress, content, check=lzma.CHECK_CRC32), PACK
            )
            (flat / f"{name}.xz").write_bytes(packed)
    for name in ("modules.builtin", "modules.builtin.modinfo"):
        shutil.copy2(source / name, flat / name)
    (flat / "modules.order").write_text("".join(f"{path.name}\n" for path in sorted(flat.glob("*.ko*"))))
    await proc.run(["depmod", "-b", tree / "flat", release], deadline=120)
    return {path.name: path.read_bytes() for path in sorted(flat.iterdir())}


def _release(tree: Path) -> str:
    (release,) = [path.name for path in (tree / "lib" / "modules").iterdir()]
    return release


def wanted_modules(text: str) -> tuple[str, ...]:
    """The module names in a recipe's list, without comments."""
    return tuple(line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#"))


def parse_dependencies(text: str) -> dict[str, tuple[str, ...]]:
    """Parse modules.dep: a module's path -> the paths of its dependencies."""
    lines = (line.partition(":") for line in text.splitlines())
    return {path: tuple(rest.split()) for path, colon, rest in lines if colon}


def closure(
    names: Iterable[str], dependencies: Mapping[str, tuple[str, ...]], builtin: Iterable[str] = ()
) -> dict[str, tuple[str, ...]]:
    """The part of modules.dep that the named modules depend on; modules that are built in are left out."""
    by_name = {_module_name(path): path for path in dependencies}
    found: dict[str, tuple[str, ...]] = {}
    for name in names:
        if name.replace("-", "_") in builtin:
            continue
        path = by_name.get(name.replace("-", "_"))
        if path is None:
            raise CannotBuild(problem=f"the kernel has no module {name}")
        for needed in (path, *dependencies[path]):
            found[needed] = dependencies[needed]
    return found


def _module_name(path: str) -> str:
    return Path(path).name.partition(".")[0].replace("-", "_")


def _assets(tree: Path, recipe: Path, modules: Mapping[str, bytes]) -> dict[str, bytes]:
    release = _release(tree)
    entries = initramfs(
        init=(recipe / "init").read_bytes(),
        busybox=BUSYBOX.read_bytes(),
        applets=(recipe / "applets").read_text().split(),
        release=release,
        modules=modules,
    )
    return {
        "vmlinux": unpack_kernel((tree / "boot" / f"vmlinuz-{release}").read_bytes()),
        # vmd appends a machine's seed. An archive is a whole number of blocks long, so the seed is aligned.
        "initramfs": cpio.archive(entries),
    }


def initramfs(
    init: bytes,
    busybox: bytes,
    applets: Sequence[str],
    release: str,
    modules: Mapping[str, bytes],
) -> Iterator[cpio.Entry]:
    """The files of the initramfs; `modules` are those and depmod's lists, by their names."""
    for name in ("bin", "dev", "proc", "sys", "root", "zos", "lib", "lib/modules"):
        yield cpio.folder(name)
    yield cpio.character_device("dev/console", 5, 1)
    yield cpio.file("init", init, 0o755)
    yield cpio.file("bin/busybox", busybox, 0o755)
    for applet in sorted(applets):
        yield cpio.link(f"bin/{applet}", "busybox")
    home = f"lib/modules/{release}"
    yield cpio.folder(home)
    # All modules in one folder: modprobe needs no more, and every folder is an entry to unpack.
    for name in sorted(modules):
        yield cpio.file(f"{home}/{name}", modules[name])


def unpack_kernel(image: bytes) -> bytes:
    """The ELF kernel in a bzImage that is compressed with LZ4, as Debian's is; others are returned unchanged."""
    payload = kernel_payload(image)
    if not payload.startswith(b"\x02\x21\x4c\x18"):
        return image
    # The kernel's build appends the unpacked size; the last block is shorter than the rest.
    (size,) = struct.unpack("<I", payload[-4:])
    kernel = b"".join(_lz4_blocks(payload[4:-4]))[:size]
    if not kernel.startswith(b"\x7fELF"):
        raise CannotBuild(problem="the kernel image does not hold an ELF file")
    return kernel


def kernel_payload(image: bytes) -> bytes:
    """The compressed kernel in a bzImage, by its boot header (Documentation/x86/boot: offsets 0x1f1, 0x248, 0x24c)."""
    if image[0x202:0x206] != b"HdrS":
        raise CannotBuild(problem="the kernel image is no bzImage")
    sectors = image[0x1F1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (sectors + 1) * 512 + int(offset)
    return image[start : start + int(length)]


def _lz4_blocks(data: bytes) -> Iterator[bytes]:
    # The legacy format: a size and a raw LZ4 block of at most 8 MiB, again and again.
    position = 0
    while position < len(data):
        (size,) = struct.unpack_from("<I", data, position)
        position += 4
        yield bytes(cramjam.lz4.decompress_block(data[position : position + size], output_len=8 * 1024 * 1024))
        position += size


def main() -> int:
    """Builds the guest files as the command line says; answers the exit code."""
    parser = argparse.ArgumentParser(prog="zos.images.guest", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=OUT, help="where to write (default: %(default)s)")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of kernel packages (default: %(default)s)")
    wanted = parser.parse_args()
    try:
        made = asyncio.run(build(wanted.out, wanted.cache))
    except ZosError as err:
        sys.stderr.write(f"{err.explain()}\n{err.advice()}\n")
        return 1
    sys.stderr.write(f"guest kernel and initramfs in {wanted.out} {'built' if made else 'are current'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
