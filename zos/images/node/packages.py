"""Makes the image's `/opt/zos`: this program and the Python packages that a node needs, pinned by their hashes."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from zos.images.node.recipe import CannotBuild
from zos.images.node.tools import BUILD, Tools, environment
from zos.runtime import proc

LOCK, BUILD_LOCK = "requirements-node.lock", "requirements-build.lock"
PYTHON = "3.13"
PLATFORMS = ("manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux_2_28_x86_64", "manylinux_2_34_x86_64")
COMPILED = "libvirt-python"
"""The one package that comes as source: it is compiled against the image's libvirt."""
_INSTALL = """\
set -e
python3 -m venv /srv/build
pip="/srv/build/bin/python -m pip --quiet --disable-pip-version-check --no-input --no-cache-dir"
offline="--no-index --no-deps --find-links /srv/wheels --find-links /srv/built"
$pip install $offline setuptools
# Debugging information names pip's own folder, which is another one each time.
export CFLAGS=-g0 LDFLAGS=-Wl,--build-id=none
$pip wheel $offline --no-build-isolation --wheel-dir /srv/built /srv/wheels/libvirt_python-*.tar.gz
python3 -m venv --without-pip /opt/zos
$pip --python /opt/zos/bin/python install $offline --no-compile --no-warn-script-location "$@" /srv/built/zos-*.whl
cd /opt/zos
rm -rf bin/activate* bin/Activate* include share lib64
ln -s lib lib64
# What pip notes of the installation differs from one to the next, and nobody asks.
rm -f lib/python*/site-packages/*.dist-info/RECORD lib/python*/site-packages/*.dist-info/direct_url.json
find lib -name '*.so*' -type f -exec strip --strip-unneeded {} +
# Type stubs, C sources and tests of the packages are not run.
for kind in pyi pyx pxd c h proto; do find lib -name "*.$kind" -delete; done
find lib -depth -type d \\( -name tests -o -name test \\) -path '*site-packages*' -exec rm -rf {} +
"""


def names(lock: str) -> tuple[str, ...]:
    """The packages of a lock file."""
    return tuple(re.findall(r"^([a-z0-9-]+)==", lock, re.MULTILINE))


async def fetch(source: Path, wheels: Path, scratch: Path) -> None:
    """Fetch the locked packages, by this machine's own pip and its configuration."""
    lock = (source / LOCK).read_text()
    blocks = re.split(r"^(?=[a-z0-9-]+==)", lock, flags=re.MULTILINE)
    compiled = scratch / "compiled.txt"
    others = scratch / "others.txt"
    compiled.write_text("".join(block for block in blocks if block.startswith(f"{COMPILED}==")))
    others.write_text("".join(block for block in blocks[1:] if not block.startswith(f"{COMPILED}==")))
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    pip += ["--no-deps", "--require-hashes", "--dest", str(wheels)]
    wheel = ["--only-binary", ":all:", "--implementation", "cp", "--python-version", PYTHON]
    wheel += [word for platform in PLATFORMS for word in ("--platform", platform)]
    for more in (
        [*wheel, "-r", str(others)],
        [*wheel, "-r", str(source / BUILD_LOCK)],
        ["--no-binary", ":all:", "--no-build-isolation", "-r", str(compiled)],
    ):
        await proc.run([*pip, *more], deadline=BUILD)


async def wheel(source: Path, built: Path, epoch: int) -> None:
    """Build this program's wheel."""
    argv = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    argv += ["--no-build-isolation", "--wheel-dir", str(built), str(source)]
    await proc.run(argv, deadline=BUILD, env=environment(epoch))


async def install(tools: Tools, source: Path, wheels: Path, work: Path, epoch: int) -> Path:
    """Install all of it; returns what is to be `/opt/zos`. `work` is an empty folder."""
    built, target = work / "built", work / "zos"
    for folder in (built, target):
        folder.mkdir(parents=True)
    await wheel(source, built, epoch)
    if not list(built.glob("zos-*.whl")):
        raise CannotBuild(problem="no wheel of zos was built")
    wanted: Sequence[str] = names((source / LOCK).read_text())
    folders = {work: "/srv", wheels: "/srv/wheels", target: "/opt/zos"}
    await tools.run(["sh", "-c", _INSTALL, "install", *wanted], folders)
    return target
