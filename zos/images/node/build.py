"""The stages of the image, from Debian's archive to the signed file."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from zos.images import guest
from zos.images.node import archive, pack, packages, recipe, tools, tree
from zos.images.node.archive import Source
from zos.images.node.cache import PATIENCE, Cache, digest, tree_digest
from zos.images.node.tools import Tools
from zos.runtime import threads
from zos.runtime.files import write_atomic

MADE = (pack.IMAGE, pack.KERNEL, pack.INITRD, pack.CERTIFICATE)
GUEST = "usr/lib/zos/guest"
_FINISH = """\
set -e
chroot /tree systemd-sysusers
depmod -b /tree/usr "$1"
ldconfig -r /tree
rm -rf /tree/var/cache/ldconfig
chroot /tree /opt/zos/bin/python -m compileall -q -f --invalidation-mode unchecked-hash \
  /usr/lib/python3.13 /opt/zos/lib || test $? = 1
find /tree -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
"""


class Build:
    """One build: `source` is the checkout, `keys` the folder of what signs, `scratch` an empty folder."""

    def __init__(self, source: Path, cache: Path, keys: Path, scratch: Path, say: Callable[[str], None]) -> None:
        self._source = source
        self._texts = source / "images/node"
        self._home = cache
        self._cache = Cache(cache, say)
        self._keys = keys
        self._scratch = scratch
        self._say = say
        self._code = tree_digest(Path(__file__).parent)

    async def image(self, out: Path) -> Path:
        """Build everything that is not in the cache and write it to `out`; returns the path of the EFI file."""
        sources = await archive.known()
        self._say("asking what is in Debian's archive")
        dates = await archive.dates(sources, self._scratch)
        self._epoch = max(dates.values())
        state = [f"{suite} {date}" for suite, date in sorted(dates.items())]
        toolbox = await self._root("tools", sources, state)
        self._tools = Tools(toolbox, self._epoch)
        root = await self._root("packages", sources, state)
        program = await self._program(toolbox)
        finished = await self._tree(root, program)
        return await self._finish(root, finished, out)

    async def _root(self, name: str, sources: Sequence[Source], state: Sequence[str]) -> Path:
        text = (self._texts / name).read_text()

        async def make(folder: Path) -> None:
            await tools.install(folder / "root", text, sources, self._epoch)

        lines = [source.line for source in sources]
        return await self._cache.stage(name, [text, *lines, *state], make) / "root"

    async def _program(self, toolbox: Path) -> Path:
        locks = [(self._source / name).read_text() for name in (packages.LOCK, packages.BUILD_LOCK)]
        script = Path(packages.__file__).read_text()

        async def fetch(folder: Path) -> None:
            await packages.fetch(self._source, folder, self._scratch)

        wheels = await self._cache.stage("wheels", [*locks, script], fetch)
        code = [tree_digest(self._source / name) for name in ("zos", "examples", "images", "systemd")]

        async def make(folder: Path) -> None:
            made = await packages.install(self._tools, self._source, wheels, self._scratch / "program", self._epoch)
            await threads.run("keep zos", lambda: shutil.copytree(made, folder / "zos", symlinks=True), PATIENCE)

        project = (self._source / "pyproject.toml").read_text()
        return await self._cache.stage("zos", [wheels.name, toolbox.parent.name, *code, project], make) / "zos"

    async def _tree(self, root: Path, program: Path) -> Path:
        texts, inside = self._texts, self._home / "guest"
        await guest.build(inside, self._home / "kernels")
        recipes = [tree_digest(texts), tree_digest(self._source / "systemd"), self._code]

        async def make(folder: Path) -> None:
            target = folder / "tree"
            target.mkdir()
            release = await threads.run("put the files together", lambda: self._gather(root, program, target), PATIENCE)
            await self._tools.run(["sh", "-c", _FINISH, "finish", release], {target: "/tree"})
            tree.lock_out(target)
            await pack.erofs(self._tools, target, folder, self._epoch)
            rows = recipe.sizes(tree.measured(target))
            (folder / "sizes").write_bytes(msgspec.json.encode(rows))
            (folder / "release").write_text(release)
            await threads.run("remove the files", lambda: shutil.rmtree(target), PATIENCE)

        parts = [root.parent.name, program.parent.name, (inside / "stamp").read_text(), *recipes]
        return await self._cache.stage("tree", parts, make)

    def _gather(self, root: Path, program: Path, target: Path) -> str:
        selection, release = tree.select(root, self._texts, program)
        tree.copy(root, target, selection.kept)
        tree.add(program, target / "opt/zos")
        for name in ("vmlinux", "initramfs", "stamp"):
            (target / GUEST).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._home / "guest" / name, target / GUEST / name)
        for unit in (self._source / "systemd").glob("zos*.s*"):
            folder = "usr/lib/sysusers.d" if unit.name.endswith(".sysusers.conf") else tree.UNITS
            shutil.copyfile(unit, target / folder / unit.name.replace(".sysusers", ""))
        tree.add(self._texts / "files", target)
        tree.finish(target)
        return release

    async def _finish(self, root: Path, finished: Path, out: Path) -> Path:
        self._say("image")
        release = (finished / "release").read_text()
        made = self._scratch / "image"
        made.mkdir()
        shutil.copyfile(root / f"boot/vmlinuz-{release}", made / pack.KERNEL)
        shutil.copyfile(root / "usr/lib/os-release", made / "os-release")
        image = (finished / pack.ROOT).read_bytes()
        (made / pack.INITRD).write_bytes(pack.initrd(self._texts, root, release, image))
        self._keys.mkdir(parents=True, exist_ok=True, mode=0o700)
        key, certificate = self._keys / "key", self._keys / "crt"
        await pack.make_key(self._tools, key, certificate, made)
        await pack.sign(self._tools, made, self._texts, key, certificate, self._epoch)
        shutil.copyfile(certificate, made / pack.CERTIFICATE)
        rows: Mapping[str, int] = msgspec.json.decode((finished / "sizes").read_bytes(), type=dict[str, int])
        size = {name: (made / name).stat().st_size for name in MADE if name != pack.CERTIFICATE}
        packed = {"the root, packed": len(image), f"{pack.KERNEL} of Linux {release}": size[pack.KERNEL]}
        about = {
            "table": recipe.table(rows, {**packed, f"{pack.IMAGE}, the whole image": size[pack.IMAGE]}),
            "linux": release,
            "made_of": digest([finished.name]),
            "sha256": {name: hashlib.sha256((made / name).read_bytes()).hexdigest() for name in MADE},
        }
        out.mkdir(parents=True, exist_ok=True)
        for name in MADE:
            write_atomic(out / name, (made / name).read_bytes(), mode=0o644)
        write_atomic(out / "image.json", msgspec.json.format(msgspec.json.encode(about)) + b"\n", mode=0o644)
        return out / pack.IMAGE
