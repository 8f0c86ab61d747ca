"""A storaged as a process of its own, over loop files below one folder that nobody else has."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from netns import eventually

from zos.bus import Bus, Unreachable
from zos.model.units import GiB
from zos.storaged.api import DiskId, Evidence, EvidenceKind, Pool, StoragedClient, VolumeId

ROOT = Path(__file__).resolve().parents[2]
UPDATED = Evidence(EvidenceKind.SIGNED_UPDATE, 7, 1234, "version 1 has none of it")
DISK, VOLUME = DiskId("26-7-data"), VolumeId("26-7-shared")

UNIT = Path(__file__).with_name("unit.py")


def sh(*argv: str | Path) -> str:
    return subprocess.run([str(word) for word in argv], check=True, capture_output=True, text=True, timeout=30).stdout


@dataclass
class Node:
    """A folder with disks, and a storaged over them."""

    folder: Path
    config: str = ""
    loops: dict[Path, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def client(self) -> StoragedClient:
        return StoragedClient(self.bus)

    def __post_init__(self) -> None:
        self.bus = Bus(self.folder / "run")

    def disk(self, name: str, size: int = GiB(3)) -> Path:
        """A sparse file, attached to a loop device."""
        path = self.folder / name
        with path.open("ab") as file:
            file.truncate(size)
        self.attach(path)
        return path

    def attach(self, path: Path) -> str:
        self.loops[path] = sh("losetup", "--find", "--show", path).strip()
        return self.loops[path]

    def detach(self, path: Path) -> None:
        sh("losetup", "--detach", self.loops.pop(path))

    def start(self, *disks: Path | str) -> None:
        entries = json.dumps([str(disk) for disk in disks])
        (self.folder / "zos.toml").write_text(
            f'[node]\nrun_dir = "{self.folder}/run"\nstate_dir = "{self.folder}/state"\n[storaged]\ndisks = {entries}\n'
            f'mounts = "{self.folder}/mnt"\ncache = "{self.folder}/cache"\n{self.config}\n'
        )
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, UNIT, "storaged", self.folder / "run", self.folder / "state"],
                env={**os.environ, "ZOS_CONFIG": str(self.folder / "zos.toml")},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
            )

    async def up(self, *disks: Path | str) -> StoragedClient:
        """Start, and wait until it answers."""
        self.start(*disks)
        async with asyncio.timeout(20):
            while True:
                assert self.process is not None
                assert self.process.poll() is None, self.said()
                with contextlib.suppress(Unreachable):
                    await self.client.list_pools()
                    return self.client
                await asyncio.sleep(0.02)

    def kill(self, number: int = signal.SIGKILL) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(15)
            self.process = None

    def unmount(self) -> None:
        """As a reboot does."""
        table = Path("/proc/self/mounts").read_text().splitlines()
        for line in reversed(table):
            if line.split()[1].startswith(str(self.folder)):
                sh("umount", line.split()[1])

    def said(self) -> str:
        log = self.folder / "log"
        return log.read_text() if log.exists() else ""

    def end(self) -> None:
        self.kill()
        self.unmount()
        for path in list(self.loops):
            self.detach(path)


@contextlib.asynccontextmanager
async def node_below(folder: Path) -> AsyncIterator[Node]:
    """A node that leaves neither a mount nor a loop device behind; what its storaged said is printed."""
    made = Node(folder)
    try:
        yield made
    finally:
        sys.stderr.write(made.said())
        await made.bus.close()
        made.end()
    assert str(folder) not in Path("/proc/self/mounts").read_text()
    # The kernel lets a loop device go when the file system above it has written its last.
    await eventually(lambda: str(folder) not in sh("losetup", "--list", "--noheadings", "--output", "BACK-FILE"))


async def the_pool(client: StoragedClient) -> Pool:
    """The only one."""
    (pool,) = await client.list_pools()
    return pool


async def answers(ask: Callable[[], Awaitable[object]], answer: object) -> None:
    """Ask until that is the answer."""
    async with asyncio.timeout(30):
        while await ask() != answer:
            await asyncio.sleep(0.05)
