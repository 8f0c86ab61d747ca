"""The real host: btrfs on this machine's devices."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar, assert_never

from zos.runtime import proc, threads
from zos.runtime.threads import CallTooSlow, Threads
from zos.storaged import plan, steps
from zos.storaged.api.errors import DeviceRefused, DiskFull
from zos.storaged.host import block, btrfs, image, mounts
from zos.storaged.host.contract import Item
from zos.storaged.host.files import Files
from zos.storaged.model import Content, Fill, Layout, ObservedDevice, ObservedPool
from zos.storaged.steps import FormatDevice, Step

T = TypeVar("T")

PATIENCE = 20.0
"""Seconds for one piece of work on a device; btrfs answers in microseconds, a dying disk in tens of seconds."""
FORMAT_PATIENCE = 300.0
"""mkfs discards the whole device first."""


class LinuxHost:
    """This machine, or the namespaces that stand for one."""

    def __init__(self, layout: Layout, entries: Sequence[str] = ()) -> None:
        self._layout = layout
        self._entries = tuple(entries)
        self._files = Files(layout)
        # By pool or device: one that is dead holds up nobody but its own callers.
        self._threads = Threads()

    async def devices(self) -> tuple[ObservedDevice, ...]:
        found = await threads.run("list the devices", lambda: block.candidates(self._entries), PATIENCE)
        return tuple(await asyncio.gather(*(self._look(path, entry) for path, entry in found)))

    async def _look(self, path: str, entry: str) -> ObservedDevice:
        def work() -> ObservedDevice:
            return block.look(path, entry, self._layout)

        try:
            device = await self._on(path, f"read {path}", work)
        except DeviceRefused as err:
            return ObservedDevice(path, 0, Content.UNREADABLE, detail=err.facts["problem"], entry=entry)
        if device.content is Content.BLANK and (signature := await _signature(path)):
            return ObservedDevice(path, device.size, Content.OTHER, "", signature, device.rotational, entry)
        return device

    async def observe(self, pool: str, only: Item | None = None) -> ObservedPool:

        def work() -> ObservedPool:
            return self._files.observe(pool, only)

        action = f"look at pool {pool}"
        try:
            return await self._on(pool, action, work)
        except OSError as err:
            raise DeviceRefused(action=action, problem=err.strerror or err) from err

    async def apply(self, steps: Sequence[Step]) -> None:
        for step in steps:
            try:
                if isinstance(step, FormatDevice):
                    await _format(step)
                else:
                    await self._on(step.pool, step.describe(), lambda step=step: self._apply_step(step))  # type: ignore[misc]
            except (OSError, proc.ProgramFailed) as err:
                raise _refusal(err, step.pool, step.describe()) from err

    async def _on(self, device: str, action: str, work: Callable[[], T], deadline: float = PATIENCE) -> T:
        """Do blocking work on a pool or device, one piece at a time."""
        try:
            return await self._threads.run(device, action, work, deadline)
        except CallTooSlow as err:
            problem = f"the device did not answer within {float(err.facts['seconds']):.0f} s"
            raise DeviceRefused(action=action, problem=problem) from None

    async def fill(self, fill: Fill, stop: threading.Event) -> None:

        def work() -> None:
            with image.opened(fill) as (source, size):
                target = self._files.open_part(fill.pool, fill.part, fill.size)
                try:
                    image.copy(source, target, size, stop)
                finally:
                    os.close(target)

        try:
            # Not one of the pool's calls: a long copy must not hold up the others. `stop` ends it.
            await threads.run(f"copy image {fill.image}", work, deadline=None)
        except OSError as err:
            raise _refusal(err, fill.pool, f"copy image {fill.image} to disk {fill.id}") from err

    def _apply_step(self, step: Step) -> None:
        files = self._files
        if not isinstance(step, steps.MountPool) and btrfs.label(self._layout.pool(step.pool)) != step.pool:
            raise OSError(errno.ENODEV, "the pool is not mounted")  # below is the system's own disk
        match step:
            case steps.MountPool(pool, device):
                if btrfs.label(self._layout.pool(pool)) != pool:
                    mounts.btrfs(device, self._layout.pool(pool))
            case steps.PreparePool(pool):
                files.prepare(pool)
            case steps.MeasureDevice(pool, device, rotational):
                speed = block.measure(device)
                kind = plan.classify(rotational, block.is_nvme(device), speed.median)
                files.measure(pool, kind, speed, rotational)
            case steps.CreateDisk(pool, id, size):
                files.create_disk(pool, id, size)
            case steps.GrowDisk(pool, id, size):
                files.grow_disk(pool, id, size)
            case steps.FinishFill(pool, id, part, size, identity):
                files.finish_fill(pool, id, part, size, identity)
            case steps.DropPart(pool, part):
                files.drop_part(pool, part)
            case steps.CreateVolume(pool, id, size, owner):
                files.create_volume(pool, id, size, owner)
            case steps.LimitVolume(pool, id, size):
                files.limit_volume(pool, id, size)
            case steps.MakeTombstone(pool, kind_, id, name):
                files.make_tombstone(pool, kind_, id, name)
            case steps.RestoreTombstone(pool, kind_, id, name):
                files.restore_tombstone(pool, kind_, id, name)
            case steps.EraseTombstone(pool, kind_, name):
                files.erase_tombstone(pool, kind_, name)
            case steps.CreateCache(pool, size):
                files.create_cache(pool, size)
            case steps.LimitCache(pool, size):
                files.limit_cache(pool, size)
            case steps.MountCache(pool):
                mounts.bind(self._layout.pool(pool) / "zos-cache", self._layout.cache)
            case FormatDevice():
                raise AssertionError(step)
            case _:
                assert_never(step)


def _refusal(err: Exception, pool: str, action: str) -> DeviceRefused | DiskFull:
    if isinstance(err, OSError) and err.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(pool=pool, action=action)
    return DeviceRefused(action=action, problem=getattr(err, "strerror", None) or err)


async def _signature(path: str) -> str:
    """What libblkid recognises on a device that looks blank at both ends; empty when nothing."""
    done = await proc.run(["wipefs", "--no-act", "--noheadings", "--output", "TYPE", path], check=False)
    if done.code != 0:
        return f"it cannot be probed: {done.stderr.decode(errors='replace').strip()}"
    return f"it holds {', '.join(done.text.split())}" if done.text.strip() else ""


async def _format(step: FormatDevice) -> None:
    # Without --force mkfs itself refuses what libblkid knows; with it, only our own unfinished file system is there.
    # The lock on the device is mkfs' own, so that one which outlives us (kill -9) is not joined by a second.
    force = ["--force"] if step.again else []
    mkfs = ["mkfs.btrfs", "--quiet", "--label", step.pool, *force, step.device]
    await proc.run(["flock", "--exclusive", "--nonblock", step.device, *mkfs], deadline=FORMAT_PATIENCE)
