"""Builds, completes and removes a lab: observe, plan, apply until nothing is left to do, then wait for the nodes."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import sysconfig
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from zos.bus.client import Bus
from zos.chain.api import ChainClient
from zos.core0.api import Core0Client, UnitInfo
from zos.errors import ZosError
from zos.fetch.aio import fetch_configured
from zos.fetch.exchange import Request
from zos.lab import init
from zos.lab import plan as planning
from zos.lab import record as records
from zos.lab.addresses import Addresses
from zos.lab.errors import (
    DiskFull,
    HalfGone,
    Hidden,
    Leftovers,
    NoLab,
    NoRoom,
    NoSuchBox,
    NotRoot,
    OtherCode,
    OtherShape,
    TooLarge,
    TooSlow,
)
from zos.lab.host import LinuxHost
from zos.lab.plan import Desired, ObservedBox
from zos.lab.record import CODE, Record
from zos.lab.topology import LIMIT_OF_NODES, Box, Kind, Layout, Topology
from zos.model.units import MiB
from zos.mycelium.api import MyceliumClient
from zos.networkd.api import NetworkdClient
from zos.provisiond.api import ProvisiondClient
from zos.rmb.account import ensure_twin
from zos.runtime import proc
from zos.runtime.files import write_atomic
from zos.substrate import CallFailed, Chain, LocalKey
from zos.vmd.api import VmdClient

T = TypeVar("T")

READY = 90.0
LEAST_FREE = MiB(32)
"""Of disk space; with less, daemons cannot write their records."""
DOWN = 60.0
STEPS = 200
FARMER = "//Alice"
USER = "//Bob"
PROXY = "//Charlie"
FARM = "lab"

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class LabStatus:
    """One of the machine's labs."""

    name: str
    network: str
    nodes: int
    boxes: int
    """Those that are on."""
    code: str
    """The copy of the program that built it."""


@dataclass(frozen=True, slots=True)
class BoxStatus:
    """A box, and what runs in it."""

    name: str
    kind: Kind
    address: str
    pid: int
    node: int = 0
    """The node's id on the chain."""
    units: tuple[UnitInfo, ...] = ()
    acceleration: str = ""
    planetary: str = ""
    """The node's address in the planetary network, or why it has none."""
    mycelium: str = ""
    """The same for the Mycelium overlay."""
    detail: str = ""


class Lab:
    """One lab of this machine."""

    def __init__(self, layout: Layout | None = None) -> None:
        self.layout = layout or Layout()
        self.host = LinuxHost(self.layout)

    # Up

    async def up(self, nodes: int, report: Progress) -> Topology:
        """Build what is missing and wait until every node is registered; may be repeated at any time."""
        _need_root()
        if not 1 <= nodes <= LIMIT_OF_NODES:
            raise TooLarge(nodes=nodes, limit=LIMIT_OF_NODES)
        with self.host.locked():
            record = self._begin(nodes)
            await self._make(Desired(record.topology, record.farm), report)
            record = dataclasses.replace(record, farm=await self._seed(report))
            records.write(self.layout, record)
            await self._make(Desired(record.topology, record.farm), report)
        report("waiting for the nodes to register")
        await self._wait_for_nodes(record.topology, report)
        return record.topology

    def _begin(self, nodes: int) -> Record:
        """The record of the lab that is there and may be continued, or of a new one, which so has its network."""
        record = self.record()
        if record is not None:
            self._own(record)
            if record.nodes != nodes:
                raise OtherShape(name=self.layout.name, nodes=record.nodes)
            return record
        self._own(Record(nodes))
        if short := planning.shortage(nodes, *self.host.room()):
            what, needed, free = short
            raise NoRoom(nodes=nodes, what=what, needed=needed >> 20, free=free >> 20)
        with records.machine_locked(self.layout):
            record = Record(nodes, number=records.free_number(self.layout), code=CODE)
            records.write(self.layout, record)
        return record

    def _own(self, record: Record) -> None:
        """Refuse a lab of another copy of the program that is still there."""
        for code in {record.code, *self.host.codes()} - {"", CODE}:
            if Path(code, "zos").is_dir():
                raise OtherCode(name=self.layout.name, code=code)

    def _refuse_full(self) -> None:
        """What waits on a full disk waits for nothing."""
        free, _ = self.host.room()
        if free < LEAST_FREE:
            raise DiskFull(folder=self.layout.state, free=free >> 20)

    async def _make(self, desired: Desired, report: Progress) -> None:
        for _ in range(STEPS):
            self._refuse_full()
            steps = planning.plan(desired, self.host.observe(), self.layout)
            if not steps:
                return
            for step in steps:
                report(step.describe())
                await self.host.apply(step)
        raise TooSlow(what="building the lab", deadline=0, seen="it never gets ready", logs=self.layout.run)

    async def _seed(self, report: Progress) -> int:
        """The lab's farm and user on its chain; each step looks first."""
        report("waiting for the chain")
        deadline = time.monotonic() + READY
        async with Chain([self.addresses.chain_url]) as chain:
            while True:
                try:
                    await chain.head()
                    break
                except ZosError as err:
                    self._refuse_full()
                    if time.monotonic() > deadline:
                        logs = self.layout.log("chain", "devchain")
                        raise TooSlow(
                            what="the chain's first answer", deadline=round(READY), seen=err, logs=logs
                        ) from err
                    await asyncio.sleep(0.05)
            farmer, user = LocalKey.of_text(FARMER), LocalKey.of_text(USER)
            write_atomic(self.layout.user_key, USER.encode() + b"\n")
            report("a farm and a user on the chain")
            write_atomic(self.layout.proxy_key, PROXY.encode() + b"\n")
            await asyncio.gather(ensure_twin(chain, farmer), ensure_twin(chain, user))
            farm = int(await chain.query("TfgridModule", "FarmIdByName", FARM))
            if not farm:
                with contextlib.suppress(CallFailed):
                    await chain.submit("TfgridModule", "create_farm", {"name": FARM, "public_ips": []}, farmer)
                farm = int(await chain.query("TfgridModule", "FarmIdByName", FARM))
            return farm

    async def publish_nodes(self, topology: Topology, report: Progress) -> None:
        """Every node gets public addresses, as its farmer would set them; returns when the nodes have them."""
        farmer, farm = LocalKey.of_text(FARMER), self.need_record().farm
        async with Chain([self.addresses.chain_url]) as chain:
            for box in topology.node_boxes():
                report(f"public addresses for {box.name}")
                async with Bus(self.layout.sockets(box.name)) as bus:
                    node = (await ChainClient(bus).status()).node
                    if (await chain.query("TfgridModule", "Nodes", node))["public_config"] is None:
                        arguments = {"farm_id": farm, "node_id": node, "public_config": box.public_config}
                        await chain.submit("TfgridModule", "add_node_public_config", arguments, farmer)
                    async with asyncio.timeout(READY):
                        # The node looks at the chain every few seconds, and tells nobody when it has done.
                        while not (await NetworkdClient(bus).public_config()).addresses:  # noqa: ASYNC110
                            await asyncio.sleep(0.1)

    async def wait_for_proxy(self, topology: Topology, report: Progress) -> None:
        """Return when clients find every node by its features: the grid proxy asks new nodes in its own time."""
        report("waiting for the grid proxy to know the nodes")
        deadline, seen = time.monotonic() + READY, "no answer"
        url = f"{self.addresses.proxy_url}/nodes?features=wireguard&ipv4=true&size={LIMIT_OF_NODES}"
        request = Request(url, limit=16 << 20)
        while True:
            try:
                answer = await fetch_configured(request, 10.0)
                found = json.loads(answer.body) if answer.status == 200 else []
                seen = f"it lists {len(found)} of {topology.nodes}"
                if len(found) >= topology.nodes:
                    return
            except ZosError as err:
                seen = str(err)
            if time.monotonic() > deadline:
                logs = self.layout.log("gridproxy", "gridproxy")
                raise TooSlow(what="the grid proxy's list of nodes", deadline=round(READY), seen=seen, logs=logs)
            await asyncio.sleep(0.2)

    async def _wait_for_nodes(self, topology: Topology, report: Progress) -> None:
        deadline = time.monotonic() + READY
        waiting = {box.name: "not looked at" for box in topology.node_boxes()}
        while waiting:
            for name in list(waiting):
                try:
                    async with Bus(self.layout.sockets(name)) as bus:
                        status = await ChainClient(bus).status()
                        # The last stage of the boot: what deploys and runs machines may be later than the chain.
                        await VmdClient(bus).list_machines()
                        await ProvisiondClient(bus).brief()
                        waiting[name] = status.detail or "not registered yet"
                        if status.node:
                            del waiting[name]
                            report(f"{name} is node {status.node}")
                except ZosError as err:
                    waiting[name] = str(err)
            if waiting and time.monotonic() > deadline:
                seen = "; ".join(f"{name}: {text}" for name, text in waiting.items())
                logs = self.layout.run / next(iter(waiting)) / "log"
                raise TooSlow(what="the nodes' registration", deadline=round(READY), seen=seen, logs=logs)
            if waiting:
                self._refuse_full()
                await asyncio.sleep(0.1)

    # Down

    async def down(self, report: Progress, *, is_named: bool = False) -> None:
        """Remove whatever there is of the lab; fine when there is nothing.

        A lab that another copy of the program built is removed when the caller has named it.
        """
        _need_root()
        with self.host.locked():
            record = self.record()
            if record is not None and not is_named:
                self._own(record)
            deadline = time.monotonic() + DOWN
            while steps := planning.undo(self.host.observe(), self.layout):
                if time.monotonic() > deadline:
                    raise Leftovers(what=", ".join(step.describe() for step in steps))
                for step in steps:
                    report(step.describe())
                    await self.host.apply(step)
                await asyncio.sleep(0.02)

    async def power(self, off: frozenset[str], report: Progress) -> None:
        """Cut the power of these boxes, and give it to every other one, without a shutdown."""
        _need_root()
        record = self.need_record()
        boxes = {box.name for box in record.topology.boxes()}
        if unknown := sorted(off - boxes):
            raise NoSuchBox(name=unknown[0], boxes=", ".join(sorted(boxes)))
        with self.host.locked():
            self._own(record)
            await self._make(Desired(record.topology, record.farm, off), report)

    def off(self) -> frozenset[str]:
        """The boxes that are off."""
        boxes = frozenset(box.name for box in self.need_record().topology.boxes())
        return boxes - self.host.observe().boxes.keys()

    # Looking

    async def status(self) -> tuple[BoxStatus, ...]:
        """Every box that belongs to the lab and what runs in it; pid 0 for one that does not run."""
        if records.is_hidden(self.layout):
            raise Hidden(name=self.layout.name)
        running = self.host.observe().boxes
        if running and self.record() is None:
            raise HalfGone(name=self.layout.name, boxes=", ".join(sorted(running)))
        boxes = self.need_record().topology.boxes()
        return tuple([await self._box_status(box, running.get(box.name)) for box in boxes])

    async def _box_status(self, box: Box, running: ObservedBox | None) -> BoxStatus:
        if running is None:
            return BoxStatus(box.name, box.kind, box.address, 0, detail="it does not run: zos lab up")
        seen = BoxStatus(box.name, box.kind, box.address, running.pid)
        if not running.ready:
            return dataclasses.replace(seen, detail="it is starting")
        if box.kind is not Kind.NODE:
            return seen
        problems: list[str] = []

        async def ask(answer: Awaitable[T]) -> T | None:
            """A daemon that does not answer hides nothing of the others."""
            try:
                return await answer
            except ZosError as err:
                problems.append(err.explain())
                return None

        async with Bus(self.layout.sockets(box.name)) as bus:
            units, status, acceleration, planetary, overlay = await asyncio.gather(
                ask(Core0Client(bus).units()),
                ask(ChainClient(bus).status()),
                ask(VmdClient(bus).acceleration()),
                ask(NetworkdClient(bus).planetary()),
                ask(MyceliumClient(bus).overlay()),
            )
        return dataclasses.replace(
            seen,
            node=status.node if status else 0,
            units=units or (),
            acceleration=f"{acceleration.kind} ({acceleration.why})" if acceleration else "",
            planetary=(planetary.address if planetary.offered else planetary.detail) if planetary else "",
            mycelium=(overlay.address if overlay.offered else overlay.detail) if overlay else "",
            detail="; ".join(problems) or (status.detail if status else ""),
        )

    def pid(self, name: str) -> int:
        """The first process of a box."""
        boxes = self.host.observe().boxes
        if not boxes:
            raise NoLab(name=self.layout.name)
        if name not in boxes:
            raise NoSuchBox(name=name, boxes=", ".join(sorted(boxes)))
        return boxes[name].pid

    def inside(self, name: str, argv: Sequence[str]) -> list[str]:
        """A command line that runs in a box, where `zos` is this copy of the program."""
        path = f"PATH={sysconfig.get_path('scripts')}:{init.ENVIRONMENT['PATH']}"
        flags = ["-n", "-m", "-p", "-u", "-i", "-r", "-w"]
        return ["nsenter", "-t", str(self.pid(name)), *flags, "--", "env", path, *argv]

    async def run(self, name: str, argv: Sequence[str], *, deadline: float = 30.0, input: bytes | None = None) -> str:
        """Run something in a box and give what it says."""
        done = await proc.run(self.inside(name, argv), deadline=deadline, input=input)
        return done.text

    def record(self) -> Record | None:
        """What the lab is; None when there is none."""
        return records.read(self.layout)

    def need_record(self) -> Record:
        """What the lab is; NoLab when there is none."""
        record = self.record()
        if record is None:
            raise NoLab(name=self.layout.name)
        return record

    @property
    def addresses(self) -> Addresses:
        """Where its chain, hub and relay are."""
        return self.need_record().topology.addresses


def labs(layout: Layout) -> tuple[LabStatus, ...]:
    """This lab and the others of the machine, as far as they are there."""
    found = []
    for one in (layout, *records.neighbours(layout)):
        if record := records.read(one):
            boxes = len(LinuxHost(one).observe().boxes)
            network = record.topology.addresses.net
            found.append(LabStatus(one.name, network, record.nodes, boxes, record.code))
    return tuple(sorted(found, key=lambda lab: lab.name))


def _need_root() -> None:
    if os.geteuid() != 0:
        raise NotRoot()
