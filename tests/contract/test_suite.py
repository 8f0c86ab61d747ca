"""`make test` runs every test but those of the node's image, which `make test-node` runs."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def _paths() -> list[Path]:
    """What the pieces run: all of `make test`, and the one of `make test-node`."""
    found = importlib.util.spec_from_file_location("suite", ROOT / "tests/suite.py")
    assert found is not None
    assert found.loader is not None
    suite = importlib.util.module_from_spec(found)
    sys.modules["suite"] = suite
    try:
        found.loader.exec_module(suite)
    finally:
        del sys.modules["suite"]
    return [ROOT / path for piece in (*suite.PIECES, *suite.area("node")) for path in piece.paths]


def test_every_test_is_in_a_piece_and_every_piece_is_there() -> None:
    paths = _paths()
    assert [path for path in paths if not path.exists()] == []
    tests = {test for top in ("zos", "tests") for test in (ROOT / top).rglob("test_*.py")}
    assert len(tests) > 100
    assert {test for test in tests if not any(test == path or path in test.parents for path in paths)} == set()
