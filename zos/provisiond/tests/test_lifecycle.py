"""The phases of a contract: what may follow on what, and what no sequence of transitions breaks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zos.model.deployment import Deployment, ResultState, decode
from zos.model.evidence import Evidence, EvidenceKind
from zos.primitives import find
from zos.provisiond import lifecycle
from zos.provisiond.lifecycle import IllegalTransition, Moved
from zos.provisiond.model import Item, Phase, Record
from zos.provisiond.plan import Do, Op, plan
from zos.provisiond.tests import users as u

EVIDENCE = Evidence(EvidenceKind.CONTRACT_CANCELLED, 5, 9)
NAMES = ("a", "b", "c")


def document(version: int, *workloads: dict[str, Any]) -> Deployment:
    return decode(u.document(5, *workloads, version=version))


def in_force(record: Record, deployment: Deployment, paid: bool = True) -> Moved:
    return lifecycle.put_in_force(record, deployment, hash="ab", block=7, paid=paid, now=2)


def applied(record: Record) -> Record:
    """As the executor leaves it."""
    for item in record.items:
        made = dataclasses.replace(item.settled(ResultState.OK, 3), applied=item.data, applied_version=item.version)
        record = record.with_item(made)
    return record


FIRST = document(0, u.zmount("a"), u.zmount("b"))


def test_a_first_document_waits_and_is_in_force_when_its_contract_carries_it() -> None:
    moved = lifecycle.submitted(FIRST, 1)
    assert moved.record.phase is Phase.WAITING
    assert [item.name for item in moved.log] == ["a", "b"]
    after = in_force(moved.record, FIRST)
    assert (after.record.phase, after.record.hash, after.record.block, after.log) == (Phase.ACTIVE, "ab", 7, ())


def test_a_refused_update_leaves_what_is_in_force_and_even_what_is_still_being_made() -> None:
    record = in_force(lifecycle.submitted(FIRST, 1).record, FIRST).record
    update = document(1, u.zmount("a"), {**u.zmount("b", 2), "version": 1})
    moved = lifecycle.refused(lifecycle.offered(record, update, 2), update, "no", 4)
    assert (moved.record.phase, moved.record.items, moved.record.refusal) == (Phase.ACTIVE, record.items, "no")
    assert [(item.name, item.state) for item in moved.log] == [("b", ResultState.UNCHANGED)]


def test_a_refused_first_document_may_be_followed_by_one_that_the_contract_carries() -> None:
    refused = lifecycle.refused(lifecycle.submitted(FIRST, 1).record, FIRST, "no", 2).record
    assert refused.phase is Phase.REFUSED
    assert {item.state for item in refused.items} == {ResultState.ERROR}
    update = document(1, {**u.zmount("a"), "version": 1}, {**u.zmount("b"), "version": 1})
    moved = in_force(lifecycle.offered(refused, update, 2), update)
    assert moved.record.phase is Phase.ACTIVE
    assert {(item.state, item.version) for item in moved.log} == {(ResultState.INIT, 1)}


def test_a_name_that_comes_again_is_made_only_after_the_one_before_is_removed() -> None:
    record = applied(in_force(lifecycle.submitted(FIRST, 1).record, FIRST).record)
    record = in_force(record, document(1, u.zmount("b"))).record
    again = in_force(record, document(2, {**u.volume("a"), "version": 2}, u.zmount("b"))).record
    assert [(item.name, item.type, item.leaving) for item in again.items] == [
        ("a", "volume", False),
        ("b", "zmount", False),
        ("a", "zmount", True),
    ]
    assert plan(again, find())[0] == Op(Do.REMOVE, "a", leaving=True)


@pytest.mark.parametrize(
    ("phase", "transition"),
    [
        (Phase.PAUSED, lifecycle.paused),
        (Phase.WAITING, lifecycle.paused),
        (Phase.ACTIVE, lifecycle.resumed),
        (Phase.ENDING, lifecycle.paused),
        (Phase.ENDING, lambda record: lifecycle.ended(record, EVIDENCE)),
        (Phase.ENDING, lambda record: lifecycle.offered(record, FIRST, 2)),
        (Phase.ENDING, lambda record: in_force(record, FIRST)),
        (Phase.ENDING, lambda record: lifecycle.refused(record, FIRST, "no", 1)),
    ],
)
def test_other_transitions_are_bugs(phase: Phase, transition: Callable[[Record], Record | Moved]) -> None:
    with pytest.raises(IllegalTransition):
        transition(dataclasses.replace(lifecycle.submitted(FIRST, 1).record, phase=phase))


ACTS = st.sampled_from(["offer", "accept", "accept unpaid", "refuse", "pause", "resume", "end", "apply", "remove"])


@settings(suppress_health_check=[HealthCheck.too_slow])  # the first draw on a busy machine
@given(st.lists(st.tuples(ACTS, st.sets(st.sampled_from(NAMES)), st.sampled_from(["zmount", "volume"]))))
def test_no_sequence_of_transitions_loses_what_was_made(steps: list[tuple[str, set[str], str]]) -> None:
    record = lifecycle.submitted(FIRST, 1).record
    made: set[tuple[str, str]] = set()
    for act, names, kind in steps:
        before = record
        try:
            record = step(record, act, sorted(names), kind)
        except IllegalTransition:
            record = before
        if act == "apply":
            made = {(item.name, item.type) for item in record.items if item.applied is not None}
        if act == "remove":
            made = {(item.name, item.type) for item in record.items if item.applied is not None}
        assert made <= {(item.name, item.type) for item in record.items}
        assert (record.ending is not None) == (record.phase is Phase.ENDING)
        assert record.phase is not Phase.ENDING or record.incoming is None
        assert record.phase is not Phase.WAITING or (record.incoming is not None and not record.block)
        assert record.phase is not Phase.REFUSED or record.refusal
        assert len({(item.name, item.leaving, item.type) for item in record.items}) == len(record.items)


def step(record: Record, act: str, names: list[str], kind: str) -> Record:
    size = {"size": 1}
    version = record.version + 1
    update = document(version, *(u.workload(name, kind, size, version) for name in names))
    incoming = decode(record.incoming.document) if record.incoming else None
    if act == "offer":
        return lifecycle.offered(record, update, 2)
    if act.startswith("accept") and incoming is not None:
        return in_force(record, incoming, paid=act == "accept").record
    if act == "refuse" and incoming is not None:
        return lifecycle.refused(record, incoming, "no", 2).record
    if act == "pause":
        return lifecycle.paused(record)
    if act == "resume":
        return lifecycle.resumed(record)
    if act == "end":
        return lifecycle.ended(record, EVIDENCE)
    if act == "apply" and record.phase in (Phase.ACTIVE, Phase.PAUSED):
        return _made(record)
    if act == "remove":
        return _removed(record)
    return record


def _made(record: Record) -> Record:
    for item in record.items:
        if not item.leaving and record.leaving(item.name) is None and item.state is not ResultState.ERROR:
            record = record.with_item(dataclasses.replace(item.settled(ResultState.OK, 3), applied=item.data))
    return record


def _removed(record: Record) -> Record:
    leaving: tuple[Item, ...] = tuple(item for item in record.items if item.leaving)
    for item in leaving if record.phase is not Phase.ENDING else record.items:
        record = record.without_item(item)
    return record
