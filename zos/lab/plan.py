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

FIRST_SERVER = Kind.CHAIN
"""Started before the others that need the certificates."""
SERVERS = (Kind.CHAIN, Kind.HUB, Kind.RELAY, Kind.GRIDPROXY)


@dataclass(frozen=True, slots=True)
class BoxSeen:
    """A box's init as seen."""

    pid: int
    ready: bool
    """It has mounted, cabled and started what it has to."""


@dataclass(frozen=True, slots=True)
class Have:
    """What there is of a lab."""

    boxes: Mapping[str, BoxSeen] = field(default_factory=dict)
    loops: Mapping[Path, Path] = field(default_factory=dict)
    """File to device."""
    folders: frozenset[Path] = frozenset()
    """Those below state and run that exist."""
    disks: frozenset[Path] = frozenset()
    mount_points: frozenset[Path] = frozenset()
    """Targets of mounts that exist on the machine."""
    made: frozenset[Path] = frozenset()
    """Mount points that the lab made itself."""
    mounts: tuple[Path, ...] = ()
    """Mounts below the lab's folders in the machine's own namespace."""
    desk: bool = False


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted: a topology, and which boxes of it are meant to be on."""

    topology: Topology
    farm: int = 0
    """The chain's id of the lab's farm; nodes wait for it."""
    off: frozenset[str] = frozenset()


def plan(wish: Wish, have: Have, layout: Layout) -> tuple[s.Step, ...]:
    """The steps that can be taken now; empty when the lab is as wished (or waits for the farm)."""
    return tuple(_plan(wish, have, layout))


def _plan(wish: Wish, have: Have, layout: Layout) -> Iterator[s.Step]:
    boxes = wish.topology.boxes()
    names = {box.name for box in boxes}
    stale = _stale(have, names, wish.off)
    for name in stale:
        yield s.KillBox(name, have.boxes[name].pid)
    if stale:
        return
    for folder in (layout.state, layout.run):
        if folder not in have.folders:
            yield s.MakeFolder(folder)
    yield from _mount_points(have)
    for box in boxes:
        if box.name in have.boxes or box.name in wish.off:
            continue
        yield from _prepare(box, wish, have, layout)
        if _can_start(box, wish, have, layout):
            yield from _start(box, wish, have, layout)
    if not have.desk and INTERNET in have.boxes:
        yield s.PlugDesk()


def _stale(have: Have, names: set[str], off: frozenset[str]) -> list[str]:
    """Boxes to end first: half-built ones, and all whose cable ends in an Internet that is gone."""
    internet = have.boxes.get(INTERNET)
    if have.boxes and (internet is None or not internet.ready):
        return sorted(have.boxes)
    return sorted(name for name, seen in have.boxes.items() if not seen.ready or name not in names or name in off)


def _mount_points(have: Have) -> Iterator[s.Step]:
    for target in NODE_FOLDERS.values():
        if Path(target) not in have.mount_points:
            yield s.MakeMountPoint(Path(target))


def _prepare(box: Box, wish: Wish, have: Have, layout: Layout) -> Iterator[s.Step]:
    state = layout.box_state(box.name)
    if box.kind is not Kind.NODE:
        if state not in have.folders:
            yield s.MakeFolder(state)
        if box.kind is FIRST_SERVER and layout.tls not in have.folders:
            servers = (one.address for one in wish.topology.boxes() if one.kind in SERVERS)
            yield s.MakeCertificates(layout.tls, (*servers, *KYC_NAMES, TERMS_NAME))
        return
    for name, target in NODE_FOLDERS.items():
        folder = state / name
        if folder not in have.folders:
            yield s.CopyTree(Path(target), folder) if name in COPIED else s.MakeFolder(folder)
    for path in _disks(box, wish.topology, layout):
        if path not in have.disks:
            yield s.MakeDisk(path, wish.topology.disk_size)
        if path not in have.loops:
            yield s.AttachLoop(path)


def _disks(box: Box, topology: Topology, layout: Layout) -> tuple[Path, ...]:
    return tuple(layout.disk(box.name, number) for number in range(topology.disks))


def _can_start(box: Box, wish: Wish, have: Have, layout: Layout) -> bool:
    if box.kind is Kind.INTERNET:
        return True
    if INTERNET not in have.boxes:
        return False
    if box.kind is not Kind.NODE:
        return True
    return bool(wish.farm) and all(path in have.loops for path in _disks(box, wish.topology, layout))


def _start(box: Box, wish: Wish, have: Have, layout: Layout) -> Iterator[s.Step]:
    run = layout.box_run(box.name)
    # /run is empty after a boot.
    yield s.RemoveFolder(run)
    yield s.MakeFolder(run / "units")
    for name, text in own_units(box, wish.topology, layout).items():
        yield s.WriteFile(run / "units" / name, text)
    yield s.WriteFile(run / "hosts", hosts(wish.topology.boxes()))
    yield s.WriteFile(run / "resolv.conf", "")
    if box.kind is Kind.NODE:
        config = node_config(box, wish.farm, _disks(box, wish.topology, layout))
        yield s.WriteFile(layout.box_state(box.name) / "etc-zos" / "zos.toml", config)
    yield s.StartBox(box)


def undo(have: Have, layout: Layout, *, keep_state: bool = False) -> tuple[s.Step, ...]:
    """The steps that remove whatever there is of a lab; empty when nothing is left."""
    return tuple(_undo(have, layout, keep_state))


def _undo(have: Have, layout: Layout, keep_state: bool) -> Iterator[s.Step]:
    # Nodes first: a machine's disks are let go before their loop devices are.
    for name in sorted(have.boxes, key=lambda name: (name == INTERNET, name)):
        yield s.KillBox(name, have.boxes[name].pid)
    if have.desk:
        yield s.DropDesk()
    for path in sorted(have.mounts, reverse=True):
        yield s.Unmount(path)
    for _, device in sorted(have.loops.items()):
        yield s.DetachLoop(device)
    for path in sorted(have.made, reverse=True):
        yield s.RemoveMountPoint(path)
    if layout.run in have.folders:
        yield s.RemoveFolder(layout.run)
    if layout.state in have.folders and not keep_state:
        yield s.RemoveFolder(layout.state)
