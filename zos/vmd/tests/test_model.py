"""The story of a machine's starts."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from zos.model.units import MiB
from zos.runtime.ledger import Ledger
from zos.vmd.api import Machine, MachineDisk, MachineId, MachineKind
from zos.vmd.model import (
    BACKOFF,
    STEADY,
    MachineRecord,
    RunState,
    after_end,
    after_failed_start,
    after_start,
    after_stop,
    is_due,
)

MACHINE = Machine(
    MachineId("1-2-vm"),
    "vm",
    MachineKind.CONTAINER,
    2,
    MiB(512),
    root=Path("/srv/root"),
    disks=(MachineDisk(Path("/srv/disk"), "/data"),),
    env={"A": "1", "B": "2"},
)
times = st.floats(min_value=0, max_value=4e9, allow_nan=False)


def test_a_record_is_the_same_after_a_restart_of_vmd(tmp_path: Path):
    Ledger(tmp_path, MachineRecord).put("a", MachineRecord(MACHINE, dropping=True))
    assert Ledger(tmp_path, MachineRecord).get("a") == MachineRecord(MACHINE, dropping=True)


def test_a_crash_loop_waits_ever_longer_up_to_the_cap():
    run, now, delays = RunState(), 1000.0, []
    for _ in range(12):
        run = after_start(run, now)
        run = after_end(run, now + 1, "it crashed", spread=0.5)
        delays.append(run.next_try - now - 1)
        now = run.next_try
    assert [round(delay) for delay in delays[:5]] == [2, 4, 8, 16, 32]
    assert round(delays[-1]) == BACKOFF.cap
    assert run.restarts == 11


def test_a_steady_run_is_forgiven():
    run = after_start(RunState(failures=7), 1000.0)
    assert after_end(run, 1000.0 + STEADY, "", spread=0.5).failures == 1


def test_a_stop_of_ours_delays_nothing():
    run = after_stop(after_start(RunState(failures=3), 1000.0), 1001.0, "its definition was changed")
    assert is_due(run, 1001.0)
    assert not run.believed_running


@given(times, times)
def test_a_clock_that_was_put_back_holds_nobody_up_for_longer_than_the_cap(then: float, now: float):
    run = after_failed_start(RunState(failures=20), then, "no memory")
    assert is_due(run, now) or run.next_try - now <= BACKOFF.cap * (1 + BACKOFF.jitter)


@given(st.lists(st.tuples(st.sampled_from(["start", "end", "fail", "stop"]), times), max_size=20))
def test_whether_it_is_believed_to_run_follows_the_last_event(events: list[tuple[str, float]]):
    run = RunState()
    for what, now in events:
        match what:
            case "start":
                run = after_start(run, now)
            case "end":
                run = after_end(run, now, "")
            case "fail":
                run = after_failed_start(run, now, "")
            case _:
                run = after_stop(run, now, "")
        assert run.believed_running == (what == "start")
