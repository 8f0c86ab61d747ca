"""What must hold: of the lab while it recovers, at rest, and after everything was cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from keeper import Keeping
from labs import LAYOUT, guests

from zos.bus.client import Bus
from zos.core0.api import Core0Client
from zos.errors import ZosError
from zos.lab.manager import Lab
from zos.provisiond.api import ProvisiondClient
from zos.storaged.api import StoragedClient

POLL = 0.5
LOOK = """\
ip -o link | sed 's/^[0-9]*: \\([^:@]*\\).*/link \\1/'
ip netns list | sed 's/^/namespace /; s/ (.*//'
sed 's/.* \\(\\/[^ ]*\\) .* - .*/mount \\1/' /proc/self/mountinfo | grep flist
nft list tables | sed 's/^/nft /'
nft list table bridge zos 2> /dev/null | sed -n 's/^\tchain \\(t-[^ ]*\\).*/guard \\1/p'
cat /proc/[0-9]*/cmdline 2> /dev/null | tr '\\0' '\\n' |
  grep -E '^(.*/)?(qemu-system[^/]*|virtiofsd|wireguard-go)$|serve.py$' | sed 's/^/process /'
true
"""


async def problems(box: str) -> list[str]:
    """Why a node is not well (yet)."""
    found = []
    try:
        async with Bus(LAYOUT.sockets(box)) as bus:
            units = await Core0Client(bus).units()
            found += [f"{box}: {unit.name} is {unit.state}" for unit in units if unit.state != "running"]
            machines = 0
            for one in await ProvisiondClient(bus).list():
                for workload in one["workloads"]:
                    state = workload["result"]["state"]
                    machines += workload["type"] == "zmachine" and state == "ok"
                    if state in ("init", "paused"):
                        name, contract = workload["name"], one["contract_id"]
                        text = workload["result"]["message"]
                        found.append(f"{box}: {name} of contract {contract} is {state} ({text})")
        running = len(await guests(box))
        if running != machines:
            found.append(f"{box}: {machines} machines are ok, {running} run")
    except (ZosError, StopIteration, OSError) as err:
        found.append(f"{box}: {err}")
    return found


async def of_all(boxes: Sequence[str], look: Callable[[str], Awaitable[list[str]]]) -> list[str]:
    """The problems of all boxes."""
    return [one for found in await asyncio.gather(*map(look, boxes)) for one in found]


async def until_none(look: Callable[[], Awaitable[list[str]]], seconds: float) -> list[str]:
    """Wait until there are no problems; returns those that stay."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while found := await look():
        if loop.time() > end:
            return found
        await asyncio.sleep(POLL)
    return []


async def seen(box: str) -> set[str]:
    """The links, namespaces, mounts, tables, guards and processes of a node that tenants could cause."""
    return {line for line in (await Lab(LAYOUT).run(box, ["sh", "-c", LOOK])).splitlines() if line.strip()}


async def leftovers(box: str, before: set[str]) -> list[str]:
    """What is left of tenants that have cancelled everything."""
    found = [f"{box}: {one} is left" for one in sorted(await seen(box) - before)]
    try:
        async with Bus(LAYOUT.sockets(box)) as bus:
            storaged = StoragedClient(bus)
            found += [f"{box}: contract {one['contract_id']} is listed" for one in await ProvisiondClient(bus).list()]
            found += [f"{box}: disk {one.id} is left" for one in await storaged.list_disks()]
            found += [f"{box}: volume {one.id} is left" for one in await storaged.list_volumes()]
            found += [f"{box}: pool {one.name}: {one.detail}" for one in await storaged.list_pools() if one.detail]
            for tombstone in await storaged.list_tombstones():
                if not tombstone.evidence.contract:
                    found.append(f"{box}: {tombstone.key} was dropped without evidence")
    except ZosError as err:
        found.append(f"{box}: {err}")
    return found


class Consoles:
    """Follows the consoles of all machines, as the nodes keep them."""

    def __init__(self, boxes: Sequence[str]) -> None:
        self.machines: dict[str, Keeping] = {}
        self._folders = {box: LAYOUT.box_state(box) / "lib-zos/vmd/consoles" for box in boxes}
        self._read: dict[Path, tuple[int, int]] = {}

    async def follow(self) -> None:
        """Read on and on."""
        while True:
            self.look()
            await asyncio.sleep(POLL)

    def look(self) -> None:
        """Read what is new."""
        for box, folder in self._folders.items():
            for path in sorted(folder.glob("*.log")):
                try:
                    self._look_at(f"{box} {path.stem}", path)
                except FileNotFoundError:
                    continue

    def _look_at(self, name: str, path: Path) -> None:
        with path.open("rb") as file:
            inode = path.stat().st_ino
            known, position = self._read.get(path, (inode, 0))
            file.seek(position if known == inode else 0)
            data = file.read()
            self._read[path] = inode, file.tell()
        # What the node gave up of an old console reads as zeros.
        self.machines.setdefault(name, Keeping(name)).hear(data.replace(b"\0", b"").decode(errors="replace"))

    def lists(self) -> dict[str, int]:
        """How often each machine has listed what it has."""
        return {name: machine.lists for name, machine in self.machines.items()}

    async def silent(self, since: dict[str, int]) -> list[str]:
        """The machines that run and have not listed everything twice since then."""
        self.look()
        found = []
        for box in self._folders:
            for id in await guests(box):
                name = f"{box} {id}"
                # Two folders, listed twice: a torn line is no lost file.
                if name not in self.machines or self.machines[name].lists < since.get(name, 0) + 4:
                    found.append(f"{name} does not show what it has kept")
        return found
