"""Builds the node's image: `make image`.

    python -m zos.images.node [--out FOLDER] [--cache FOLDER] [--key FOLDER]

Its last line is the path of the EFI file; kernel and initramfs, for a direct boot, lie beside it. The same sources and
the same state of Debian's archive make the same bytes. What was made once is found in the cache, by all that went into
it, so that an interrupted build goes on.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import json
import os
import sys
import tempfile
from pathlib import Path

from zos.errors import ZosError
from zos.images.node.build import Build
from zos.runtime import data

HERE = data.folder("images").parent


def _say(text: str) -> None:
    sys.stderr.write(f"\033[1m==>\033[0m {text}\n")


async def build(out: Path, cache: Path, keys: Path) -> Path:
    """Build into `out`; returns the image's path. A second build with this cache waits."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / ".lock").open("w") as lock, tempfile.TemporaryDirectory(dir=cache, prefix=".work-") as scratch:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return await Build(HERE, cache, keys, Path(scratch), _say).image(out)


def main() -> int:
    """Builds as the command line says; answers the exit code."""
    parser = argparse.ArgumentParser(prog="zos.images.node", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE / "dist/image", help="where to write (default: %(default)s)")
    parser.add_argument("--cache", type=Path, default=HERE / ".cache/image", help="(default: %(default)s)")
    parser.add_argument("--keys", type=Path, help="folder of `key` and `crt`, which sign (default: made in the cache)")
    wanted = parser.parse_args()
    if os.geteuid() != 0:
        sys.stderr.write("a root file system is made by root\n")
        return 1
    try:
        made = asyncio.run(build(wanted.out, wanted.cache, wanted.keys or wanted.cache / "keys"))
    except ZosError as err:
        sys.stderr.write(f"{err.explain()}\n{err.advice()}\n")
        return 1
    sys.stderr.write(json.loads((made.parent / "image.json").read_text())["table"])
    sys.stdout.write(f"{made}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
