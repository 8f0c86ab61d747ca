"""The lab that all of these tests share: built by the demo, and proved to leave nothing behind."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from labs import world, zos


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--repeat", type=int, default=1, help="every lab test so many times, on one lab")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test as often as `--repeat` says."""
    count = metafunc.config.getoption("--repeat")
    if count > 1:
        metafunc.fixturenames.append("round")
        metafunc.parametrize("round", range(count))


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder in which the user's commands keep their records (`ZOS_STATE`)."""
    return tmp_path_factory.mktemp("user")


@pytest.fixture(scope="session")
def lab(state: Path) -> Iterator[None]:
    """A lab; gone afterwards, with nothing left."""
    zos("lab", "down", state=state)
    before = world()
    try:
        zos("lab", "up", state=state)
        yield
    finally:
        zos("lab", "down", state=state)
    assert world() == before


@pytest.fixture(scope="session")
def demo(lab: None, state: Path) -> Any:
    """A lab in which the demo has run."""
    return zos("lab", "demo", state=state)
