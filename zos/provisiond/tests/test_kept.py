"""What provisiond keeps of documents that nobody pays is bounded, in memory and on the disk."""

from __future__ import annotations

import gc
import json
import tracemalloc
from pathlib import Path
from typing import Any

from zos.model.deployment import ResultState
from zos.primitives import find
from zos.provisiond import specs
from zos.provisiond.log import LIMIT, DeploymentLog
from zos.provisiond.model import Item
from zos.provisiond.specs import Specs
from zos.sim import workloads as w


def large() -> dict[str, Any]:
    """A network's data as it may come: little text, and much memory."""
    data: dict[str, Any] = json.loads(json.dumps(w.network()["data"]))
    return data | {"x": json.loads("[" + "[]," * 20_000 + "[]]")}


def held() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def test_logs_of_refused_documents_stay_small_and_not_in_memory(tmp_path: Path) -> None:
    log = DeploymentLog(tmp_path)
    tracemalloc.start()
    try:
        before = held()
        for version in range(6):
            for contract in range(2):
                log.append(contract, Item(version, "n", "network", large(), state=ResultState.UNCHANGED))
        assert held() - before < 256 * 1024
    finally:
        tracemalloc.stop()
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < LIMIT
    last = log.entries(1)[-1]
    assert (last["version"], last["result"]["state"]) == (5, "unchanged")


def test_refused_changes_of_ever_new_names_do_not_grow_a_log_nor_hide_what_is_there(tmp_path: Path) -> None:
    log = DeploymentLog(tmp_path, limit=16 * 1024)
    log.append(1, Item(0, "vm", "zmachine", {}, state=ResultState.OK))
    for version in range(1, 200):
        log.append(1, Item(version, f"n{version}", "network", {"x": "y" * 200}, state=ResultState.UNCHANGED))
        log.append(1, Item(version, "vm", "zmachine", {}, state=ResultState.UNCHANGED))
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 16 * 1024
    assert ("vm", "ok") in {(one["name"], one["result"]["state"]) for one in log.entries(1)}


def test_parsed_specs_are_bounded_by_what_they_take() -> None:
    kept = Specs(find(), 4)
    tracemalloc.start()
    try:
        before = held()
        for _ in range(12):
            kept.of("network", large())
        assert held() - before < specs.LIMIT
    finally:
        tracemalloc.stop()
    small = w.network()["data"]
    assert kept.of("network", small) is kept.of("network", small)
