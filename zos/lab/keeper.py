"""Builds, keeps and removes a lab: observe, plan, apply until nothing is left to do, then wait for the nodes."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from zos.bus.client import Bus
from zos.chain.api import ChainClient
from zos.core0.api import Core0Client, UnitInfo
from zos.errors import ZosError
from zos.fetch.aio import fetch_configured
from zos.fetch.exchange import Request
from zos.lab import plan as planning
from zos.lab.errors import Leftovers, NoLab, NoSuchBox, NotRoot, OtherShape, TooLarge, TooSlow
from zos.lab.host import LinuxHost
from zos.lab.plan import Wish
from zos.lab.topology import CHAIN_URL, HUB_URL, LIMIT_OF_NODES, PROXY_URL, Box, Kind, Layout, Topology
from zos.mycelium.api import MyceliumClient
from zos.networkd.api import NetworkdClient
from zos.rmb.account import ensure_twin
from zos.runtime import proc
from zos.runtime.files import write_atomic
from zos.substrate import CallFailed, Chain, LocalKey
from zos.vmd.api import VmdClient

READY = 90.0
STEPS = 200
FARMER = "//Alice"
USER = "//Bob"
PROXY = "//Charlie"
FARM = "lab"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Record:
    """What this lab is; survives everything."""

    nodes: int
    farm: int = 0


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
    """The lab of this machine."""

    def __init__(self, layout: Layout | None = None) -> None:
        self.layout = layout or Layout()
        self.host = LinuxHost(self.layout)

    # Up

    async def up(self, nodes: int, say: Say) -> Topology:
        """Build what is missing and wait until every node is registered; may be repeated at any time."""
        _need_root()
        if not 1 <= nodes <= LIMIT_OF_NODES:
            raise TooLarge(nodes=nodes, limit=LIMIT_OF_NODES)
        with self.host.locked():
            record = self.record()
            if record is not None and record.nodes != nodes:
                raise OtherShape(nodes=record.nodes)
            topology = Topology(nodes=nodes)
            await self._make(Wish(topology, record.farm if record else 0), say)
            farm = await self._seed(say)
            self._remember(Record(nodes, farm))
            await self._make(Wish(topology, farm), say)
        say("waiting for the nodes to register")
        await self._wait_for_nodes(topology, say)
        return topology

    async def _make(self, wish: Wish, say: Say) -> None:
        for _ in range(STEPS):
            steps = planning.plan(wish, self.host.observe(), self.layout)
            if not steps:
                return
            for step in steps:
                say(step.describe())
                await self.host.apply(step)
        raise TooSlow(what="building the lab", deadline=0, seen="it never gets ready", logs=self.layout.run)

    async def _seed(self, say: Say) -> int:
        """The lab's farm and user on its chain; each step looks first."""
        say("waiting for the chain")
        deadline = time.monotonic() + READY
        async with Chain([CHAIN_URL]) as chain:
            while True:
                try:
                    await chain.head()
                    break
                except ZosError as err:
                    if time.monotonic() > deadline:
                        logs = self.layout.log("chain", "devchain")
                        raise TooSlow(
                            what="the chain's first answer", deadline=round(READY), seen=err, logs=logs
                        ) from err
                    await asyncio.sleep(0.05)
            farmer, user = LocalKey.of_text(FARMER), LocalKey.of_text(USER)
            write_atomic(self.layout.user_key, USER.encode() + b"\n")
            say("a farm and a user on the chain")
            write_atomic(self.layout.proxy_key, PROXY.encode() + b"\n")
            await asyncio.gather(ensure_twin(chain, farmer), ensure_twin(chain, user))
            farm = int(await chain.query("TfgridModule", "FarmIdByName", FARM))
            if not farm:
                with contextlib.suppress(CallFailed):
                    await chain.submit("TfgridModule", "create_farm", {"name": FARM, "public_ips": []}, farmer)
                farm = int(await chain.query("TfgridModule", "FarmIdByName", FARM))
            return farm

    async def publish_nodes(self, topology: Topology, say: Say) -> None:
        """Every node gets public addresses, as its farmer would set them; returns when the nodes have them."""
        farmer, farm = LocalKey.of_text(FARMER), self._farm()
        async with Chain([CHAIN_URL]) as chain:
            for box in topology.node_boxes():
                say(f"public addresses for {box.name}")
                async with Bus(self.layout.sockets(box.name)) as bus:
                    node = (await ChainClient(bus).status()).node
                    if (await chain.query("TfgridModule", "Nodes", node))["public_config"] is None:
                        arguments = {"farm_id": farm, "node_id": node, "public_config": box.public_config}
                        await chain.submit("TfgridModule", "add_node_public_config", arguments, farmer)
                    async with asyncio.timeout(READY):
                        # The node looks at the chain every few seconds, and tells nobody when it has done.
                        while not (await NetworkdClient(bus).public_config()).addresses:  # noqa: ASYNC110
                            await asyncio.sleep(0.1)

    async def wait_for_proxy(self, topology: Topology, say: Say) -> None:
        """Return when clients find every node by its features: the grid proxy asks new nodes in its own time."""
        say("waiting for the grid proxy to know the nodes")
        deadline, seen = time.monotonic() + READY, "no answer"
        request = Request(f"{PROXY_URL}/nodes?features=wireguard&ipv4=true&size={LIMIT_OF_NODES}", limit=16 << 20)
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

    def _farm(self) -> int:
        record = self.record()
        if record is None:
            raise NoLab()
        return record.farm

    async def _wait_for_nodes(self, topology: Topology, say: Say) -> None:
        deadline = time.monotonic() + READY
        waiting = {box.name: "not looked at" for box in topology.node_boxes()}
        while waiting:
            for name in list(waiting):
                try:
                    async with Bus(self.layout.sockets(name)) as bus:
                        status = await ChainClient(bus).status()
                        await VmdClient(bus).list_machines()
                        waiting[name] = status.detail or "not registered yet"
                        if status.node:
                            del waiting[name]
                            say(f"{name} is node {status.node}")
                except ZosError as err:
                    waiting[name] = str(err)
            if waiting and time.monotonic() > deadline:
                seen = "; ".join(f"{name}: {text}" for name, text in waiting.items())
                logs = self.layout.run / next(iter(waiting)) / "log"
                raise TooSlow(what="the nodes' registration", deadline=round(READY), seen=seen, logs=logs)
            if waiting:
                await asyncio.sleep(0.1)

    # Down

    async def down(self, say: Say) -> None:
        """Remove whatever there is of a lab; fine when there is nothing."""
        _need_root()
        with self.host.locked():
            for _ in range(20):
                steps = planning.undo(self.host.observe(), self.layout)
                if not steps:
                    return
                for step in steps:
                    say(step.describe())
                    await self.host.apply(step)
                await asyncio.sleep(0.05)
        left = ", ".join(step.describe() for step in planning.undo(self.host.observe(), self.layout))
        raise Leftovers(what=left)

    async def power(self, off: frozenset[str], say: Say) -> None:
        """Cut the power of these boxes, and give it to every other one; nobody is asked, nothing is waited for."""
        _need_root()
        record = self.record()
        if record is None:
            raise NoLab()
        topology = Topology(nodes=record.nodes)
        boxes = {box.name for box in topology.boxes()}
        if unknown := sorted(off - boxes):
            raise NoSuchBox(name=unknown[0], boxes=", ".join(sorted(boxes)))
        with self.host.locked():
            await self._make(Wish(topology, record.farm, off), say)

    def dark(self) -> frozenset[str]:
        """The boxes that are off."""
        record = self.record()
        if record is None:
            raise NoLab()
        return frozenset(box.name for box in Topology(nodes=record.nodes).boxes()) - self.host.observe().boxes.keys()

    # Looking

    async def status(self) -> tuple[BoxStatus, ...]:
        """Every box and what runs in it."""
        record = self.record()
        have = self.host.observe()
        if record is None or not have.boxes:
            raise NoLab()
        boxes = Topology(nodes=record.nodes).boxes()
        return tuple([await self._box_status(box, have.boxes[box.name].pid) for box in boxes if box.name in have.boxes])

    async def _box_status(self, box: Box, pid: int) -> BoxStatus:
        seen = BoxStatus(box.name, box.kind, box.address, pid)
        if box.kind is not Kind.NODE:
            return seen
        async with Bus(self.layout.sockets(box.name)) as bus:
            try:
                units = await Core0Client(bus).units()
                status = await ChainClient(bus).status()
                acceleration = await VmdClient(bus).acceleration()
                planetary = await NetworkdClient(bus).planetary()
                overlay = await MyceliumClient(bus).overlay()
            except ZosError as err:
                return dataclasses.replace(seen, detail=err.explain())
        words = f"{acceleration.kind} ({acceleration.why})"
        return dataclasses.replace(
            seen,
            node=status.node,
            units=units,
            acceleration=words,
            planetary=planetary.address if planetary.offered else planetary.detail,
            mycelium=overlay.address if overlay.offered else overlay.detail,
            detail=status.detail,
        )

    def pid(self, name: str) -> int:
        """The first process of a box."""
        boxes = self.host.observe().boxes
        if not boxes:
            raise NoLab()
        if name not in boxes:
            raise NoSuchBox(name=name, boxes=", ".join(sorted(boxes)))
        return boxes[name].pid

    def inside(self, name: str, argv: Sequence[str]) -> list[str]:
        """A command line that runs in a box."""
        return ["nsenter", "-t", str(self.pid(name)), "-n", "-m", "-p", "-u", "-i", "-r", "-w", "--", *argv]

    async def run(self, name: str, argv: Sequence[str], *, deadline: float = 30.0, input: bytes | None = None) -> str:
        """Run something in a box and give what it says."""
        done = await proc.run(self.inside(name, argv), deadline=deadline, input=input)
        return done.text

    def record(self) -> Record | None:
        """What the lab is; None when there is none."""
        try:
            return msgspec.json.decode(self.layout.record.read_bytes(), type=Record)
        except (OSError, msgspec.MsgspecError):
            return None

    def _remember(self, record: Record) -> None:
        write_atomic(self.layout.record, json.dumps(dataclasses.asdict(record)).encode())

    @property
    def urls(self) -> dict[str, str]:
        """Where its chain and hub are."""
        return {"chain": CHAIN_URL, "hub": HUB_URL}


def _need_root() -> None:
    if os.geteuid() != 0:
        raise NotRoot()
