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
from zos.vmd.api.check import check
from zos.vmd.digest import digest
from zos.vmd.model import Boot, GuestState, MachineRecord, ObservedGuest, RunState, after_end, after_start
from zos.vmd.plan import check_alone, plan, report
from zos.vmd.steps import Forget, GrowDisk, Pause, Resume, Start, Stop

ID = MachineId("1-2-vm")
MACHINE = Machine(ID, "vm", MachineKind.CONTAINER, 2, MiB(512), root=Path("/srv/root"))
IMAGE = Machine(ID, "vm", MachineKind.IMAGE, 1, MiB(512), disks=(MachineDisk(Path("/srv/a")),))
RUNNING = ObservedGuest(GuestState.RUNNING, digest(MACHINE), 12, "tcg")
NOW = 1000.0

observations = st.none() | st.builds(
    ObservedGuest,
    state=st.sampled_from(GuestState),
    digest=st.sampled_from([digest(MACHINE), "another", ""]),
    growth=st.dictionaries(st.integers(0, 3), st.integers(1, 1 << 40), max_size=2),
    dead_shares=st.sampled_from([(), ("vroot",)]),
)
records = st.builds(
    MachineRecord, machine=st.sampled_from([MACHINE, dataclasses.replace(MACHINE, paused=True)]), dropping=st.booleans()
)
runs = st.builds(RunState, next_try=st.floats(0, 2000), failures=st.integers(0, 9))


def test_a_guest_that_matches_its_record_is_not_touched():
    assert plan(MachineRecord(MACHINE), RUNNING, RunState(), NOW) == ()


def test_a_guest_that_is_missing_is_started():
    assert plan(MachineRecord(MACHINE), None, RunState(), NOW) == (Start(MACHINE),)


def test_a_start_waits_for_its_time():
    run = after_end(after_start(RunState(), NOW), NOW + 1, "it crashed")
    assert plan(MachineRecord(MACHINE), None, run, NOW + 1) == ()
    assert plan(MachineRecord(MACHINE), None, run, run.next_try) == (Start(MACHINE),)


def test_a_changed_definition_restarts_the_guest():
    (step,) = plan(MachineRecord(dataclasses.replace(MACHINE, cpu=1)), RUNNING, RunState(), NOW)
    assert isinstance(step, Stop)
    assert not step.failure


def test_a_drop_ends_the_guest_first_and_forgets_it_then():
    assert [type(step) for step in plan(MachineRecord(MACHINE, dropping=True), RUNNING, RunState(), NOW)] == [Stop]
    assert plan(MachineRecord(MACHINE, dropping=True), None, RunState(), NOW) == (Forget(ID),)


def test_pausing_needs_no_restart():
    paused = MachineRecord(dataclasses.replace(MACHINE, paused=True))
    held = dataclasses.replace(RUNNING, state=GuestState.PAUSED)
    assert plan(paused, RUNNING, RunState(), NOW) == (Pause(ID),)
    assert plan(paused, held, RunState(), NOW) == ()
    assert plan(MachineRecord(MACHINE), held, RunState(), NOW) == (Resume(ID),)


@pytest.mark.parametrize(
    "observed",
    [dataclasses.replace(RUNNING, state=GuestState.BROKEN), dataclasses.replace(RUNNING, dead_shares=("vroot",))],
)
def test_a_broken_guest_is_ended_and_counts_as_a_failure(observed: ObservedGuest):
    (step,) = plan(MachineRecord(MACHINE), observed, RunState(), NOW)
    assert isinstance(step, Stop)
    assert step.failure


def test_a_guest_is_told_that_its_disk_has_grown():
    observed = dataclasses.replace(RUNNING, growth={1: GiB(2)})
    assert plan(MachineRecord(MACHINE), observed, RunState(), NOW) == (GrowDisk(ID, 1, GiB(2)),)


@given(records, observations, runs)
def test_only_a_drop_forgets(record: MachineRecord, observed: ObservedGuest | None, run: RunState):
    steps = plan(record, observed, run, NOW)
    assert record.dropping or not any(isinstance(step, Forget) for step in steps)
    assert not record.dropping or all(isinstance(step, Stop | Forget) for step in steps)


@given(records, observations, runs)
def test_a_guest_that_matches_is_never_stopped(record: MachineRecord, observed: ObservedGuest | None, run: RunState):
    steps = plan(record, observed, run, NOW)
    fits = (
        observed is not None and observed.digest == digest(MACHINE) and not observed.dead_shares and not record.dropping
    )
    if fits and observed is not None and observed.state is not GuestState.BROKEN:
        assert not any(isinstance(step, Stop | Start) for step in steps)


@given(records, observations, runs)
def test_every_step_says_what_it_does(record: MachineRecord, observed: ObservedGuest | None, run: RunState):
    assert all(ID in step.describe() for step in plan(record, observed, run, NOW))


def test_a_report_says_how_it_is_and_why():
    assert report(MachineRecord(MACHINE), None, RunState()).state is MachineState.STARTING
    boot = Boot(0, {"userland": 1.5}, ("no DNS",))
    running = report(MachineRecord(MACHINE), RUNNING, after_start(RunState(), NOW), boot)
    assert running.detail == "no DNS"
    assert (running.state, running.pid, running.phases) == (MachineState.RUNNING, 12, {"userland": 1.5})
    ended = report(
        MachineRecord(MACHINE), None, after_end(after_start(RunState(), NOW), NOW + 1, "it crashed", spread=0.5)
    )
    assert (ended.state, ended.detail, ended.next_try) == (MachineState.BACKOFF, "it crashed", NOW + 3)
    assert report(MachineRecord(MACHINE), RUNNING, RunState(), problem="libvirt is away").detail == "libvirt is away"


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
