"""The last report of every machine, and the watchers of its changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from zos.vmd.api.types import MachineId, MachineInfo


class MachineFeed:
    """A slow watcher misses states in between, never the last one."""

    def __init__(self) -> None:
        self._infos: dict[MachineId, MachineInfo] = {}
        self._watchers: set[_Watcher] = set()

    def get(self, id: MachineId) -> MachineInfo | None:
        """The last report of one machine."""
        return self._infos.get(id)

    def put(self, info: MachineInfo) -> None:
        """Report a machine; watchers get it when it changed."""
        if self._infos.get(info.id) != info:
            self._infos[info.id] = info
            for watcher in self._watchers:
                watcher.notify(info)

    def drop(self, last: MachineInfo) -> None:
        """Forget a machine; watchers get `last`."""
        self._infos.pop(last.id, None)
        for watcher in self._watchers:
            watcher.notify(last)

    async def watch(self) -> AsyncIterator[MachineInfo]:
        """Every machine as it is now, then each change."""
        watcher = _Watcher()
        for info in self._infos.values():
            watcher.notify(info)
        self._watchers.add(watcher)
        try:
            while True:
                for info in await watcher.changes():
                    yield info
        finally:
            self._watchers.discard(watcher)


class _Watcher:
    def __init__(self) -> None:
        self._changes: dict[MachineId, MachineInfo] = {}
        self._changed = asyncio.Event()

    def notify(self, info: MachineInfo) -> None:
        self._changes[info.id] = info
        self._changed.set()

    async def changes(self) -> list[MachineInfo]:
        await self._changed.wait()
        self._changed.clear()
        changes, self._changes = self._changes, {}
        return list(changes.values())
