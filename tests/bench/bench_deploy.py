"""The main job in a lab: from the contract's finalized block to the guest's own program, phase by phase.

    python tests/bench/bench_deploy.py [--rounds 5]

Needs root and no lab; it builds one of one node, deploys a machine with a disk `rounds` times, and removes all of it.
"own" is what the node adds: from the finalized block to the start of QEMU's processor (fetch, admission, network, disk,
flist, files, libvirt). The baseline of the same run is QEMU's and the guest's own boot, measured by the guest's clock
from its first instruction. Also shown: the footprint of the idle node (PSS and RSS of core-0 and its daemons, and their
CPU time per second).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lab"))

from labs import LAYOUT, addresses, core0_pid, zos

from zos.bus.client import Bus
from zos.cli.client import demo
from zos.vmd.api import VmdClient

SPEC = """
name: bench{number}
networks: {{net{number}: {{range: 10.{number}.0.0/16}}}}
machines:
  vm{number}:
    node: 1
    flist: {hub}/demo/web.fl
    cpu: 1
    memory: 256MiB
    entrypoint: /sbin/web
    disks: {{disk{number}: {{size: 64MiB, at: /data}}}}
"""


def noted(words: str) -> float:
    """When the node's journal says something for the first time (Unix seconds)."""
    for line in LAYOUT.log("node-1", "zos").read_text().splitlines():
        if line.endswith(words):
            day, clock = line.split()[:2]
            whole, _, milli = clock.partition(",")
            return time.mktime(time.strptime(f"{day} {whole}", "%Y-%m-%d %H:%M:%S")) + int(milli) / 1000
    raise AssertionError(f"the journal does not say: {words}")


async def guest_phases(machine: str) -> dict[str, float]:
    """What the guest's own clock says."""
    async with Bus(LAYOUT.sockets("node-1")) as bus:
        (one,) = [one for one in await VmdClient(bus).list_machines() if str(one.id).endswith(machine)]
    return {f"guest {phase}": seconds for phase, seconds in one.phases.items()}


def once(number: int, folder: Path) -> dict[str, float]:
    """Deploy one machine; seconds per phase."""
    path = folder / "spec.yaml"
    path.write_text(SPEC.format(number=number, hub=addresses().hub_url))
    contract = str(zos("deploy", str(path), state=folder)["contracts"]["1"])
    machine = f"vm{number}"
    while "web: serving" not in zos("logs", contract, machine, state=folder)["console"]:
        time.sleep(0.1)
    found = zos("why", contract, machine, state=folder)
    phases: dict[str, float] = {}
    for link in found["links"]:
        if link["took"]:
            word = link["what"].split()[0]
            phases[word] = phases.get(word, 0.0) + link["took"]
    own = noted(f"contract {contract}: {machine} is ok") - noted(f"contract {contract} created")
    guest = asyncio.run(guest_phases(machine))
    zos("cancel", contract, state=folder)
    whole = {"own": own, "finalized to userland": own + guest["guest userland"]}
    return {
        **phases,
        **guest,
        **whole,
        "whole against the guest's boot": whole["finalized to userland"] / guest["guest userland"],
    }


def footprint(seconds: float = 20.0) -> dict[str, float]:
    """Of the idle node's daemons: PSS and RSS in MiB, CPU in percent of one core."""
    core0 = psutil.Process(core0_pid("node-1"))
    processes = [core0, *core0.children(recursive=True)]
    before = sum(sum(one.cpu_times()[:2]) for one in processes)
    time.sleep(seconds)
    cpu = sum(sum(one.cpu_times()[:2]) for one in processes) - before
    sums: dict[str, float] = {"Pss": 0.0, "Rss": 0.0}
    for one in processes:
        for line in Path(f"/proc/{one.pid}/smaps_rollup").read_text().splitlines():
            name, _, rest = line.partition(":")
            if name in sums:
                sums[name] += int(rest.split()[0]) / 1024
    return {
        "daemons": len(processes),
        "PSS MiB": round(sums["Pss"], 1),
        "RSS MiB (baseline)": round(sums["Rss"], 1),
        "PSS against RSS": round(sums["Pss"] / sums["Rss"], 2),
        "CPU %": round(100 * cpu / seconds, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        zos("lab", "up", "--nodes", "1", state=folder)
        try:
            asyncio.run(demo.publish_guest(LAYOUT.box_state("hub") / "data", addresses().hub_url))
            idle = footprint()
            found: dict[str, list[float]] = {}
            for number in range(rounds):
                for phase, value in once(30 + number, folder).items():
                    found.setdefault(phase, []).append(value)
        finally:
            zos("lab", "down", state=folder)
    result: dict[str, Any] = {phase: round(statistics.median(values), 3) for phase, values in found.items()}
    print(
        json.dumps({"first": {k: round(v[0], 3) for k, v in found.items()}, "median": result, "idle": idle}, indent=1)
    )


if __name__ == "__main__":
    main()
