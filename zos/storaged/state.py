"""Mounts the node's state, which lies on one of its pools, before core-0 looks for the node's key.

    python -m zos.storaged.state

The first program of ours on a booted node (`zos-state.service`); it ends when the state is there, however long that
takes. A node that never had any gets one, on the first pool, which storaged then finds as it finds others.
"""

from __future__ import annotations

import asyncio
import os
import sys
from functools import partial
from pathlib import Path

from zos.errors import ZosError
from zos.runtime import config as configuration
from zos.runtime import threads
from zos.runtime.config import NodeConfig, Sources
from zos.runtime.files import write_atomic
from zos.storaged import bearer
from zos.storaged.bearer import STATE, Bears, Begin, Choice, Format, Wait
from zos.storaged.daemon import Config
from zos.storaged.host import LinuxHost, btrfs, mounts
from zos.storaged.host.contract import Host
from zos.storaged.model import Content, Layout, ObservedDevice, ObservedPool
from zos.storaged.steps import FormatDevice, MountPool, PreparePool

STATUS = Path("/run/zos-state")
"""Why there is no state yet, for the screen."""
PAUSE = 1.0
SETTLED = 5.0
"""Seconds for which the disks must stay the same before a node begins: some controllers show theirs late."""
PATIENCE = 20.0


class State:
    """The node's state: where it is on the pools, and where the daemons look for it."""

    def __init__(self, host: Host, layout: Layout, target: Path, status: Path = STATUS) -> None:
        self._host = host
        self._layout = layout
        self._target = target
        self._status = status
        self._told: str | None = None

    async def mount(self) -> str:
        """Wait for the state and mount it; returns its pool."""
        before: tuple[str, ...] = ()
        same = 0.0
        while True:
            devices = await self._host.devices()
            names = tuple(device.path for device in devices)
            same, before = (same + PAUSE if names == before else 0.0), names
            choice = await self._choose(devices)
            match choice:
                case Bears(label):
                    source = self._layout.pool(label) / STATE
                    await threads.run("mount the state", partial(mounts.bind, source, self._target), PATIENCE)
                    self._tell("")
                    return label
                case Wait(reason):
                    self._tell(reason)
                case Begin() | Format() if same < SETTLED:
                    self._tell("no disk has a node's state: waiting for late disks before a new node begins")
                case Begin(label):
                    await self._begin(label)
                    continue
                case Format(device):
                    await self._format(device)
                    continue
            await asyncio.sleep(PAUSE)

    async def _choose(self, devices: tuple[ObservedDevice, ...]) -> Choice:
        seen: dict[str, ObservedPool] = {}
        broken: list[str] = []
        for label, device in bearer.pools(devices).items():
            try:
                seen[label] = await self._mounted(label, device)
            except ZosError as err:
                broken.append(f"pool {label} on {device.path} cannot be mounted ({err.explain()})")
        bearers = [label for label in seen if await self._has_state(label)]
        return bearer.choose(devices, seen, bearers, broken)

    async def _mounted(self, label: str, device: ObservedDevice) -> ObservedPool:
        seen = await self._host.observe(label)
        if not seen.mounted:
            await self._host.apply((MountPool(label, device.path),))
            seen = await self._host.observe(label)
        return seen

    async def _has_state(self, label: str) -> bool:
        path = self._layout.pool(label) / STATE
        return await threads.run(f"look at {path}", lambda: btrfs.is_subvolume(path), PATIENCE)

    async def _format(self, device: ObservedDevice) -> None:
        again = device.content is Content.UNFINISHED
        label = device.label if again else bearer.first_label()
        self._tell(f"{device.path} becomes the node's first pool, {label}")
        await self._host.apply((FormatDevice(label, device.path, again),))

    async def _begin(self, label: str) -> None:
        self._tell(f"a new node begins on pool {label}")
        await self._host.apply((PreparePool(label),))
        path = self._layout.pool(label) / STATE
        await threads.run("make the state", lambda: btrfs.create_subvolume(path), PATIENCE)

    def _tell(self, text: str) -> None:
        if text != self._told:
            self._told = text
            sys.stderr.write(f"zos-state: {text or 'mounted'}\n")
            write_atomic(self._status, text.encode(), mode=0o644)


async def run(sources: Sources) -> str:
    """Mount the state of this machine; returns its pool, empty when something is mounted there already."""
    node = configuration.read(sources, "node", NodeConfig)
    config = configuration.read(sources, "storaged", Config)
    if os.path.ismount(node.state_dir):
        return ""
    layout = Layout(config.mounts, config.cache)
    while True:
        try:
            return await State(LinuxHost(layout, config.disks), layout, node.state_dir).mount()
        except ZosError as err:
            sys.stderr.write(f"zos-state: {err.explain()}\n")
            await asyncio.sleep(PAUSE)


def main() -> None:
    """Mounts the state and ends."""
    asyncio.run(run(Sources.of_system()))


if __name__ == "__main__":
    main()
