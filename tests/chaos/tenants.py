"""The tenants: they deploy, change and cancel by the user's command line, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labs import command, environment

PATIENCE = 60.0
"""Seconds after which a tenant gives a command up: it is killed, and tried again some time later."""
MACHINES = 2
SIZE, GROWTH = 256, 64
"""MiB of a disk and of a new volume, and what a change adds to volumes."""
FAILED = 9


@dataclass
class Desired:
    """A deployment as its tenant wants it."""

    name: str
    node: int
    machines: int = 1
    volume: int = SIZE
    """MiB; a disk that a machine mounts does not grow."""

    def text(self, flist: str) -> str:
        """The file for `zos deploy`."""
        return json.dumps(
            {
                "name": self.name,
                "networks": {f"{self.name}net": {"range": "10.77.0.0/16"}},
                "machines": {f"{self.name}vm{number}": self._machine(number, flist) for number in range(self.machines)},
            }
        )

    def _machine(self, number: int, flist: str) -> dict[str, Any]:
        own = f"{self.name}x{number}"
        return {
            "node": self.node,
            "flist": flist,
            "memory": "256MiB",
            "entrypoint": "/sbin/keeper",
            "env": {"KEEP": "/data /share", "PATH": "/bin"},
            "disks": {f"{own}d": {"size": f"{SIZE}MiB", "at": "/data"}},
            "volumes": {f"{own}v": {"size": f"{self.volume}MiB", "at": "/share"}},
        }


@dataclass
class Tenant:
    """One user with a twin."""

    name: str
    state: Path
    key: Path
    flist: str
    nodes: Sequence[int]
    chance: random.Random
    done: Counter[str] = field(default_factory=Counter)
    desired: Desired | None = None
    number: int = 0

    async def zos(self, *words: str, patience: float = PATIENCE) -> tuple[int, str, str]:
        """Run the command line; its exit code, answer and complaints."""
        process = await asyncio.create_subprocess_exec(
            *command(*words),
            "--key",
            str(self.key),
            env=environment(self.state),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(patience):
                out, err = await process.communicate()
        except TimeoutError:
            return FAILED, "", f"given up after {patience:.0f} s"
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        return process.returncode or 0, out.decode(errors="replace"), err.decode(errors="replace")

    async def join(self) -> None:
        self.state.mkdir(parents=True, exist_ok=True)
        code, _, err = await self.zos("twin", "create")
        if code:
            raise RuntimeError(f"{self.name} has no twin: {err[-500:]}")

    async def begin(self) -> None:
        """The first deployment, while nothing goes wrong."""
        self._want()
        if problem := await self.deploy("deploy", wait=True):
            raise RuntimeError(f"{self.name} gets no machine in a lab without faults: {problem[-500:]}")

    def _want(self) -> None:
        self.number += 1
        self.desired = Desired(f"{self.name}{self.number}", self.chance.choice(self.nodes))

    async def live(self, end: asyncio.Event) -> None:
        """Do one thing after another until the end."""
        while not end.is_set():
            await self.act()
            pause = 5.0 + 20.0 * self.chance.random()
            try:
                async with asyncio.timeout(pause):
                    await end.wait()
            except TimeoutError:
                continue

    async def act(self) -> None:
        """Deploys when the tenant has nothing; else grows, adds to, repeats or cancels what it has."""
        if self.desired is None:
            self._want()
            await self.deploy("deploy")
            return
        action = self.chance.choices(("grow", "add", "again", "cancel"), (4, 3, 2, 2))[0]
        if action == "cancel":
            await self.cancel()
            return
        if action == "grow":
            self.desired.volume += GROWTH
        if action == "add":
            self.desired.machines = min(MACHINES, self.desired.machines + 1)
        await self.deploy("again" if action == "again" else "update")

    async def deploy(self, what: str, *, wait: bool = False) -> str:
        """Make what is wanted so; returns what went wrong."""
        assert self.desired is not None
        file = self.state / "desired.yaml"
        file.write_text(self.desired.text(self.flist))
        words = ["deploy", str(file)] if wait else ["deploy", str(file), "--no-wait"]
        code, _, err = await self.zos(*words, patience=240.0 if wait else PATIENCE)
        self.done[what if code == 0 else f"{what} failed"] += 1
        return err if code else ""

    async def cancel(self) -> bool:
        """End it; whether that succeeded. What may have ended is not wanted any more."""
        assert self.desired is not None
        contracts = self.contracts()
        code = 0
        if contracts:
            code, _, _ = await self.zos("cancel", *map(str, contracts))
        self.done["cancel" if code == 0 else "cancel failed"] += 1
        if code == 0:
            self.desired = None
        return code == 0

    def contracts(self) -> list[int]:
        """Those that it remembers."""
        found = []
        for path in self.state.glob("*.json"):
            record = json.loads(path.read_text())
            if isinstance(record, dict):
                found += list(record.get("contracts", {}).values())
        return found

    async def open_contracts(self) -> list[int]:
        """Those that its twin has on the chain, remembered or not."""
        code, out, err = await self.zos("contract", "list", "--mine")
        if code:
            raise RuntimeError(f"{self.name} cannot list its contracts: {err[-500:]}")
        return [int(one["id"]) for one in json.loads(out) if one["state"] != "Deleted"]
