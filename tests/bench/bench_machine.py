"""A container's boot: through vmd's API, against bare QEMU with the same kernel, initramfs, root and processor.

    python tests/bench/bench_machine.py [--rounds 5]

Each boot is timed from the call (or from the start of virtiofsd) to the first line of the guest's own program, in a
throw-away node; the two ways take turns. Also shown: the guest's own clock at each phase, and a drop.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "root"))

from vmnode import VmNode, tree, vm_node

from zos.bus import Unreachable
from zos.images import guest
from zos.model.units import MiB
from zos.vmd import domain, seed
from zos.vmd.api import Machine, MachineId, MachineKind, VmdClient

ID = MachineId("bench")
DEADLINE = 120.0


def wait_for(claim: Callable[[], bool]) -> None:
    """Look again and again, closely."""
    end = time.monotonic() + DEADLINE
    while not claim():
        assert time.monotonic() < end, "it did not boot"
        time.sleep(0.01)


def bare(node: VmNode, machine: Machine) -> float:
    """One boot by hand; seconds to the guest's program."""
    folder = node.folder / "bare"
    folder.mkdir(exist_ok=True)
    socket, console, initrd = folder / "fs", folder / "console", folder / "initrd"
    for path in (socket, console):
        path.unlink(missing_ok=True)
    initrd.write_bytes((guest.OUT / "initramfs").read_bytes() + seed.initrd_part(machine))
    memory = f"{machine.memory >> 20}M"
    qemu = f"""
        {domain.EMULATOR} -M q35,memory-backend=m -accel tcg,tb-size=32 -cpu max -m {memory} -smp {machine.cpu}
        -object memory-backend-memfd,id=m,share=on,size={memory} -nodefaults -no-user-config -display none -no-reboot
        -kernel {guest.OUT}/vmlinux -initrd {initrd} -serial file:{console}
        -chardev socket,id=fs,path={socket} -device vhost-user-fs-pci,chardev=fs,tag=vroot,queue-size=1024
        -object rng-random,id=r,filename=/dev/urandom -device virtio-rng-pci,rng=r
    """
    began = time.monotonic()
    server = node.node.enter(
        str(domain.FILE_SERVER), f"--socket-path={socket}", "-o", f"source={machine.root},cache=always,xattr"
    )
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    files = subprocess.Popen(server, **quiet)  # type: ignore[call-overload]
    wait_for(socket.exists)
    argv = node.node.enter(*qemu.split(), "-append", domain.cmdline(machine))
    guest_process = subprocess.Popen(argv, **quiet)  # type: ignore[call-overload]
    wait_for(lambda: console.exists() and b"ready" in console.read_bytes())
    took = time.monotonic() - began
    node.node.sh("pkill -f 'qemu-system.*/bare/' ; pkill -f 'virtiofsd.*/bare/'", check=False)
    for process in (guest_process, files):
        process.wait(DEADLINE)
    return took


async def ours(node: VmNode, client: VmdClient, machine: Machine) -> dict[str, float]:
    """One boot by vmd."""
    console = node.folder / f"state/vmd/consoles/{machine.id}.log"
    began = time.monotonic()
    await client.ensure_machine(machine)
    called = time.monotonic() - began
    await asyncio.to_thread(wait_for, lambda: b"ready" in console.read_bytes())
    took = time.monotonic() - began
    phases = (await client.machine(machine.id)).phases
    began = time.monotonic()
    await client.drop_machine(machine.id)
    return {
        "ready": took,
        "call": called,
        "drop": time.monotonic() - began,
        **{f"guest {k}": v for k, v in phases.items()},
    }


async def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    await guest.build()
    with vm_node("bench") as node:
        node.vmd()
        root = tree(node.folder)
        machine = Machine(ID, "bench", MachineKind.CONTAINER, 1, MiB(256), root=root, entrypoint="/sbin/talk")
        found: dict[str, list[float]] = {}
        async with node.bus() as bus:
            client = VmdClient(bus)
            while True:
                with contextlib.suppress(Unreachable):
                    await client.acceleration()
                    break
                await asyncio.sleep(0.05)
            for number in range(rounds + 1):
                measured = await ours(node, client, machine)
                measured["bare QEMU ready"] = await asyncio.to_thread(bare, node, machine)
                if number:  # the first warms caches
                    for name, value in measured.items():
                        found.setdefault(name, []).append(value)
        result = {name: round(statistics.median(values), 3) for name, values in found.items()}
        result["vmd against bare"] = round(result["ready"] / result["bare QEMU ready"], 2)
        print(json.dumps(result, indent=1))


if __name__ == "__main__":
    asyncio.run(main())
