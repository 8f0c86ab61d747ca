"""The records that vmd keeps of machines, and what it observes of their guests. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from zos.runtime.backoff import Backoff
from zos.vmd.api.types import Machine

BACKOFF = Backoff(first=2.0, cap=300.0)
STALL = Backoff(first=1.0, cap=60.0)
"""Between two tries to let a guest go on whose disk refused a write."""
STEADY = 60.0
"""A guest that ran this long is no crash loop: its next start waits the shortest time again."""


@dataclass(frozen=True, slots=True)
class MachineRecord:
    """A machine that was asked for, until it is gone (ledger `wishes`)."""

    machine: Machine
    dropping: bool = False
    """It was dropped: its guest is ended first, the record goes last. A record that is merely missing ends no guest."""


class GuestState(StrEnum):
    """What libvirt says of a domain, as far as it matters here."""

    RUNNING = "running"
    PAUSED = "paused"
    STALLED = "stalled"
    """Held by QEMU since a disk refused a write."""
    BROKEN = "broken"
    """QEMU lives and its guest does not (paused by an internal error, crashed)."""
    ENDING = "ending"


@dataclass(frozen=True, slots=True)
class ObservedGuest:
    """A domain of ours as libvirt shows it."""

    state: GuestState
    digest: str = ""
    """Of the machine that it was started from."""
    pid: int = 0
    accel: str = ""
    detail: str = ""
    growth: Mapping[int, int] = field(default_factory=dict)
    """Disks (by index) whose file is now larger than the guest knows, with the new size."""
    dead_shares: tuple[str, ...] = ()
    """virtiofs tags whose server process has ended: what the guest has mounted from them hangs for ever."""
    mounts: str = ""
    """Which mounts its folders are now; empty when they are none, or not all are there."""


@dataclass(frozen=True, slots=True)
class Boot:
    """What a guest's console tells of its last boot."""

    offset: int = 0
    """Where the boot begins in the console's file."""
    phases: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    """What our init could not do."""
    size: int = 0
    """How much of the file there was when it was read."""


@dataclass(frozen=True, slots=True)
class RunState:
    """How the starts of a machine went since the node booted (ledger `runs`); wall-clock seconds."""

    started: float = 0.0
    ended: float = 0.0
    changed: float = 0.0
    failures: int = 0
    """Ends and failed starts in a row without a steady run between."""
    restarts: int = 0
    next_try: float = 0.0
    reason: str = ""
    offset: int = 0
    """Where in the console the last start begins."""
    mounts: str = ""
    """Which mounts its folders were at the last start; empty when that is not known."""
    last_end: str = ""
    """Why it ended the last time."""
    stalls: int = 0
    """How often in a row it was let go on after a refused write, without a steady run between."""
    resumed: float = 0.0
    next_resume: float = 0.0

    @property
    def believed_running(self) -> bool:
        """A start succeeded and no end was noticed yet."""
        return self.started > self.ended


def after_start(run: RunState, now: float, offset: int | None = None, mounts: str = "") -> RunState:
    """The guest was started; `offset` is where its console begins, `mounts` what its folders were."""
    # A clock that stands still (or went back) must not make a start look older than the end before it.
    started = max(now, run.ended + 0.001)
    restarts = run.restarts + (1 if run.started else 0)
    return dataclasses.replace(
        run,
        started=started,
        changed=now,
        restarts=restarts,
        next_try=0.0,
        reason="",
        offset=run.offset if offset is None else offset,
        mounts=mounts,
        stalls=0,
        next_resume=0.0,
    )


def after_end(run: RunState, now: float, reason: str, spread: float | None = None) -> RunState:
    """The guest ended by itself or was ended because it was broken."""
    failures = 1 if now - run.started >= STEADY else run.failures + 1
    return _backed_off(run, now, failures, reason, spread)


def after_failed_start(run: RunState, now: float, reason: str, spread: float | None = None) -> RunState:
    """A start did not succeed."""
    return _backed_off(run, now, run.failures + 1, reason, spread)


def after_stop(run: RunState, now: float, reason: str) -> RunState:
    """We ended the guest for a change: the next start is not delayed."""
    ended = max(now, run.started)
    return dataclasses.replace(run, ended=ended, changed=now, next_try=now, failures=0, reason=reason, last_end=reason)


def after_resume(run: RunState, now: float, spread: float | None = None) -> RunState:
    """A guest whose disk refused a write was let go on: the next time is later, unless it ran well between."""
    stalls = 1 if now - run.resumed >= STEADY else run.stalls + 1
    return dataclasses.replace(
        run, changed=now, stalls=stalls, resumed=now, next_resume=now + STALL.delay(stalls, spread)
    )


def is_due(run: RunState, now: float) -> bool:
    """Whether a start may be tried now. A clock that was put back does not hold it up longer than the longest wait."""
    return _is_over(run.next_try, now, BACKOFF)


def may_resume(run: RunState, now: float) -> bool:
    """Whether a guest that stalled may be let go on now."""
    return _is_over(run.next_resume, now, STALL)


def _is_over(time: float, now: float, backoff: Backoff) -> bool:
    return now >= time or time > now + backoff.cap * (1 + backoff.jitter)


def _backed_off(run: RunState, now: float, failures: int, reason: str, spread: float | None) -> RunState:
    return dataclasses.replace(
        run,
        ended=max(now, run.started),
        changed=now,
        failures=failures,
        next_try=now + BACKOFF.delay(failures, spread),
        reason=reason,
        last_end=reason,
    )
