"""The lab that all of these tests share: built by the demo, and proved to leave nothing behind."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from labs import LAYOUT, world, zos


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--repeat", type=int, default=1, help="every lab test so many times, on one lab")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test as often as `--repeat` says."""
    count = metafunc.config.getoption("--repeat")
    if count > 1:
        metafunc.fixturenames.append("round")
        metafunc.parametrize("round", range(count))


SHOWN = 80
"""Lines of each node's journal that a failed test shows: the lab is gone when somebody reads of it."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test ends with what the nodes said last."""
    report = yield
    if report.failed and report.when == "call":
        for node in ("node-1", "node-2"):
            with contextlib.suppress(OSError):
                lines = LAYOUT.log(node, "zos").read_text(errors="replace").splitlines()
                report.sections.append((f"{node}: zos.log", "\n".join(lines[-SHOWN:])))
    return report


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
