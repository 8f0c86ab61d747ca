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
from zos.storaged import steps
from zos.storaged.api.errors import DeviceRefused, DiskFull
from zos.storaged.api.types import Kind, PoolKind
from zos.storaged.host import image
from zos.storaged.host.contract import Item
from zos.storaged.model import Content, Fill, ObservedDevice, ObservedDisk, ObservedPool, ObservedVolume
from zos.storaged.steps import Step

SIZE = GiB(100)


@dataclass
class FakeDevice:
    """One device and its content."""

    path: str
    size: Bytes = SIZE
    content: Content = Content.BLANK
    label: str = ""
    kind: PoolKind = PoolKind.SSD
    present: bool = True
    """False: pulled out."""
    broken: str = ""
    """Why nothing works on it."""
    observed: ObservedPool = field(default_factory=ObservedPool)
    tombstones: dict[str, ObservedDisk | ObservedVolume] = field(default_factory=dict)
    parts: dict[str, int] = field(default_factory=dict)

    def seen(self) -> ObservedDevice:
        """As the real host would observe it."""
        if not self.present:
            return ObservedDevice(self.path, 0, Content.ABSENT)
        return ObservedDevice(self.path, self.size, self.content, self.label, rotational=self.kind is PoolKind.HDD)


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
        for device in self.disks.values():
            device.observed = dataclasses.replace(device.observed, mounted=False, cache_mounted=False)

    def pool(self, label: str) -> FakeDevice:
        """The device that carries a pool."""
        for device in self.disks.values():
            if device.label == label and device.present:
                return device
        raise DeviceRefused(action=f"look at pool {label}", problem="no such device")

    async def devices(self) -> tuple[ObservedDevice, ...]:
        return tuple(device.seen() for device in self.disks.values())

    async def observe(self, pool: str, only: Item | None = None) -> ObservedPool:
        device = self.pool(pool)
        if device.broken:
            raise DeviceRefused(action=f"look at pool {pool}", problem=device.broken)
        observed = dataclasses.replace(device.observed, parts=dict(device.parts))
        if not observed.mounted:
            return ObservedPool()
        if only is None:
            return observed
        kind, id = only
        disks = {id: observed.disks[id]} if kind is Kind.DISK and id in observed.disks else {}
        volumes = {id: observed.volumes[id]} if kind is Kind.VOLUME and id in observed.volumes else {}
        return ObservedPool(True, observed.readonly, observed.prepared, disks=disks, volumes=volumes)

    async def apply(self, steps: Sequence[Step]) -> None:
        for step in steps:
            if self.broken is not None and isinstance(step, self.broken):
                raise DeviceRefused(action=step.describe(), problem="the fake was told to")
            if self.full is not None and isinstance(step, self.full):
                raise DiskFull(pool=step.pool, action=step.describe())
            self._apply_step(step)
            self.steps.append(step)

    async def fill(self, fill: Fill, stop: threading.Event) -> None:
        with image.opened(fill) as (source, size):
            self.pool(fill.pool).parts[fill.part] = len(os.pread(source, size, 0))
            if self.gate is not None:
                await self.gate.wait()
            self.copies += 1

    def write(self, pool: str, id: str, size: int = 4096) -> None:
        """As if a guest wrote to its disk."""
        device = self.pool(pool)
        self._put(device, "disks", id, dataclasses.replace(device.observed.disks[id], used=size, blank=False))

    def _set(self, device: FakeDevice, place: str, things: dict[str, object]) -> None:
        changes: dict[str, Any] = {place: things}
        device.observed = dataclasses.replace(device.observed, **changes)

    def _put(self, device: FakeDevice, place: str, id: str, thing: object) -> None:
        self._set(device, place, {**getattr(device.observed, place), id: thing})

    def _pop(self, device: FakeDevice, place: str, id: str) -> object:
        left = dict(getattr(device.observed, place))
        thing = left.pop(id, None)
        self._set(device, place, left)
        return thing

    def _apply_step(self, step: Step) -> None:
        if isinstance(step, steps.FormatDevice):
            device = self.disks[step.device]
            if device.content is not Content.BLANK and not step.again:
                raise DeviceRefused(action=step.describe(), problem="it is not blank")
            device.content, device.label = Content.POOL, step.pool
            return
        device = self.pool(step.pool)
        if not device.observed.mounted and not isinstance(step, steps.MountPool):
            raise DeviceRefused(action=step.describe(), problem="the pool is not mounted")
        match step:
            case steps.MountPool():
                device.observed = dataclasses.replace(device.observed, mounted=True)
            case steps.PreparePool():
                device.observed = dataclasses.replace(device.observed, prepared=True)
            case steps.MeasureDevice():
                device.observed = dataclasses.replace(device.observed, kind=device.kind)
            case steps.CreateDisk(_, id, size):
                if id not in device.observed.disks:
                    self._put(device, "disks", id, ObservedDisk(size))
            case steps.GrowDisk(_, id, size):
                self._put(device, "disks", id, dataclasses.replace(device.observed.disks[id], size=size))
            case steps.FinishFill(_, id, part, size, identity):
                self._put(device, "disks", id, ObservedDisk(size, device.parts.pop(part), identity, False))
            case steps.DropPart(_, part):
                device.parts.pop(part, None)
            case steps.CreateVolume(_, id, size, _) | steps.LimitVolume(_, id, size):
                used = device.observed.volumes[id].used if id in device.observed.volumes else 16384
                self._put(device, "volumes", id, ObservedVolume(size, used))
            case steps.CreateCache(_, size):
                device.observed = dataclasses.replace(device.observed, cache=ObservedVolume(size))
            case steps.LimitCache(_, size):
                used = device.observed.cache.used if device.observed.cache else 0
                device.observed = dataclasses.replace(device.observed, cache=ObservedVolume(size, used))
            case steps.MountCache():
                device.observed = dataclasses.replace(device.observed, cache_mounted=True)
            case steps.MakeTombstone() | steps.RestoreTombstone() | steps.EraseTombstone():
                self._apply_tombstone(device, step)
            case _:
                assert_never(step)

    def _apply_tombstone(
        self, device: FakeDevice, step: steps.MakeTombstone | steps.RestoreTombstone | steps.EraseTombstone
    ) -> None:
        place = "disks" if step.kind is Kind.DISK else "volumes"
        match step:
            case steps.MakeTombstone(_, _, id, name):
                thing = self._pop(device, place, id)
                if isinstance(thing, ObservedDisk | ObservedVolume):
                    device.tombstones[name] = thing
                    self._put(device, "tombstones", name, thing.used)
            case steps.RestoreTombstone(_, _, id, name):
                if name in device.tombstones:
                    self._put(device, place, id, device.tombstones.pop(name))
                    self._pop(device, "tombstones", name)
            case steps.EraseTombstone(_, _, name):
                device.tombstones.pop(name, None)
                self._pop(device, "tombstones", name)
