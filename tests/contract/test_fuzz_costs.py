"""The dearest inputs that `make fuzz` found cost no more than their bytes may."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "fuzz"
SPEC = importlib.util.spec_from_file_location("fuzz_costs", FOLDER / "costs.py")
assert SPEC is not None
assert SPEC.loader is not None
costs = importlib.util.module_from_spec(SPEC)
sys.modules[SPEC.name] = costs
SPEC.loader.exec_module(costs)


@pytest.mark.parametrize("name", sorted(path.name for path in costs.WORST.iterdir()))
def test_the_dearest_input_is_within_its_bounds(name: str) -> None:
    # The least of three: other processes share the caches of this processor.
    data = (costs.WORST / name).read_bytes()
    assert min(max(costs.cost(costs.PARSERS[name.partition("-")[0]], data)) for _ in range(3)) <= 1
