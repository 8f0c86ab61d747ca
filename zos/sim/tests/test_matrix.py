"""The crash matrix: a branch of a history is the history as it is played alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from zos.sim.matrix import Fault, Played, play, play_all


@pytest.mark.process
@pytest.mark.timeout(300)
def test_a_branch_is_what_the_history_with_its_fault_is(capsys: pytest.CaptureFixture[str]) -> None:
    here, told = Path.cwd(), list[Played]()
    assert play_all(25, 800, 110, 2, told.append) == 0
    assert Path.cwd() == here
    points = {one.point.fault: one for one in told if one.point is not None}
    assert points.keys() == {Fault.KILL, Fault.ERROR, Fault.DELAY}
    for fault, branch in points.items():
        assert branch.point is not None
        assert branch.met
        alone = play(branch.point, 25)
        assert (fault, branch.contracts, branch.violations) == (fault, alone.contracts, alone.violations)
        if os.environ.get("PYTHONHASHSEED") == "0":
            assert (branch.awaits, branch.calls) == (alone.awaits, alone.calls)
    assert "0 histories with violations" in capsys.readouterr().out


@pytest.mark.process
def test_a_branch_that_dies_is_a_violation(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("zos.sim.matrix.SimNode.kill", lambda *_: os._exit(3))
    told = list[Played]()
    assert play_all(25, 3000, 300, 1, told.append) == 1
    kills = [one.violations for one in told if one.point is not None and one.point.fault is Fault.KILL]
    assert kills == [["its process ended without a word"]] * len(kills) != []
    capsys.readouterr()
