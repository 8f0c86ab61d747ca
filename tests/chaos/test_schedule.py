"""The schedule of faults: what a seed decides."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from schedule import DAEMONS, LIES, LONGEST, MOST, SERVICES, Kind, rounds

NODES = st.lists(st.sampled_from(["node-1", "node-2", "node-3"]), min_size=1, max_size=3, unique=True)


@given(st.integers(), NODES)
def test_a_seed_gives_the_same_rounds_again(seed: int, nodes: list[str]) -> None:
    once, again = (list(itertools.islice(rounds(seed, nodes), 20)) for _ in range(2))
    assert once == again


@given(st.integers(), NODES)
def test_faults_of_a_round_do_not_meet_and_end(seed: int, nodes: list[str]) -> None:
    for one in itertools.islice(rounds(seed, nodes), 20):
        assert 1 <= len(one.faults) <= MOST
        assert 0 <= one.seconds <= LONGEST
        whole = [fault.box for fault in one.faults if not fault.target[1]]
        assert len(whole) == len(set(whole))
        for fault in one.faults:
            assert fault.target[1] == "" or fault.box not in whole
            lasts = fault.kind not in (Kind.KILL, Kind.KILL_GUEST)
            assert (fault.seconds > 0) == lasts


@given(st.integers())
def test_everything_goes_wrong_sooner_or_later(seed: int) -> None:
    seen = [fault for one in itertools.islice(rounds(seed, ["node-1", "node-2"]), 1000) for fault in one.faults]
    assert {fault.kind for fault in seen} == set(Kind)
    for kind, words in ((Kind.KILL, DAEMONS), (Kind.STOP, DAEMONS), (Kind.LIE, LIES)):
        assert {fault.what for fault in seen if fault.kind is kind} == set(words)
    assert {fault.box for fault in seen if fault.kind is Kind.DOWN} == set(SERVICES)
