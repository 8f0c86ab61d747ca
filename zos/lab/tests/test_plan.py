"""What a lab needs next, decided without touching the machine."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from zos.lab import init, record
from zos.lab.addresses import Addresses
from zos.lab.errors import BadName, Busy
from zos.lab.host import LinuxHost
from zos.lab.plan import Desired, Observed, ObservedBox, plan, shortage, undo
from zos.lab.script import script
from zos.lab.steps import (
    AttachLoop,
    ConnectHost,
    DetachLoop,
    DisconnectHost,
    KillBox,
    MakeMountPoint,
    ReleaseMountPoints,
    RemoveFolder,
    StartBox,
    WriteFile,
)
from zos.lab.topology import INTERNET, Kind, Layout, Topology
from zos.lab.units import own_units
from zos.model.units import GiB, MiB

LAYOUT = Layout(Path("/s"), Path("/r"))
TOPOLOGY = Topology(nodes=2, disks=1, hard_disks=0)
NAMES = [box.name for box in TOPOLOGY.boxes()]
ON = {name: ObservedBox(100 + number, True) for number, name in enumerate(NAMES)}


def started(observed: Observed, farm: int = 1) -> list[str]:
    return [step.box.name for step in plan(Desired(TOPOLOGY, farm), observed, LAYOUT) if isinstance(step, StartBox)]


def test_nobody_starts_before_the_internet_is_there() -> None:
    assert started(Observed()) == [INTERNET]


def test_nodes_wait_for_their_disks_and_their_farm() -> None:
    observed = Observed(boxes={INTERNET: ObservedBox(1, True)})
    assert started(observed) == ["chain", "hub", "relay", "gridproxy", "user"]
    loops = {LAYOUT.disk(f"node-{n}", 0): Path(f"/dev/loop{n}") for n in (1, 2)}
    ready = dataclasses.replace(observed, loops=loops)
    assert started(ready, farm=0) == ["chain", "hub", "relay", "gridproxy", "user"]
    assert started(ready) == ["chain", "hub", "relay", "gridproxy", "user", "node-1", "node-2"]


def test_a_half_built_box_is_ended_first() -> None:
    observed = Observed(boxes={**ON, "hub": ObservedBox(7, False)})
    assert plan(Desired(TOPOLOGY, 1), observed, LAYOUT) == (KillBox("hub", 7),)


def test_without_the_internet_every_cable_is_cut_and_all_begin_anew() -> None:
    left = {name: seen for name, seen in ON.items() if name != INTERNET}
    assert {
        step.name for step in plan(Desired(TOPOLOGY, 1), Observed(boxes=left), LAYOUT) if isinstance(step, KillBox)
    } == set(left)


def test_a_node_is_told_the_files_behind_its_disks_not_their_numbers() -> None:
    loops = {LAYOUT.disk("node-1", 0): Path("/dev/loop7")}
    observed = Observed(boxes={INTERNET: ObservedBox(1, True)}, loops=loops)
    written = [step for step in plan(Desired(TOPOLOGY, 3), observed, LAYOUT) if isinstance(step, WriteFile)]
    (config,) = [step.text for step in written if step.path.name == "zos.toml"]
    assert 'disks = ["/s/node-1/disk-0.img"]' in config
    assert "farm_id = 3" in config
    assert "loop7" not in config


def test_a_disk_gets_its_device_once() -> None:
    path = LAYOUT.disk("node-1", 0)
    observed = Observed(
        boxes={INTERNET: ObservedBox(1, True)}, loops={path: Path("/dev/loop7")}, disks=frozenset({path})
    )
    assert AttachLoop(path) not in plan(Desired(TOPOLOGY, 1), observed, LAYOUT)


def test_the_machine_is_connected_once() -> None:
    step = ConnectHost(TOPOLOGY.addresses)
    assert step in plan(Desired(TOPOLOGY, 1), Observed(boxes=ON), LAYOUT)
    assert step not in plan(Desired(TOPOLOGY, 1), Observed(boxes=ON, host_link=True), LAYOUT)


def test_undoing_ends_the_internet_last_and_nothing_is_undone_twice() -> None:
    folders = frozenset({LAYOUT.state, LAYOUT.run})
    steps = undo(Observed(boxes=ON, host_link=True, folders=folders), LAYOUT)
    assert {type(step) for step in steps} == {KillBox}, "the state of a lab that runs is never removed"
    assert steps[-1] == KillBox(INTERNET, ON[INTERNET].pid)
    steps = undo(Observed(host_link=True, folders=folders), LAYOUT)
    assert steps[0] == DisconnectHost()
    assert steps[-1] == RemoveFolder(LAYOUT.state)
    assert undo(Observed(), LAYOUT) == ()


def test_the_state_of_boxes_that_cannot_be_seen_stays_as_long_as_their_disks_are_in_use() -> None:
    loops = {LAYOUT.disk("node-1", 0): Path("/dev/loop7")}
    observed = Observed(loops=loops, folders=frozenset({LAYOUT.state, LAYOUT.run}), has_claims=True)
    assert undo(observed, LAYOUT) == (DetachLoop(Path("/dev/loop7")),)


def test_a_lab_without_room_is_refused_before_it_is_built() -> None:
    assert shortage(2, GiB(5), GiB(5)) is None
    assert shortage(2, MiB(511), GiB(5)) == ("disk space", MiB(512), MiB(511))
    assert shortage(2, GiB(5), MiB(10)) == ("memory", MiB(1280), MiB(10))
    assert all(value > GiB(0) for value in LinuxHost(Layout(Path("/tmp"), Path("/tmp"))).room())


def test_labs_differ_in_every_address() -> None:
    here, there = (Topology(addresses=Addresses(number)) for number in (0, 1))
    assert {box.address for box in here.boxes()}.isdisjoint(box.address for box in there.boxes())
    urls = [name for name in dir(Addresses) if name.endswith(("url", "domain", "link"))]
    assert len(urls) == 11
    assert all(getattr(here.addresses, name) != getattr(there.addresses, name) for name in urls)
    text = "".join(own_units(box, there, LAYOUT).get("relay.service", "") for box in there.boxes())
    assert here.addresses.address(1)[:-1] not in text


@pytest.mark.parametrize("name", ["../x", "A", "-a", "a" * 32, "a b", "a/b"])
def test_a_name_that_could_leave_its_folder_is_refused(name: str) -> None:
    with pytest.raises(BadName, match="cannot be called"):
        Layout.of(name)


def test_the_default_labs_folders_stay_where_they_were() -> None:
    assert Layout.of("") == Layout.of("lab") == Layout(Path("/var/lib/zos-lab"), Path("/run/zos-lab"), "lab")
    assert Layout.of("b").run == Path("/run/zos-lab-b")


def lab(root: Path, name: str, number: int | None = None) -> Layout:
    """A lab whose state is below `root`."""
    suffix = "" if name == "lab" else f"-{name}"
    layout = Layout(root / f"zos-lab{suffix}", root / f"run-zos-lab{suffix}", name)
    if number is not None:
        layout.state.mkdir()
        record.write(layout, record.Record(nodes=1, number=number))
    return layout


def test_a_new_lab_takes_the_first_free_network_and_never_the_default_ones(tmp_path: Path) -> None:
    lab(tmp_path, "lab", number=0)
    lab(tmp_path, "a", number=1)
    lab(tmp_path, "c", number=3)
    assert record.free_number(lab(tmp_path, "b")) == 2
    assert record.free_number(lab(tmp_path, "lab")) == 0
    assert sorted(one.name for one in record.neighbours(lab(tmp_path, "b"))) == ["a", "c", "lab"]


def test_a_record_of_an_earlier_release_is_read(tmp_path: Path) -> None:
    layout = lab(tmp_path, "lab")
    layout.state.mkdir()
    layout.record.write_text('{"nodes": 2, "farm": 1}')
    assert record.read(layout) == record.Record(2, 1, 0, "")
    layout.record.write_text("torn")
    assert record.read(layout) is None


async def test_a_shared_mount_point_goes_with_the_last_lab_that_needs_it(tmp_path: Path) -> None:
    point = tmp_path / "point"
    first, second = (LinuxHost(lab(tmp_path, name, number=number)) for name, number in (("a", 1), ("b", 2)))
    for host in (first, second, second):
        await host.apply(MakeMountPoint(point))
    await first.apply(ReleaseMountPoints())
    assert point.is_dir()
    await second.apply(ReleaseMountPoints())
    assert not point.exists()
    point.mkdir()
    await first.apply(MakeMountPoint(point))
    await first.apply(ReleaseMountPoints())
    assert point.is_dir(), "no lab made it"


def test_two_commands_do_not_build_the_same_lab_at_once_and_the_lock_leaves_nothing(tmp_path: Path) -> None:
    mine, other = LinuxHost(lab(tmp_path, "a")), LinuxHost(lab(tmp_path, "b"))
    with mine.locked(), other.locked(), pytest.raises(Busy), LinuxHost(lab(tmp_path, "a")).locked():
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_box_is_cabled_into_the_internets_namespace() -> None:
    box = next(box for box in TOPOLOGY.boxes() if box.kind is Kind.NODE)
    text = script(box, LAYOUT, TOPOLOGY.addresses, 42)
    assert "peer name node-1 netns /proc/42/ns/net" in text
    assert text.endswith('exec "$@"')


def test_init_reads_units_as_systemd_does() -> None:
    text = "[Service]\n# no\nExecStart=/opt/zos/bin/python -m zos.core0\nRestart=always\nRestartSec=200ms\n"
    unit = init.Unit("zos.service", text)
    assert unit.argv == ["/opt/zos/bin/python", "-m", "zos.core0"]
    assert unit.pause == 0.2
    assert unit.restarts_after(0)
    assert init.Unit("x.service", "[Unit]\nAfter=zos.service\n").after == ["zos.service"]
