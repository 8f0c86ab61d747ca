"""Decides the next steps of a machine, and which machines are refused. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from zos.vmd.api.errors import BadMachine
from zos.vmd.api.types import Machine, MachineInfo, MachineState
from zos.vmd.digest import digest
from zos.vmd.model import Boot, GuestState, MachineRecord, ObservedGuest, RunState, is_due, may_resume
from zos.vmd.steps import Forget, GrowDisk, Pause, Resume, Start, Step, Stop


def plan(record: MachineRecord, observed: ObservedGuest | None, run: RunState, now: float) -> tuple[Step, ...]:
    """Steps for one machine now; none when its guest is what the record says, or while a start is backed off."""
    machine = record.machine
    if observed is None:
        if record.dropping:
            return (Forget(machine.id),)
        return (Start(machine),) if is_due(run, now) else ()
    if record.dropping:
        return (Stop(machine.id, "it was dropped"),)
    if observed.state is GuestState.ENDING:
        return ()
    if observed.state is GuestState.BROKEN:
        return (Stop(machine.id, observed.detail or "the hypervisor holds a broken guest", failure=True),)
    if observed.dead_shares:
        tags = ", ".join(observed.dead_shares)
        return (Stop(machine.id, f"the file server of {tags} ended", failure=True),)
    if observed.digest != digest(machine):
        return (Stop(machine.id, "its definition was changed"),)
    if run.mounts and observed.mounts and run.mounts != observed.mounts:
        # The server of its root ended and flistd mounted the root anew: the guest still has the dead mount.
        return (Stop(machine.id, "its folders were mounted anew, and it has the mounts before"),)
    return (
        *_pausing(machine, observed, run, now),
        *(GrowDisk(machine.id, index, size) for index, size in observed.growth.items()),
    )


def _pausing(machine: Machine, observed: ObservedGuest, run: RunState, now: float) -> tuple[Step, ...]:
    if machine.paused and observed.state is GuestState.RUNNING:
        return (Pause(machine.id),)
    if not machine.paused and observed.state is GuestState.PAUSED:
        return (Resume(machine.id),)
    if not machine.paused and observed.state is GuestState.STALLED and may_resume(run, now):
        return (Resume(machine.id, is_stalled=True),)
    return ()


def report(
    record: MachineRecord,
    observed: ObservedGuest | None,
    run: RunState,
    boot: Boot | None = None,
    problem: str = "",
) -> MachineInfo:
    """A machine for its callers; `problem` is what keeps vmd from doing better now."""
    machine = record.machine
    state, detail, next_try = MachineState.STARTING, run.reason, 0.0
    if record.dropping:
        state = MachineState.STOPPED
    elif observed is not None:
        told = "; ".join(boot.warnings) if boot else ""
        state, detail = _STATES[observed.state], observed.detail or told or _past(run)
    elif run.failures:
        state, next_try = MachineState.BACKOFF, run.next_try
    return MachineInfo(
        id=machine.id,
        state=state,
        since=run.changed,
        restarts=run.restarts,
        next_try=next_try,
        detail=problem or detail,
        pid=observed.pid if observed else 0,
        accel=observed.accel if observed else "",
        phases=dict(boot.phases if boot else {}),
    )


def _past(run: RunState) -> str:
    return f"the last time it ended: {run.last_end}" if run.restarts and run.last_end else ""


_STATES = {
    GuestState.RUNNING: MachineState.RUNNING,
    GuestState.PAUSED: MachineState.PAUSED,
    GuestState.STALLED: MachineState.PAUSED,
    GuestState.BROKEN: MachineState.CRASHED,
    GuestState.ENDING: MachineState.STOPPED,
}


def check_alone(machine: Machine, others: Iterable[Machine]) -> None:
    """Refuse what another machine has: two guests on one disk destroy it."""
    mine = _exclusive(machine)
    for other in others:
        if other.id != machine.id and (both := mine & _exclusive(other)):
            raise BadMachine(id=machine.id, problem=f"machine {other.id} already has {min(both)}")


def _exclusive(machine: Machine) -> set[str]:
    disks = {f"the disk {disk.path}" for disk in machine.disks}
    return disks | {f"the network device {nic.tap}" for nic in machine.nics}
