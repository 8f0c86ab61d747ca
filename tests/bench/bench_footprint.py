"""Footprint of an idle node: PSS of core-0 and all daemons together, and their CPU while nothing happens.

    python tests/bench/bench_footprint.py --pid PID-OF-CORE0 [--seconds 10]

PSS (proportional set size) counts a shared page once over all that share it; the baseline of the same run is the sum
of RSS, what the same daemons would seem to cost without sharing.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import time
from pathlib import Path

import psutil

MIB = 1024 * 1024


def memory(pid: int) -> dict[str, int]:
    """PSS, RSS and private bytes of one process, from smaps_rollup."""
    found = {"Pss": 0, "Rss": 0, "Private_Clean": 0, "Private_Dirty": 0}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in found:
            found[name] = int(rest.split()[0]) * 1024
    return found


def name_of(process: psutil.Process) -> str:
    """A daemon's name, by the folder of the socket that it listens on: forked daemons share one command line."""
    own = set()
    for descriptor in Path(f"/proc/{process.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            own.add(os.readlink(descriptor))
    # As the process sees them: the daemons of a lab are in a network of their own.
    for line in Path(f"/proc/{process.pid}/net/unix").read_text().splitlines():
        words = line.split()
        if len(words) == 8 and words[7].endswith("/bus.sock") and f"socket:[{words[6]}]" in own:
            return Path(words[7]).parent.name
    return process.name()


def main() -> None:
    """Print a table and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pid", type=int, required=True, help="core-0's process id")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long to watch the CPU")
    wanted = parser.parse_args()
    core0 = psutil.Process(wanted.pid)
    processes = [core0, *core0.children(recursive=True)]
    before = {p.pid: sum(p.cpu_times()[:2]) for p in processes}
    time.sleep(wanted.seconds)
    rows = []
    for process in processes:
        used = sum(process.cpu_times()[:2]) - before[process.pid]
        rows.append({"name": name_of(process), "pid": process.pid, **memory(process.pid), "cpu": used / wanted.seconds})
    print(f"{'process':<14}{'PSS MiB':>9}{'RSS MiB':>9}{'CPU %':>8}")
    for row in rows:
        print(f"{row['name']:<14}{row['Pss'] / MIB:>9.1f}{row['Rss'] / MIB:>9.1f}{row['cpu'] * 100:>8.2f}")
    total = {key: sum(row[key] for row in rows) for key in ("Pss", "Rss", "cpu")}
    print(f"{'all':<14}{total['Pss'] / MIB:>9.1f}{total['Rss'] / MIB:>9.1f}{total['cpu'] * 100:>8.2f}")
    print(json.dumps({"pss": total["Pss"], "rss": total["Rss"], "ratio": total["Pss"] / total["Rss"], "rows": rows}))


if __name__ == "__main__":
    main()
