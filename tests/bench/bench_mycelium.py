"""Two networks over mycelium on one machine, against the bare cable between their nodes.

Throughput, latency, memory, and the processor seconds that both routers take for a gigabyte.

    python tests/bench/bench_mycelium.py [--seconds 5] [--rounds 3]

Absolute numbers are this machine's; the ratios are what to compare. Both routers and both ends share its processors.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "root"))

from netns import Node, join, node, until
from test_mycelium import Side

from zos.core0.api import Core0Client
from zos.mycelium.api import MyceliumClient

_SINK = """
import socket, sys
with socket.create_server((sys.argv[1], 7000), family=socket.AF_INET6) as server:
    while True:
        link, _ = server.accept()
        while link.recv(1 << 20):
            pass
"""
_SOURCE = """
import socket, sys, time
end, sent, block = time.monotonic() + float(sys.argv[2]), 0, bytes(1 << 16)
with socket.create_connection((sys.argv[1], 7000)) as link:
    began = time.monotonic()
    while time.monotonic() < end:
        sent += link.send(block)
    link.shutdown(socket.SHUT_WR)
    print(sent * 8 / (time.monotonic() - began) / 1e6)
"""


def throughput(here: Node, target: str, seconds: float, namespace: str = "") -> float:
    """Megabits per second of one TCP connection."""
    words = [sys.executable, "-c", f"'{_SOURCE}'", target, str(seconds)]
    return float(here.sh(" ".join(words), namespace=namespace, deadline=seconds + 20))


def latency(here: Node, target: str, namespace: str = "") -> float:
    """Milliseconds of a median ping."""
    said = here.sh(f"ping -6 -c 200 -i 0.002 -q {target}", namespace=namespace, deadline=30)
    return float(said.rpartition(" = ")[2].split("/")[1])


def spent(here: Node, pid: int) -> float:
    """Seconds of processor that a process took so far, as seen inside."""
    words = here.sh(f"cat /proc/{pid}/stat").rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def memory(here: Node, pid: int) -> float:
    """Megabytes that a process has for itself (PSS), as seen inside."""
    rollup = here.sh(f"cat /proc/{pid}/smaps_rollup")
    return int(next(line.split()[1] for line in rollup.splitlines() if line.startswith("Pss:"))) / 1024


async def measured(seconds: float) -> dict[str, float]:
    """Two new nodes carry traffic for that many seconds; answers each figure by its name."""
    with node("a") as a, node("b") as b:
        join(a, b)
        a.sh("ip addr add 192.0.2.1/24 dev eth0; ip -6 addr add 2001:db8::1/64 dev eth0 nodad")
        b.sh("ip addr add 192.0.2.2/24 dev eth0; ip -6 addr add 2001:db8::2/64 dev eth0 nodad")
        async with a.bus() as left, b.bus() as right:
            one = Side(a, MyceliumClient(left), Core0Client(left))
            two = Side(b, MyceliumClient(right), Core0Client(right))
            two.boot()
            one.boot('discovery = []\npeers = ["tcp://192.0.2.2:9651"]')
            await one.peers(1)
            await one.network("left")
            there = (await two.network("right")).gateway
            until(lambda: one.pings("left", there))
            b.start(sys.executable, "-c", _SINK, "2001:db8::2")
            b.start("nsenter", "--net=/run/netns/right", sys.executable, "-c", _SINK, there)
            until(lambda: b.ok("ss -Hlnt 'sport = 7000' | grep -q ."))
            until(lambda: b.ok("ss -Hlnt 'sport = 7000' | grep -q .", namespace="right"))
            routers = [(a, await one.pid()), (b, await two.pid())]
            began = [spent(*router) for router in routers]
            through = throughput(a, there, seconds, "left")
            took = [spent(*router) - before for router, before in zip(routers, began, strict=True)]
            gigabytes = through * seconds / 8e3
            return {
                "cable_mbit": throughput(a, "2001:db8::2", seconds),
                "mycelium_mbit": through,
                "sender_cpu_s_per_gb": took[0] / gigabytes,
                "receiver_cpu_s_per_gb": took[1] / gigabytes,
                "cpu_s_per_gb": sum(took) / gigabytes,
                "cable_ms": latency(a, "2001:db8::2"),
                "mycelium_ms": latency(a, there, "left"),
                "memory_mb": memory(a, await one.pid()),
            }


def main() -> None:
    """Print a table and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    rounds = [asyncio.run(measured(asked.seconds)) for _ in range(asked.rounds)]
    found = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
    found["throughput_ratio"] = found["mycelium_mbit"] / found["cable_mbit"]
    found["added_ms"] = found["mycelium_ms"] - found["cable_ms"]
    for name, value in found.items():
        print(f"{name:>18} {value:10.3f}")
    print(json.dumps({name: round(value, 4) for name, value in found.items()}))


if __name__ == "__main__":
    main()
