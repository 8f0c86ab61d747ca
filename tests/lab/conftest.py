"""The lab that all of these tests share: built by the demo, and proved to leave nothing behind."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from labs import world, zos


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The user's records."""
    return tmp_path_factory.mktemp("user")


@pytest.fixture(scope="session")
def demo(state: Path) -> Iterator[dict[str, Any]]:
    """A lab in which the demo has run; gone afterwards, with nothing left."""
    zos("lab", "down", state=state)
    before = world()
    try:
        yield zos("lab", "demo", state=state)
    finally:
        zos("lab", "down", state=state)
    assert world() == before
