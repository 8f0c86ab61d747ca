"""What of a node's progress ends the wait of `zos deploy`, and what is shown meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from zos.cli.client.waiting import Board, ChangeRefused, DocumentRefused, Watch, WorkloadFailed, is_made
from zos.model.deployment import Deployment, decode
from zos.provisiond.api.types import Progress
from zos.provisiond.tests import users as u


def signed(version: int = 1) -> Deployment:
    return decode(u.document(5, u.zmount("a"), {**u.zmount("b"), "version": version}, version=version))


def told(workload: str, state: str, version: int, message: str = "no") -> Progress:
    return Progress(5, workload, "zmount", state, message, 0.0, version)


def test_what_is_about_the_version_before_ends_no_wait() -> None:
    watch = Watch(1, 5, signed())
    for one in (told("a", "error", 0), told("a", "unchanged", 0), told("", "error", 0), told("a", "ok", 0)):
        watch.see(one, 1.0)
    with pytest.raises(WorkloadFailed, match="a of contract 5 failed: no"):
        watch.see(told("a", "error", 1), 2.0)
    with pytest.raises(ChangeRefused, match="b of contract 5 stays as it was: no"):
        watch.see(told("b", "unchanged", 1), 2.0)


def test_a_refusal_of_the_document_ends_the_wait_at_once_and_one_that_may_be_of_another_after_seconds() -> None:
    with pytest.raises(DocumentRefused):
        Watch(1, 5, signed()).see(told("", "error", 1), 1.0)
    watch = Watch(1, 5, signed())
    watch.see(told("", "error", -1), 1.0)
    watch.see(told("", "error", -1), 3.0)
    with pytest.raises(DocumentRefused, match="node 1 refuses the deployment of contract 5: no"):
        watch.see(told("", "error", -1), 8.0)
    watch = Watch(1, 5, signed())
    watch.see(told("", "error", -1), 1.0)
    watch.see(told("", "init", -1), 5.0)
    watch.see(told("", "error", -1), 8.0)


def found(version: int, **workloads: tuple[int, str]) -> dict[str, Any]:
    listed = [
        {"name": name, "version": at, "result": {"state": state, "message": "old size"}}
        for name, (at, state) in workloads.items()
    ]
    return {"version": version, "contract_id": 5, "workloads": listed}


def test_it_is_made_when_the_node_has_the_signed_version_and_all_of_it_is_ok() -> None:
    assert not is_made(signed(), found(0, a=(0, "ok"), b=(0, "ok")))
    assert not is_made(signed(), found(1, a=(0, "ok"), b=(1, "init")))
    assert not is_made(signed(), found(1, a=(0, "ok")))
    assert is_made(signed(), found(1, a=(0, "ok"), b=(1, "ok")))
    with pytest.raises(ChangeRefused, match="b of contract 5 stays as it was: old size"):
        is_made(signed(), found(1, a=(0, "ok"), b=(0, "ok")))


def test_the_board_says_what_is_waited_for_and_why() -> None:
    board = Board()
    assert board.words() == ""
    board.states[5, ""] = told("", "init", -1, "waiting for the hub")
    assert board.words() == "contract 5 (waiting for the hub)"
    board.states[5, "a"], board.states[5, "b"] = told("a", "ok", 1, ""), told("b", "init", 1, "waiting for net1")
    del board.states[5, ""]
    assert board.words() == "1 of 2 are ok; b init (waiting for net1)"
