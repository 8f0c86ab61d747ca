"""From what a lab should be and what is there, the next steps. Pure.

Steps that need an answer of the machine or the chain (which loop device, which farm) come when the answer is there:
the caller observes and plans until nothing is left to do. So a lab that was killed half-way is simply continued.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from zos.lab import steps as s
from zos.lab.nodeconfig import node_config
from zos.lab.script import COPIED, NODE_FOLDERS, hosts
from zos.lab.topology import INTERNET, KYC_NAMES, TERMS_NAME, Box, Kind, Layout, Topology
from zos.lab.units import own_units
from zos.model.units import Bytes, MiB

FIRST_SERVER = Kind.CHAIN
"""Started before the others that need the certificates."""
SERVERS = (Kind.CHAIN, Kind.HUB, Kind.RELAY, Kind.GRIDPROXY)


@dataclass(frozen=True, slots=True)
class ObservedBox:
    """What runs of a box: its init, process 1 of the namespaces."""

    pid: int
    ready: bool
    """It has mounted, cabled and started what it has to."""


@dataclass(frozen=True, slots=True)
class Observed:
    """What this machine shows of a lab."""

    boxes: Mapping[str, ObservedBox] = field(default_factory=dict)
    loops: Mapping[Path, Path] = field(default_factory=dict)
    """File to device."""
    folders: frozenset[Path] = frozenset()
    """Those below state and run that exist."""
    disks: frozenset[Path] = frozenset()
    mount_points: frozenset[Path] = frozenset()
    """Targets of boxes' mounts that exist on the machine and need no claim of this lab (any more)."""
    has_claims: bool = False
    """This lab needs mount points that a lab has made."""
    mounts: tuple[Path, ...] = ()
    """Mounts below the lab's folders in the machine's own namespace."""
    host_link: bool = False
    """The machine has its interface in the lab's network."""


@dataclass(frozen=True, slots=True)
class Desired:
    """A topology, and which boxes of it are meant to be on."""

    topology: Topology
    farm: int = 0
    """The chain's id of the lab's farm; nodes wait for it."""
    off: frozenset[str] = frozenset()


def plan(desired: Desired, observed: Observed, layout: Layout) -> tuple[s.Step, ...]:
    """The steps that can be taken now; empty when the lab is as desired (or waits for the farm)."""
    return tuple(_plan(desired, observed, layout))


def _plan(desired: Desired, observed: Observed, layout: Layout) -> Iterator[s.Step]:
    boxes = desired.topology.boxes()
    names = {box.name for box in boxes}
    stale = _stale(observed, names, desired.off)
    for name in stale:
        yield s.KillBox(name, observed.boxes[name].pid)
    if stale:
        return
    for folder in (layout.state, layout.run):
        if folder not in observed.folders:
            yield s.MakeFolder(folder)
    yield from _mount_points(observed)
    for box in boxes:
        if box.name in observed.boxes or box.name in desired.off:
            continue
        yield from _prepare(box, desired, observed, layout)
        if _can_start(box, desired, observed, layout):
            yield from _start(box, desired, observed, layout)
    if not observed.host_link and INTERNET in observed.boxes:
        yield s.ConnectHost(desired.topology.addresses)


def _stale(observed: Observed, names: set[str], off: frozenset[str]) -> list[str]:
    """Boxes to end first: half-built ones, and all whose cable ends in an Internet that is gone."""
    internet = observed.boxes.get(INTERNET)
    if observed.boxes and (internet is None or not internet.ready):
        return sorted(observed.boxes)
    return sorted(name for name, seen in observed.boxes.items() if not seen.ready or name not in names or name in off)


def _mount_points(observed: Observed) -> Iterator[s.Step]:
    for target in NODE_FOLDERS.values():
        if Path(target) not in observed.mount_points:
            yield s.MakeMountPoint(Path(target))


def _prepare(box: Box, desired: Desired, observed: Observed, layout: Layout) -> Iterator[s.Step]:
    state = layout.box_state(box.name)
    if box.kind is not Kind.NODE:
        if state not in observed.folders:
            yield s.MakeFolder(state)
        if box.kind is FIRST_SERVER and layout.tls not in observed.folders:
            servers = (one.address for one in desired.topology.boxes() if one.kind in SERVERS)
            yield s.MakeCertificates(layout.tls, (*servers, *KYC_NAMES, TERMS_NAME))
        return
    for name, target in NODE_FOLDERS.items():
        folder = state / name
        if folder not in observed.folders:
            yield s.CopyTree(Path(target), folder) if name in COPIED else s.MakeFolder(folder)
    for path in _disks(box, desired.topology, layout):
        if path not in observed.disks:
            yield s.MakeDisk(path, desired.topology.disk_size)
        if path not in observed.loops:
            yield s.AttachLoop(path)


def _disks(box: Box, topology: Topology, layout: Layout) -> tuple[Path, ...]:
    return tuple(layout.disk(box.name, number) for number in range(topology.disks + topology.hard_disks))


def _can_start(box: Box, desired: Desired, observed: Observed, layout: Layout) -> bool:
    if box.kind is Kind.INTERNET:
        return True
    if INTERNET not in observed.boxes:
        return False
    if box.kind is not Kind.NODE:
        return True
    return bool(desired.farm) and all(path in observed.loops for path in _disks(box, desired.topology, layout))


def _start(box: Box, desired: Desired, observed: Observed, layout: Layout) -> Iterator[s.Step]:
    run = layout.box_run(box.name)
    # /run is empty after a boot.
    yield s.RemoveFolder(run)
    yield s.MakeFolder(run / "units")
    for name, text in own_units(box, desired.topology, layout).items():
        yield s.WriteFile(run / "units" / name, text)
    yield s.WriteFile(run / "hosts", hosts(desired.topology.boxes()))
    yield s.WriteFile(run / "resolv.conf", "")
    if box.kind is Kind.NODE:
        disks, ssds = _disks(box, desired.topology, layout), desired.topology.disks
        config = node_config(box, desired.topology.addresses, desired.farm, disks[:ssds], disks[ssds:])
        yield s.WriteFile(layout.box_state(box.name) / "etc-zos" / "zos.toml", config)
    yield s.StartBox(box, desired.topology.addresses)


def shortage(nodes: int, disk: Bytes, memory: Bytes) -> tuple[str, Bytes, Bytes] | None:
    """What there is too little of for a new lab, how much of it is needed, how much is free; None: there is enough."""
    # Measured: what the daemons of a node and the services hold, and what they write before anything is deployed.
    needs = ("disk space", MiB(256 + 128 * nodes), disk), ("memory", MiB(512 + 384 * nodes), memory)
    return next(((what, needed, free) for what, needed, free in needs if free < needed), None)


def undo(observed: Observed, layout: Layout) -> tuple[s.Step, ...]:
    """The steps that remove whatever there is of a lab; empty when nothing is left."""
    return tuple(_undo(observed, layout))


def _undo(observed: Observed, layout: Layout) -> Iterator[s.Step]:
    # Nodes first: a machine's disks are let go before their loop devices are.
    for name in sorted(observed.boxes, key=lambda name: (name == INTERNET, name)):
        yield s.KillBox(name, observed.boxes[name].pid)
    if observed.boxes:
        return
    if observed.host_link:
        yield s.DisconnectHost()
    for path in sorted(observed.mounts, reverse=True):
        yield s.Unmount(path)
    for _, device in sorted(observed.loops.items()):
        yield s.DetachLoop(device)
    if observed.mounts or observed.loops:
        # The disks of a box that is not visible from here are in use as well: state goes when nothing uses it.
        return
    if observed.has_claims:
        yield s.ReleaseMountPoints()
    if layout.run in observed.folders:
        yield s.RemoveFolder(layout.run)
    if layout.state in observed.folders:
        yield s.RemoveFolder(layout.state)
