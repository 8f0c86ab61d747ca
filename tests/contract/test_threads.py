"""Blocking work has one way into a thread, with a deadline: a pool that others share stops when its threads hang."""

from __future__ import annotations

import re
from pathlib import Path

import zos

PACKAGE = Path(zos.__file__).parent
OTHER_WAYS = re.compile(r"\b(to_thread|run_in_executor|ThreadPoolExecutor)\b")
OWN_POOLS = {
    "explorer/store/pool.py": "a few threads for queries, each of which the database ends",
    "fetch/names.py": "a few threads for names, shared fairly; each lookup has a deadline",
    "flist/pack.py": "every core, for a program without an event loop",
    "relay/spool.py": "the one thread that may use a database",
    "sim/loop.py": "virtual time, which threads would leave to chance",
    "substrate/endpoints.py": "parses what was read, which ends; the simulation does it at once",
    "zdb/syncs.py": "the one thread that syncs; nothing may be answered before it is done",
}


def test_blocking_work_is_run_by_the_house_or_in_a_bounded_pool_with_a_reason() -> None:
    found = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if "tests" not in path.parts and OTHER_WAYS.search(path.read_text())
    }
    assert found - OWN_POOLS.keys() == set(), "use zos.runtime.threads"
    assert OWN_POOLS.keys() - found == set(), "these need no exception any more"
