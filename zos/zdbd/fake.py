"""FakeHost: processes as a dict; keeps the real host's promise, for tests and sim/."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from zos.zdbd.api.errors import ServerFailed
from zos.zdbd.model import ObservedServer, Report, SpaceReport
from zos.zdbd.steps import StartServer, Step, StopServer, Tell


class FakeHost:
    """A machine whose disks' processes serve whatever they are told."""

    def __init__(self) -> None:
        self.servers: dict[str, ObservedServer] = {}
        self.steps: list[Step] = []
        self.problems: dict[str, str] = {}
        """By namespace: why it cannot be served."""
        self.silent: set[str] = set()
        """Pools whose process does not answer."""
        self._callback: Callable[[], None] = lambda: None

    def on_change(self, callback: Callable[[], None]) -> None:
        self._callback = callback

    def end(self, pool: str) -> None:
        """As if a process died."""
        self.servers.pop(pool, None)
        self._callback()

    def pools(self) -> frozenset[str]:
        return frozenset(self.servers)

    async def observe(self, pool: str) -> ObservedServer | None:
        await asyncio.sleep(0)
        if pool in self.silent:
            raise ServerFailed(pool=pool, problem="does not answer")
        return self.servers.get(pool)

    async def apply(self, steps: Sequence[Step]) -> None:
        for step in steps:
            await asyncio.sleep(0)
            match step:
                case StartServer(pool):
                    self.servers.setdefault(pool, ObservedServer())
                case StopServer(pool):
                    self.end(pool)
                case Tell(pool, desired):
                    if pool not in self.servers:
                        raise ServerFailed(pool=pool, problem="does not run")
                    spaces = {one.id: SpaceReport(problem=self.problems.get(one.id, "")) for one in desired.spaces}
                    self.servers[pool] = ObservedServer(desired, Report(spaces))
            self.steps.append(step)

    async def close(self) -> None:
        """Processes end with the daemon that started them."""
        self.servers.clear()
