"""What a lab needs next, decided without touching the machine."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from zos.lab import init
from zos.lab.plan import BoxSeen, Have, Wish, plan, undo
from zos.lab.script import script
from zos.lab.steps import AttachLoop, DropDesk, KillBox, PlugDesk, RemoveFolder, StartBox, WriteFile
from zos.lab.topology import INTERNET, Kind, Layout, Topology

LAYOUT = Layout(Path("/s"), Path("/r"))
TOPOLOGY = Topology(nodes=2, disks=1)
NAMES = [box.name for box in TOPOLOGY.boxes()]
ON = {name: BoxSeen(100 + number, True) for number, name in enumerate(NAMES)}


def started(have: Have, farm: int = 1) -> list[str]:
    return [step.box.name for step in plan(Wish(TOPOLOGY, farm), have, LAYOUT) if isinstance(step, StartBox)]


def test_nobody_starts_before_the_internet_is_there() -> None:
    assert started(Have()) == [INTERNET]


def test_nodes_wait_for_their_disks_and_their_farm() -> None:
    have = Have(boxes={INTERNET: BoxSeen(1, True)})
    assert started(have) == ["chain", "hub", "relay", "gridproxy", "user"]
    loops = {LAYOUT.disk(f"node-{n}", 0): Path(f"/dev/loop{n}") for n in (1, 2)}
    ready = dataclasses.replace(have, loops=loops)
    assert started(ready, farm=0) == ["chain", "hub", "relay", "gridproxy", "user"]
    assert started(ready) == ["chain", "hub", "relay", "gridproxy", "user", "node-1", "node-2"]


def test_a_half_built_box_is_ended_first() -> None:
    have = Have(boxes={**ON, "hub": BoxSeen(7, False)})
    assert plan(Wish(TOPOLOGY, 1), have, LAYOUT) == (KillBox("hub", 7),)


def test_without_the_internet_every_cable_is_cut_and_all_begin_anew() -> None:
    left = {name: seen for name, seen in ON.items() if name != INTERNET}
    assert {
        step.name for step in plan(Wish(TOPOLOGY, 1), Have(boxes=left), LAYOUT) if isinstance(step, KillBox)
    } == set(left)


def test_a_node_is_told_the_files_behind_its_disks_not_their_numbers() -> None:
    loops = {LAYOUT.disk("node-1", 0): Path("/dev/loop7")}
    have = Have(boxes={INTERNET: BoxSeen(1, True)}, loops=loops)
    written = [step for step in plan(Wish(TOPOLOGY, 3), have, LAYOUT) if isinstance(step, WriteFile)]
    (config,) = [step.text for step in written if step.path.name == "zos.toml"]
    assert 'disks = ["/s/node-1/disk-0.img"]' in config
    assert "farm_id = 3" in config
    assert "loop7" not in config


def test_a_disk_gets_its_device_once() -> None:
    path = LAYOUT.disk("node-1", 0)
    have = Have(boxes={INTERNET: BoxSeen(1, True)}, loops={path: Path("/dev/loop7")}, disks=frozenset({path}))
    assert AttachLoop(path) not in plan(Wish(TOPOLOGY, 1), have, LAYOUT)


def test_the_desk_is_plugged_once() -> None:
    assert PlugDesk() in plan(Wish(TOPOLOGY, 1), Have(boxes=ON), LAYOUT)
    assert PlugDesk() not in plan(Wish(TOPOLOGY, 1), Have(boxes=ON, desk=True), LAYOUT)


def test_undoing_ends_the_internet_last_and_nothing_is_undone_twice() -> None:
    steps = undo(Have(boxes=ON, desk=True, folders=frozenset({LAYOUT.state, LAYOUT.run})), LAYOUT)
    killed = [step.name for step in steps if isinstance(step, KillBox)]
    assert killed[-1] == INTERNET
    assert DropDesk() in steps
    assert steps[-1] == RemoveFolder(LAYOUT.state)
    assert undo(Have(), LAYOUT) == ()


def test_a_box_is_cabled_into_the_internets_namespace() -> None:
    box = next(box for box in TOPOLOGY.boxes() if box.kind is Kind.NODE)
    text = script(box, LAYOUT, 42)
    assert "peer name node-1 netns /proc/42/ns/net" in text
    assert text.endswith('exec "$@"')


def test_init_reads_units_as_systemd_does() -> None:
    text = "[Service]\n# no\nExecStart=/opt/zos/bin/python -m zos.core0\nRestart=always\nRestartSec=200ms\n"
    unit = init.Unit("zos.service", text)
    assert unit.argv == ["/opt/zos/bin/python", "-m", "zos.core0"]
    assert unit.pause == 0.2
    assert unit.restarts_after(0)
    assert init.Unit("x.service", "[Unit]\nAfter=zos.service\n").after == ["zos.service"]
