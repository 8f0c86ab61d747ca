"""Our 0-db beside redis-server: requests per second in alternated rounds of one run, and what millions of keys take.

    python tests/bench/bench_zdb.py [--rounds 5] [--size 4096] [--keys 3000000]

Needs Debian's redis-server and redis-tools. Redis keeps nothing on a disk here; it is the scale, not a rival.
Wanted: SET 0.5 and GET 0.8 of redis without sync, durable SET on 64 connections ten times that on one, 3 million keys
in 80 MB.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zos.zdb.recovery import open_namespace

OURS, REDIS = 9917, 9918
BATCH = 20_000


def rate(port: int, test: str, size: int, connections: int, count: int = 50_000) -> float:
    """Requests per second as redis-benchmark counts them."""
    words = f"redis-benchmark -p {port} -c {connections} -n {count} -d {size} -r 100000 -t {test} -q".split()
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=True)
    return float(re.findall(r"([\d.]+) requests per second", done.stdout)[-1])


@contextmanager
def ours(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """A server of ours."""
    folders = ["--data", f"{folder}/d", "--index", f"{folder}/i"]
    argv = [sys.executable, "-m", "zos.zdb", *folders, "--port", str(OURS)]
    with ended(subprocess.Popen([*argv, *options], stdout=subprocess.PIPE, text=True)) as server:
        assert server.stdout is not None
        server.stdout.readline()
        yield server


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """A process that does not outlive the block."""
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def beside_redis(folder: Path, rounds: int, size: int) -> None:
    """Rates without sync."""
    argv = ["redis-server", "--port", str(REDIS), "--save", "", "--dir", str(folder)]
    with ours(folder, "--no-sync"), ended(subprocess.Popen(argv, stdout=subprocess.DEVNULL, text=True)):
        for test in ("set", "get"):
            pairs = [(rate(OURS, test, size, 16), rate(REDIS, test, size, 16)) for _ in range(rounds)]
            mine, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
            ratio = statistics.median(a / b for a, b in pairs)
            print(f"{test} 16 connections: {mine:9.0f} redis {theirs:9.0f} ratio {ratio:.2f}")


def durable(folder: Path, rounds: int, size: int) -> None:
    """Acknowledged when it is on the disk: one connection and many."""
    with ours(folder):
        pairs = [(rate(OURS, "set", size, 1, 2000), rate(OURS, "set", size, 64, 20_000)) for _ in range(rounds)]
    one, many = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"durable set: 1 connection {one:.0f}, 64 connections {many:.0f}, ratio {many / one:.1f}")


def memory(folder: Path, count: int) -> None:
    """What a server takes that has so many keys."""
    space = open_namespace(
        b"default", folder / "i/default", folder / "d/default", is_sequential=False, data_size=1 << 28
    )
    for number in range(count):
        space.set(b"key:%012d" % number, b"x", 1)
        if number % BATCH == 0:
            space.settle_unsynced()
    space.settle_unsynced()
    space.files.close()
    with ours(folder) as server:
        text = Path(f"/proc/{server.pid}/smaps_rollup").read_text()
        pss = int(re.findall(r"Pss: +(\d+) kB", text)[0])
    print(f"{count} keys: {pss / 1000:.0f} MB PSS")


def main() -> None:
    """Print rates, ratios and memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--keys", type=int, default=3_000_000)
    wanted = parser.parse_args()
    for measure, argument in ((beside_redis, wanted.size), (durable, wanted.size)):
        with tempfile.TemporaryDirectory() as name:
            measure(Path(name), wanted.rounds, argument)
    if wanted.keys:
        with tempfile.TemporaryDirectory() as name:
            memory(Path(name), wanted.keys)


if __name__ == "__main__":
    main()
