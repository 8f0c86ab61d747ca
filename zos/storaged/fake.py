"""FakeHost: devices and pools as a dict; keeps the real host's promise, for tests and sim/."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, assert_never

from zos.model.units import Bytes, GiB
from zos.storaged.api.errors import DeviceRefused, DiskFull
from zos.storaged.api.types import Kind, PoolKind
from zos.storaged.host import image
from zos.storaged.host.contract import Item
from zos.storaged.model import Content, DeviceSeen, DiskSeen, Fill, PoolSeen, VolumeSeen
from zos.storaged.steps import (
    Bury,
    CreateCache,
    CreateDisk,
    CreateVolume,
    DropPart,
    Erase,
    FinishFill,
    Format,
    GrowDisk,
    LimitCache,
    LimitVolume,
    Measure,
    Mount,
    MountCache,
    Prepare,
    Raise,
    Step,
    describe,
)

SIZE = GiB(100)


@dataclass
class FakeDevice:
    """One device with what is on it."""

    path: str
    size: Bytes = SIZE
    content: Content = Content.BLANK
    label: str = ""
    kind: PoolKind = PoolKind.SSD
    present: bool = True
    """False: pulled out."""
    broken: str = ""
    """Why nothing works on it."""
    have: PoolSeen = field(default_factory=PoolSeen)
    buried: dict[str, DiskSeen | VolumeSeen] = field(default_factory=dict)
    parts: dict[str, int] = field(default_factory=dict)

    def seen(self) -> DeviceSeen:
        """As the host would say."""
        if not self.present:
            return DeviceSeen(self.path, 0, Content.ABSENT)
        return DeviceSeen(self.path, self.size, self.content, self.label, rotational=self.kind is PoolKind.HDD)


class FakeHost:
    """A node with some devices; every step is remembered in `steps`."""

    def __init__(self, *devices: FakeDevice) -> None:
        self.disks = {device.path: device for device in devices or (FakeDevice("/dev/sda"),)}
        self.steps: list[Step] = []
        self.broken: type[Step] | None = None
        """Steps of this class fail, as if the device refused them."""
        self.full: type[Step] | None = None
        """Steps of this class find no space."""
        self.gate: asyncio.Event | None = None
        """A copy waits for it."""
        self.copies = 0

    def reboot(self) -> None:
        """Nothing is mounted any more."""
        for device in self.disks.values():
            device.have = dataclasses.replace(device.have, mounted=False, cache_mounted=False)

    def pool(self, label: str) -> FakeDevice:
        """The device that carries a pool."""
        for device in self.disks.values():
            if device.label == label and device.present:
                return device
        raise DeviceRefused(action=f"look at pool {label}", problem="no such device")

    async def devices(self) -> tuple[DeviceSeen, ...]:
        """All of them."""
        return tuple(device.seen() for device in self.disks.values())

    async def observe(self, pool: str, only: Item | None = None) -> PoolSeen:
        """A pool, all of it or with just one disk or volume."""
        device = self.pool(pool)
        if device.broken:
            raise DeviceRefused(action=f"look at pool {pool}", problem=device.broken)
        have = dataclasses.replace(device.have, parts=frozenset(device.parts))
        if not have.mounted:
            return PoolSeen()
        if only is None:
            return have
        kind, id = only
        disks = {id: have.disks[id]} if kind is Kind.DISK and id in have.disks else {}
        volumes = {id: have.volumes[id]} if kind is Kind.VOLUME and id in have.volumes else {}
        return PoolSeen(True, have.readonly, have.prepared, disks=disks, volumes=volumes)

    async def apply(self, steps: Sequence[Step]) -> None:
        """Take the steps, in order."""
        for step in steps:
            if self.broken is not None and isinstance(step, self.broken):
                raise DeviceRefused(action=describe(step), problem="the fake was told to")
            if self.full is not None and isinstance(step, self.full):
                raise DiskFull(pool=step.pool, action=describe(step))
            self._take(step)
            self.steps.append(step)

    async def fill(self, fill: Fill, stop: threading.Event) -> None:
        """Look at the image as the real host does, and remember its size."""
        with image.opened(fill) as (source, size):
            self.pool(fill.pool).parts[fill.part] = len(os.pread(source, size, 0))
            if self.gate is not None:
                await self.gate.wait()
            self.copies += 1

    def write(self, pool: str, id: str, size: int = 4096) -> None:
        """As if a guest wrote to its disk."""
        device = self.pool(pool)
        self._put(device, "disks", id, dataclasses.replace(device.have.disks[id], used=size, blank=False))

    def _set(self, device: FakeDevice, place: str, things: dict[str, object]) -> None:
        changes: dict[str, Any] = {place: things}
        device.have = dataclasses.replace(device.have, **changes)

    def _put(self, device: FakeDevice, place: str, id: str, thing: object) -> None:
        self._set(device, place, {**getattr(device.have, place), id: thing})

    def _pop(self, device: FakeDevice, place: str, id: str) -> object:
        left = dict(getattr(device.have, place))
        thing = left.pop(id, None)
        self._set(device, place, left)
        return thing

    def _take(self, step: Step) -> None:
        if isinstance(step, Format):
            device = self.disks[step.device]
            if device.content is not Content.BLANK and not step.again:
                raise DeviceRefused(action=describe(step), problem="it is not blank")
            device.content, device.label = Content.POOL, step.pool
            return
        device = self.pool(step.pool)
        match step:
            case Mount():
                device.have = dataclasses.replace(device.have, mounted=True)
            case Prepare():
                device.have = dataclasses.replace(device.have, prepared=True)
            case Measure():
                device.have = dataclasses.replace(device.have, kind=device.kind)
            case CreateDisk(_, id, size):
                if id not in device.have.disks:
                    self._put(device, "disks", id, DiskSeen(size))
            case GrowDisk(_, id, size):
                self._put(device, "disks", id, dataclasses.replace(device.have.disks[id], size=size))
            case FinishFill(_, id, part, size, identity):
                self._put(device, "disks", id, DiskSeen(size, device.parts.pop(part), identity, False))
            case DropPart(_, part):
                device.parts.pop(part, None)
            case CreateVolume(_, id, size) | LimitVolume(_, id, size):
                used = device.have.volumes[id].used if id in device.have.volumes else 16384
                self._put(device, "volumes", id, VolumeSeen(size, used))
            case CreateCache(_, size):
                device.have = dataclasses.replace(device.have, cache=VolumeSeen(size))
            case LimitCache(_, size):
                used = device.have.cache.used if device.have.cache else 0
                device.have = dataclasses.replace(device.have, cache=VolumeSeen(size, used))
            case MountCache():
                device.have = dataclasses.replace(device.have, cache_mounted=True)
            case Bury() | Raise() | Erase():
                self._take_grave(device, step)
            case _:
                assert_never(step)

    def _take_grave(self, device: FakeDevice, step: Bury | Raise | Erase) -> None:
        place = "disks" if step.kind is Kind.DISK else "volumes"
        match step:
            case Bury(_, _, id, name):
                thing = self._pop(device, place, id)
                if isinstance(thing, DiskSeen | VolumeSeen):
                    device.buried[name] = thing
                    self._put(device, "graves", name, thing.used)
            case Raise(_, _, id, name):
                if name in device.buried:
                    self._put(device, place, id, device.buried.pop(name))
                    self._pop(device, "graves", name)
            case Erase(_, _, name):
                device.buried.pop(name, None)
                self._pop(device, "graves", name)
