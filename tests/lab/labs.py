"""What the tests do with a lab: the user's command line, the daemons' APIs, kills, and waiting."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import zlib
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from zos.bus.client import Bus
from zos.cli import main as cli
from zos.cli.out import Out
from zos.core0.api import Core0Client
from zos.lab.addresses import Addresses
from zos.lab.manager import Lab
from zos.lab.topology import Layout
from zos.provisiond.api import ProvisiondClient
from zos.vmd.api import VmdClient

NAME = os.environ.get("ZOS_LAB") or f"test-{zlib.crc32(os.fsencode(__file__)):08x}"
"""These tests' own lab: those of another checkout, or of a user, do not meet it."""
LAYOUT = Layout.of(NAME)
HUB = LAYOUT.box_state("hub") / "data"
UNITS = ["storaged", "networkd", "mycelium", "chain", "flistd", "vmd", "zdbd", "provisiond", "capacityd", "rmb"]


def command(*argv: str) -> list[str]:
    """The user's command line."""
    return [sys.executable, "-m", "zos.cli.main", *argv, "--json"]


# Nothing is said about chain, key, hub or relay but by the lab.
for _name in ("ZOS_CHAIN", "ZOS_KEY", "ZOS_HUB", "ZOS_RELAY"):
    os.environ.pop(_name, None)


def environment(state: Path) -> dict[str, str]:
    """Environment of the user's commands: this lab, and records of their own."""
    return {**os.environ, "ZOS_STATE": str(state), "ZOS_LAB": NAME}


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def _run(argv: Sequence[str], state: Path) -> Done:
    out, err = StringIO(), StringIO()
    line = [*argv, "--state", str(state)]
    arguments = cli.parser(line).parse_args(line)
    ctx = cli.context(arguments)
    ctx.out, ctx.lab_name = Out(True, out, err), NAME
    code = asyncio.run(cli.perform(arguments, ctx))
    return Done(code, out.getvalue(), err.getvalue())


def addresses() -> Addresses:
    """The lab's addresses; it has them once it is up."""
    return Lab(LAYOUT).addresses


def zos(*argv: str, state: Path, check: bool = True) -> Any:
    """Run the user's command line; its JSON answer, or what became of it when `check` is off.

    It runs in this process, in a thread with an event loop of its own: to start a program takes it longer than to act.
    """
    with ThreadPoolExecutor(1) as thread:
        done = thread.submit(_run, argv, state).result(280)
    if not check:
        return done
    assert done.returncode == 0, f"zos {' '.join(argv)}: {done.stderr[-2000:]}"
    return json.loads(done.stdout) if done.stdout.strip() else None


def world() -> dict[str, list[str]]:
    """What a lab could leave on this machine."""

    def lines(*argv: str) -> list[str]:
        return sorted(subprocess.run(argv, capture_output=True, text=True, timeout=30, check=True).stdout.splitlines())

    links = [line.split(":")[1].strip() for line in lines("ip", "-o", "link")]
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    processes = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            text = path.read_bytes().decode(errors="replace")
            if "zos-lab" in text or "zos.core0" in text or "/zos/lab/init.py" in text:
                processes.append(text.replace("\0", " "))
    return {
        "links": links,
        "mounts": sorted(mounts),
        # Loop devices are the whole machine's; those of others' files come and go as they please.
        "loops": [
            line
            for line in lines("losetup", "-n", "-O", "NAME,BACK-FILE")
            if line.split()[1].startswith(str(LAYOUT.state))
        ],
        "nft": lines("nft", "list", "tables"),
        "namespaces": lines("ip", "netns", "list"),
        "processes": sorted(processes),
        "folders": sorted(str(path) for path in (LAYOUT.state, LAYOUT.run) if path.exists()),
    }


def box_pid(name: str) -> int:
    """A box's first process."""
    return Lab(LAYOUT).pid(name)


def box_of(node: int, state: Path) -> str:
    """The box of a node of the chain; ids are given in the order of registration."""
    return str(next(one["name"] for one in zos("lab", "status", state=state) if one["node"] == node))


async def unit_pid(node: str, unit: str) -> int:
    """A daemon's process, as the node counts."""
    async with Bus(LAYOUT.sockets(node)) as bus:
        return next(one.pid for one in await Core0Client(bus).units() if one.name == unit)


async def kill(node: str, pid: int) -> None:
    """kill -9 by the process id that the node itself sees."""
    await Lab(LAYOUT).run(node, ["kill", "-KILL", str(pid)])


def core0_pid(node: str) -> int:
    """core-0's process, as this machine counts."""
    init = box_pid(node)
    pids = [int(pid) for pid in Path(f"/proc/{init}/task/{init}/children").read_text().split()]
    return next(pid for pid in pids if b"zos.core0" in Path(f"/proc/{pid}/cmdline").read_bytes())


async def eventually(what: Callable[[], Awaitable[object]], seconds: float = 30.0) -> None:
    """Return when an async predicate is true; exceptions of it count as false."""
    last: BaseException | None = None
    try:
        async with asyncio.timeout(seconds):
            while True:
                try:
                    if await what():
                        return
                except Exception as err:  # noqa: BLE001 - what is being restarted answers with all kinds of errors
                    last = err
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"{what.__name__} did not come true in {seconds} s; last: {last}") from last


async def guests(node: str) -> dict[str, int]:
    """The machines that run, with their processes."""
    async with Bus(LAYOUT.sockets(node)) as bus:
        return {str(one.id): one.pid for one in await VmdClient(bus).list_machines() if one.state == "running"}


async def states(node: str, contract: int) -> dict[str, str]:
    """A deployment's workloads and their states; empty while the node does not know it."""
    async with Bus(LAYOUT.sockets(node)) as bus:
        for one in await ProvisiondClient(bus).list():
            if one["contract_id"] == contract:
                return {workload["name"]: workload["result"]["state"] for workload in one["workloads"]}
    return {}


SPEC = """
name: {name}
networks:
  {name}net: {{range: 10.77.0.0/16}}
machines:
  {name}vm:
    node: 1
    flist: {flist}
    cpu: 1
    memory: 256MiB
    entrypoint: /sbin/web
    disks:
      {name}disk: {{size: {size}, at: /data}}
"""


def web() -> str:
    """The demo's guest on the lab's hub."""
    return f"{addresses().hub_url}/demo/web.fl"


def spec(folder: Path, name: str, flist: str = "", size: str = "64MiB") -> Path:
    """A file for `zos deploy`: a machine with a disk on node 1, all named after `name`; the demo's guest by default."""
    path = folder / f"{name}.yaml"
    path.write_text(SPEC.format(name=name, flist=flist or web(), size=size))
    return path


def contracts(name: str, state: Path) -> list[int]:
    """The contracts of a deployment, as the user's record has them."""
    records = [json.loads(path.read_text()) for path in state.glob(f"{name}@*.json")]
    return [contract for record in records for contract in record["contracts"].values()]
