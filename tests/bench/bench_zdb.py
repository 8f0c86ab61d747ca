"""Our 0-db beside redis-server: requests per second in alternated rounds of one run.

    python tests/bench/bench_zdb.py [--rounds 5] [--size 4096]

Needs Debian's redis-server and redis-tools. Redis keeps nothing on a disk here; it is the scale, not a rival.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

OURS, REDIS = 9917, 9918


def rate(port: int, test: str, size: int, connections: int) -> float:
    """Requests per second as redis-benchmark counts them."""
    words = f"redis-benchmark -p {port} -c {connections} -n 50000 -d {size} -r 100000 -t {test} -q".split()
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=True)
    return float(re.findall(r"([\d.]+) requests per second", done.stdout)[-1])


def main() -> None:
    """Print a table: median of both, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=4096)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base = [sys.executable, "-m", "zos.zdb", "--data", folder / "d", "--index", folder / "i"]
        for label, option, connections in (
            ("no sync", "--no-sync", 16),
            ("sync", "--sync", 16),
            ("sync", "--sync", 64),
        ):
            ours = subprocess.Popen([*base, "--port", str(OURS), option], stdout=subprocess.PIPE, text=True)
            redis = subprocess.Popen(
                ["redis-server", "--port", str(REDIS), "--save", "", "--dir", name], stdout=subprocess.DEVNULL
            )
            assert ours.stdout is not None
            ours.stdout.readline()
            try:
                for test in ("set", "get"):
                    pairs = [
                        (rate(OURS, test, wanted.size, connections), rate(REDIS, test, wanted.size, connections))
                        for _ in range(wanted.rounds)
                    ]
                    mine, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
                    ratio = statistics.median(a / b for a, b in pairs)
                    head = f"{label:8} {test} {connections:3} connections"
                    print(f"{head}: {mine:9.0f} redis {theirs:9.0f} ratio {ratio:.2f}")
            finally:
                for process in (ours, redis):
                    process.terminate()
                    process.wait(20)


if __name__ == "__main__":
    main()
