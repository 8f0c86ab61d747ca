"""Runs programs of the release that the image is made of, whatever Debian builds it: in a root of their own."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from zos.images.node.archive import Source
from zos.images.node.recipe import CannotBuild, lines
from zos.runtime import proc

BUILD = 1800.0
"""Seconds for one program of the build."""
_INSIDE = """\
set -e
root=$1 && shift
mount -t proc proc "$root/proc"
while [ "$1" != -- ]; do
  mkdir -p "$root$2" && mount --bind "$1" "$root$2" && shift 2
done
shift
exec chroot "$root" "$@"
"""
_UNWANTED = ("doc", "man", "locale", "info", "lintian", "bug")


async def install(root: Path, packages: str, sources: Sequence[Source], epoch: int) -> None:
    """Make a root file system of Debian packages and what they depend on."""
    if shutil.which("mmdebstrap") is None:
        raise CannotBuild(problem="mmdebstrap is not installed (`make image` does that)")
    options = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in _UNWANTED]
    options += ["--aptopt=APT::Install-Recommends false", "--aptopt=Acquire::Languages none"]
    argv = ["mmdebstrap", "--mode=root", "--variant=essential", "--architectures=amd64", "--format=directory"]
    argv += ["--quiet", f"--include={','.join(lines(packages))}", *options, sources[0].suite, str(root)]
    argv += [source.line for source in sources]
    await proc.run(["nice", "-n", "10", *argv], deadline=BUILD, env=environment(epoch))
    # It lets its apt's user in.
    root.chmod(0o755)


def environment(epoch: int) -> Mapping[str, str]:
    """What decides nothing by the builder: neither his language nor his time."""
    return {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "HOME": "/root",
        "PYTHONHASHSEED": "0",
        "SOURCE_DATE_EPOCH": str(epoch),
    }


class Tools:
    """The root with the build's programs."""

    def __init__(self, root: Path, epoch: int) -> None:
        self._root = root
        self._epoch = epoch

    async def run(self, argv: Sequence[str], folders: Mapping[Path, str], input: bytes | None = None) -> str:
        """Run a program in the root, which sees these folders at these places."""
        shown = [word for folder, place in folders.items() for word in (str(folder.resolve()), place)]
        words = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--", "sh", "-c", _INSIDE, "tools"]
        words += [str(self._root.resolve()), *shown, "--", *argv]
        done = await proc.run(["nice", "-n", "10", *words], deadline=BUILD, env=environment(self._epoch), input=input)
        return done.text

    def file(self, path: str) -> Path:
        """A file of the root."""
        return self._root / path
