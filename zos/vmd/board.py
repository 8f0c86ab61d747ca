"""The state of all machines as last reported, and those who watch it change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from zos.vmd.api.types import MachineId, MachineInfo


class Board:
    """Latest reports; a slow watcher misses steps in between, never the last one."""

    def __init__(self) -> None:
        self._infos: dict[MachineId, MachineInfo] = {}
        self._watchers: set[_Watcher] = set()

    def get(self, id: MachineId) -> MachineInfo | None:
        """One machine."""
        return self._infos.get(id)

    def put(self, info: MachineInfo) -> None:
        """Tell how a machine is now."""
        if self._infos.get(info.id) != info:
            self._infos[info.id] = info
            for watcher in self._watchers:
                watcher.hear(info)

    def drop(self, last: MachineInfo) -> None:
        """A machine is gone; watchers hear its last report."""
        self._infos.pop(last.id, None)
        for watcher in self._watchers:
            watcher.hear(last)

    async def watch(self) -> AsyncIterator[MachineInfo]:
        """Every machine as it is now, then each change."""
        watcher = _Watcher()
        for info in self._infos.values():
            watcher.hear(info)
        self._watchers.add(watcher)
        try:
            while True:
                for info in await watcher.news():
                    yield info
        finally:
            self._watchers.discard(watcher)


class _Watcher:
    def __init__(self) -> None:
        self._news: dict[MachineId, MachineInfo] = {}
        self._rung = asyncio.Event()

    def hear(self, info: MachineInfo) -> None:
        self._news[info.id] = info
        self._rung.set()

    async def news(self) -> list[MachineInfo]:
        await self._rung.wait()
        self._rung.clear()
        news, self._news = self._news, {}
        return list(news.values())
