"""What vmd does about one machine, and what it refuses."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zos.model.units import GiB, MiB
from zos.vmd.api import (
    BadMachine,
    Machine,
    MachineDisk,
    MachineId,
    MachineKind,
    MachineState,
    Nic,
    Route,
    Share,
)
from zos.vmd.digest import digest
from zos.vmd.model import GuestState, Run, Seen, Wish, after_end, after_start
from zos.vmd.plan import (
    Forget,
    GrowDisk,
    Pause,
    Resume,
    Start,
    Stop,
    check,
    check_alone,
    plan,
    report,
)

ID = MachineId("1-2-vm")
MACHINE = Machine(ID, "vm", MachineKind.CONTAINER, 2, MiB(512), root=Path("/srv/root"))
IMAGE = Machine(ID, "vm", MachineKind.IMAGE, 1, MiB(512), disks=(MachineDisk(Path("/srv/a")),))
RUNNING = Seen(GuestState.RUNNING, digest(MACHINE), 12, "tcg")
NOW = 1000.0

seens = st.none() | st.builds(
    Seen,
    state=st.sampled_from(GuestState),
    digest=st.sampled_from([digest(MACHINE), "another", ""]),
    growth=st.dictionaries(st.integers(0, 3), st.integers(1, 1 << 40), max_size=2),
    dead_shares=st.sampled_from([(), ("vroot",)]),
)
wishes = st.builds(
    Wish, machine=st.sampled_from([MACHINE, dataclasses.replace(MACHINE, paused=True)]), dropping=st.booleans()
)
runs = st.builds(Run, next_try=st.floats(0, 2000), failures=st.integers(0, 9))


def test_a_guest_that_is_as_wished_is_not_touched():
    assert plan(Wish(MACHINE), RUNNING, Run(), NOW) == ()


def test_a_guest_that_is_missing_is_started():
    assert plan(Wish(MACHINE), None, Run(), NOW) == (Start(MACHINE),)


def test_a_start_waits_for_its_time():
    run = after_end(after_start(Run(), NOW), NOW + 1, "it crashed")
    assert plan(Wish(MACHINE), None, run, NOW + 1) == ()
    assert plan(Wish(MACHINE), None, run, run.next_try) == (Start(MACHINE),)


def test_a_changed_definition_restarts_the_guest():
    (step,) = plan(Wish(dataclasses.replace(MACHINE, cpu=1)), RUNNING, Run(), NOW)
    assert isinstance(step, Stop)
    assert not step.failure


def test_a_drop_ends_the_guest_first_and_forgets_it_then():
    assert [type(step) for step in plan(Wish(MACHINE, dropping=True), RUNNING, Run(), NOW)] == [Stop]
    assert plan(Wish(MACHINE, dropping=True), None, Run(), NOW) == (Forget(ID),)


def test_pausing_needs_no_restart():
    paused = Wish(dataclasses.replace(MACHINE, paused=True))
    held = dataclasses.replace(RUNNING, state=GuestState.PAUSED)
    assert plan(paused, RUNNING, Run(), NOW) == (Pause(ID),)
    assert plan(paused, held, Run(), NOW) == ()
    assert plan(Wish(MACHINE), held, Run(), NOW) == (Resume(ID),)


@pytest.mark.parametrize(
    "seen",
    [dataclasses.replace(RUNNING, state=GuestState.BROKEN), dataclasses.replace(RUNNING, dead_shares=("vroot",))],
)
def test_a_broken_guest_is_ended_and_counts_as_a_failure(seen: Seen):
    (step,) = plan(Wish(MACHINE), seen, Run(), NOW)
    assert isinstance(step, Stop)
    assert step.failure


def test_a_guest_is_told_that_its_disk_has_grown():
    seen = dataclasses.replace(RUNNING, growth={1: GiB(2)})
    assert plan(Wish(MACHINE), seen, Run(), NOW) == (GrowDisk(ID, 1, GiB(2)),)


@given(wishes, seens, runs)
def test_only_a_drop_forgets(wish: Wish, seen: Seen | None, run: Run):
    steps = plan(wish, seen, run, NOW)
    assert wish.dropping or not any(isinstance(step, Forget) for step in steps)
    assert not wish.dropping or all(isinstance(step, Stop | Forget) for step in steps)


@given(wishes, seens, runs)
def test_a_guest_that_matches_is_never_stopped(wish: Wish, seen: Seen | None, run: Run):
    steps = plan(wish, seen, run, NOW)
    fits = seen is not None and seen.digest == digest(MACHINE) and not seen.dead_shares and not wish.dropping
    if fits and seen is not None and seen.state is not GuestState.BROKEN:
        assert not any(isinstance(step, Stop | Start) for step in steps)


@given(wishes, seens, runs)
def test_every_step_says_what_it_does(wish: Wish, seen: Seen | None, run: Run):
    assert all(ID in step.describe() for step in plan(wish, seen, run, NOW))


def test_a_report_says_how_it_is_and_why():
    assert report(Wish(MACHINE), None, Run()).state is MachineState.STARTING
    running = report(Wish(MACHINE), RUNNING, after_start(Run(), NOW), {"userland": 1.5})
    assert (running.state, running.pid, running.phases) == (MachineState.RUNNING, 12, {"userland": 1.5})
    ended = report(Wish(MACHINE), None, after_end(after_start(Run(), NOW), NOW + 1, "it crashed", spread=0.5))
    assert (ended.state, ended.detail, ended.next_try) == (MachineState.BACKOFF, "it crashed", NOW + 3)
    assert report(Wish(MACHINE), RUNNING, Run(), trouble="libvirt is away").detail == "libvirt is away"


@pytest.mark.parametrize("machine", [MACHINE, IMAGE])
def test_a_plain_machine_is_accepted(machine: Machine):
    check(machine, 2)


NIC = Nic("t-a", "02:00:00:00:00:01")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"id": "../x"}, "id"),
        ({"name": "a b"}, "host name"),
        ({"cpu": 0}, "CPUs"),
        ({"cpu": 3}, "CPUs"),
        ({"memory": MiB(100)}, "memory"),
        ({"root": None}, "root"),
        ({"root": Path("relative")}, "root"),
        ({"root": Path("/a/../b")}, "root"),
        ({"initrd": "/boot/initrd"}, "kernel"),
        ({"disks": (MachineDisk(Path("d")),)}, "absolute"),
        ({"disks": (MachineDisk(Path("/d")), MachineDisk(Path("/d")))}, "twice"),
        ({"disks": (MachineDisk(Path("/d"), "/"),)}, "mount"),
        ({"disks": (MachineDisk(Path("/d"), "/a/../../b"),)}, "mount"),
        ({"disks": tuple(MachineDisk(Path(f"/d{n}")) for n in range(17))}, "most"),
        ({"disks": (MachineDisk(Path("/d"), "/x"), MachineDisk(Path("/e"), "/x/"))}, "mounted at"),
        ({"shares": (Share("vroot", Path("/s"), "/s"),)}, "share"),
        ({"shares": (Share("a b", Path("/s"), "/s"),)}, "share"),
        ({"nics": (Nic("a/b", "02:00:00:00:00:01"),)}, "network device"),
        ({"nics": (Nic("t-a", "01:00:00:00:00:01"),)}, "hardware address"),
        ({"nics": (NIC, NIC)}, "two interfaces"),
        ({"nics": (dataclasses.replace(NIC, addresses=("10.0.0.300/24",)),)}, "10.0.0.300"),
        ({"nics": (dataclasses.replace(NIC, gateway="x"),)}, "x"),
        ({"nics": (dataclasses.replace(NIC, routes=(Route("10.0.0.1/8", ""),)),)}, "10.0.0.1/8"),
        ({"env": {"A=B": "x"}}, "environment"),
        ({"env": {"A": "\0"}}, "environment"),
        ({"nameservers": ("dns.example",)}, "dns.example"),
        ({"entrypoint": "a\0b"}, "zero byte"),
    ],
)
def test_what_cannot_be_a_machine_is_refused_with_its_reason(changes: dict[str, object], problem: str):
    with pytest.raises(BadMachine, match=problem):
        check(dataclasses.replace(MACHINE, **changes), 2)  # type: ignore[arg-type]


@pytest.mark.parametrize("changes", [{"disks": ()}, {"root": Path("/x")}, {"kernel": "/boot/vmlinuz"}])
def test_an_image_boots_from_its_disk_alone(changes: dict[str, object]):
    with pytest.raises(BadMachine):
        check(dataclasses.replace(IMAGE, **changes), 2)  # type: ignore[arg-type]


def test_two_machines_never_share_a_disk_or_a_tap():
    disk, tap = (MachineDisk(Path("/srv/a")),), (NIC,)
    other = dataclasses.replace(MACHINE, id=MachineId("other"), disks=disk, nics=tap)
    check_alone(MACHINE, [other])
    check_alone(dataclasses.replace(other, cpu=1), [other])
    with pytest.raises(BadMachine, match="machine other already has the disk /srv/a"):
        check_alone(IMAGE, [other])
    with pytest.raises(BadMachine, match="t-a"):
        check_alone(dataclasses.replace(MACHINE, nics=tap), [other])
