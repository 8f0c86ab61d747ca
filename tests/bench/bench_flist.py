"""A mounted flist against the folder it was made of, in the same run.

    python tests/bench/bench_flist.py [--rounds 5] [--files 4000] [--size 256]

Mount time is from the call to the first listing, with the flist and its blocks cached. "warm" has the kernel's caches
of the mount filled; "cold" is a fresh mount with its blocks on disk (their page cache warm, as the folder's is);
"first" fetches every block from a hub on the loopback. Needs root; everything happens in a throw-away node.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "root"))

from flnode import A, FlNode, fl_node

MIB = 1 << 20


def make_source(folder: Path, files: int, size: int) -> Path:
    """Small files in folders, and one big file that does not compress."""
    root = folder / "source"
    for number in range(files):
        inside = root / f"d{number % 50}"
        inside.mkdir(parents=True, exist_ok=True)
        (inside / f"f{number}").write_bytes(os.urandom(4096))
    with (root / "big").open("wb") as file:
        for _ in range(size):
            file.write(os.urandom(MIB))
    return root


def names(root: Path) -> list[str]:
    """The small files, in a random order that is always the same."""
    found = sorted(f"{path.parent.name}/{path.name}" for path in root.glob("d*/*"))
    random.Random(1).shuffle(found)
    return found


def open_and_read(root: Path, files: list[str]) -> float:
    """Opens each file and reads its first 4 KiB; answers files per second."""
    base = str(root)
    began = time.perf_counter()
    for name in files:
        descriptor = os.open(f"{base}/{name}", os.O_RDONLY)
        os.read(descriptor, 4096)
        os.close(descriptor)
    return len(files) / (time.perf_counter() - began)


def walk(root: Path) -> float:
    """Entries per second, with their attributes."""
    began, count = time.perf_counter(), 0
    todo = [str(root)]
    while todo:
        with os.scandir(todo.pop()) as found:
            for entry in found:
                entry.stat(follow_symlinks=False)
                count += 1
                if entry.is_dir(follow_symlinks=False):
                    todo.append(entry.path)
    return count / (time.perf_counter() - began)


def sequential(root: Path) -> float:
    """MB/s of the big file."""
    buffer = bytearray(MIB)
    began, size = time.perf_counter(), 0
    with (root / "big").open("rb", buffering=0) as file:
        while got := file.readinto(buffer):
            size += got
    return size / (time.perf_counter() - began) / 1e6


def pss(here: FlNode) -> float:
    """MiB of the mount's processes."""
    text = here.node.sh(f"cat {' '.join(f'/proc/{pid}/smaps_rollup' for pid in here.servers())}")
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) / 1024


async def fresh(here: FlNode) -> tuple[Path, float]:
    """A new mount, and the milliseconds until it can be listed."""
    await here.client.drop_mount(A)
    began = time.perf_counter()
    info = await here.ensure("bench")
    root = here.inside(info.path)
    os.listdir(root)
    return root, (time.perf_counter() - began) * 1000


async def compare(
    here: FlNode, source: Path, rounds: int, measure: Callable[[Path], float], warm: bool
) -> tuple[float, float]:
    """The best of the mount and of the folder, by turns."""
    ours, theirs = [], []
    for _ in range(rounds):
        root, _ = await fresh(here)
        if warm:
            await asyncio.to_thread(measure, root)
        theirs.append(await asyncio.to_thread(measure, source))
        ours.append(await asyncio.to_thread(measure, root))
    return max(ours), max(theirs)


async def run(rounds: int, files: int, size: int) -> dict[str, float]:
    """Everything; prints as it goes."""
    result: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        source = make_source(Path(folder), files, size)
        async with fl_node() as here:
            began = time.perf_counter()
            here.make("bench", source)
            result["pack MB/s"] = (size * MIB + files * 4096) / (time.perf_counter() - began) / 1e6
            root, result["mount ms, first"] = await fresh(here)
            result["first MB/s"] = await asyncio.to_thread(sequential, root)
            small = names(source)
            result["first open+read/s"] = await asyncio.to_thread(open_and_read, root, small)
            result["PSS MiB, busy"] = pss(here)
            times = [(await fresh(here))[1] for _ in range(rounds)]
            result["mount ms, median"], result["mount ms, best"] = statistics.median(times), min(times)
            result["PSS MiB, idle"] = pss(here)
            for name, measure, warm in (
                ("open+read warm", lambda root: open_and_read(root, small), True),
                ("open+read cold", lambda root: open_and_read(root, small), False),
                ("find+stat warm", walk, True),
                ("find+stat cold", walk, False),
                ("sequential warm", sequential, True),
                ("sequential cold", sequential, False),
            ):
                # By the same way into the node's namespace: the longer path costs as much as the opening.
                ours, theirs = await compare(here, here.inside(source), rounds, measure, warm)
                result[name], result[f"{name} native"], result[f"{name} ratio"] = ours, theirs, ours / theirs
    return result


def main() -> None:
    """Print a table and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--files", type=int, default=4000)
    parser.add_argument("--size", type=int, default=256, help="MiB of the big file")
    wanted = parser.parse_args()
    result = asyncio.run(run(wanted.rounds, wanted.files, wanted.size))
    for name, value in result.items():
        print(f"{name:<28}{value:>14.3f}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
