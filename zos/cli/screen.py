"""The screen of a node: who it is, how it is reached, and what it waits for. Nothing can be typed.

    python -m zos.cli.screen

It draws on the machine's first virtual terminal, and writes to serial consoles, each time that something changes, as
lines. It asks the node's daemons as anybody on the node may, and shows what it could not learn as what is waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import textwrap
import time
from dataclasses import dataclass, field
from pathlib import Path

from zos.bus.client import Bus
from zos.chain.api import ChainClient
from zos.chain.api.types import ChainStatus
from zos.cli.render import fields, printable
from zos.core0.api import Core0Client
from zos.core0.api.types import UnitInfo, UnitState
from zos.errors import ZosError
from zos.networkd.api import NetworkdClient
from zos.networkd.api.types import Uplink
from zos.runtime import config as configuration
from zos.runtime import threads
from zos.runtime.config import NodeConfig, Sources
from zos.storaged.api import StoragedClient
from zos.storaged.api.types import Pool, PoolState

EVERY = 2.0
PATIENCE = 5.0
"""Seconds for a terminal to take a frame: a serial line may be slow, or stopped."""
TERMINAL = Path("/dev/tty1")
CONSOLES = Path("/sys/class/tty/console/active")
STATE = Path("/run/zos-state")
CLEAR = "\x1b[H\x1b[2J\x1b[?25l"
WIDTH = 80
"""Columns of the narrowest terminal that firmware leaves."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the node's daemons say; None where one did not answer."""

    farm: int = 0
    runmode: str = ""
    state: str | None = None
    """Why the node's state is not there; empty when it is."""
    address: str | None = None
    chain: ChainStatus | None = None
    uplinks: tuple[Uplink, ...] | None = None
    pools: tuple[Pool, ...] | None = None
    units: tuple[UnitInfo, ...] = field(default_factory=tuple)


def waits(seen: Seen) -> tuple[str, ...]:
    """What the node waits for, in the order in which it is needed; empty when it does its work."""
    if seen.state:
        return (seen.state,)
    if seen.address is None:
        return ("core-0 to start" if seen.state is not None else "the disks",)
    found = []
    if not seen.farm:
        found.append("a farm: the kernel's command line has no farmer_id=")
    if not _addresses(seen):
        found.append("an address: no network card has a carrier, or nobody answers its DHCP")
    elif seen.chain is None:
        found.append("the chain daemon to start")
    elif not seen.chain.connected:
        found.append(f"the chain at {seen.chain.url or 'no URL'}: {seen.chain.detail or 'it does not answer'}")
    elif not seen.chain.node:
        found.append(f"its registration on the chain{': ' if seen.chain.detail else ''}{seen.chain.detail}")
    for unit in seen.units:
        if unit.state is not UnitState.RUNNING:
            found.append(f"{unit.name}, which is {unit.state}{': ' if unit.detail else ''}{unit.detail}")
    for pool in seen.pools or ():
        if pool.state in (PoolState.BROKEN, PoolState.MISSING):
            found.append(f"disk {pool.device}, which is {pool.state}: {pool.detail}")
    return tuple(found)


def _addresses(seen: Seen) -> tuple[str, ...]:
    return tuple(address for uplink in seen.uplinks or () for address in uplink.addresses)


def frame(seen: Seen) -> str:
    """The screen as text."""
    chain = seen.chain
    ready = [pool for pool in seen.pools or () if pool.state is PoolState.READY]
    told = fields(
        {
            "farm": f"{seen.farm or '-'} ({seen.runmode})",
            "node": chain.node if chain and chain.node else None,
            "twin": chain.twin if chain and chain.twin else None,
            "account": seen.address,
            "addresses": ", ".join(_addresses(seen)) or None,
            "chain": chain.url if chain and chain.connected else None,
            "disks": ", ".join(f"{pool.device} ({pool.kind})" for pool in ready) or None,
        }
    )
    listed = waits(seen)
    waiting = ["waits for", *(f"  {text}" for text in listed)] if listed else ["registered, and at work"]
    lines = ["zos", "", *told.splitlines(), "", *waiting]
    return "".join(f"{_wrapped(line)}\n" for line in lines)


def _wrapped(line: str) -> str:
    return textwrap.fill(printable(line), WIDTH, subsequent_indent="    ")


async def look(bus: Bus, node: NodeConfig) -> Seen:
    """Ask the daemons."""
    state, address, chain, uplinks, pools = None, None, None, None, None
    units: tuple[UnitInfo, ...] = ()
    with contextlib.suppress(FileNotFoundError):
        state = STATE.read_text()
    with contextlib.suppress(ZosError):
        address = (await Core0Client(bus).identity()).address
        units = await Core0Client(bus).units()
    if address is not None:
        with contextlib.suppress(ZosError):
            uplinks = await NetworkdClient(bus).uplinks()
        with contextlib.suppress(ZosError):
            chain = await ChainClient(bus).status()
        with contextlib.suppress(ZosError):
            pools = await StoragedClient(bus).list_pools()
    return Seen(node.farm_id, node.runmode, state, address, chain, uplinks, pools, units)


def terminals(active: str) -> tuple[Path, ...]:
    """The serial consoles among the kernel's."""
    return tuple(Path("/dev", name) for name in active.split() if not name.startswith("tty0") and name != "tty")


async def _write(terminal: Path, text: str) -> None:
    def work() -> None:
        at = os.open(terminal, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.set_blocking(at, True)
            os.write(at, text.encode())
        finally:
            os.close(at)

    with contextlib.suppress(OSError, ZosError):
        await threads.run(f"write to {terminal}", work, PATIENCE)


async def run() -> None:
    """Show the node until the end."""
    node = configuration.read(Sources.of_system(), "node", NodeConfig)
    last = ""
    async with Bus(node.run_dir) as bus:
        while True:
            shown = frame(await look(bus, node))
            await _write(TERMINAL, f"{CLEAR}{shown}\n{time.strftime('%Y-%m-%d %H:%M:%S')} UTC\n")
            if shown != last:
                last = shown
                for terminal in terminals(CONSOLES.read_text() if CONSOLES.exists() else ""):
                    await _write(terminal, f"\n{shown}\n")
            await asyncio.sleep(EVERY)


if __name__ == "__main__":
    sys.exit(asyncio.run(run()))
