"""For pytest: tests marked `virtual` run on virtual time, each in a loop of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest

from zos.sim.loop import VirtualLoop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Which event loop a test gets."""
    if item.get_closest_marker("virtual") is not None:
        return {"virtual": VirtualLoop}
    return {"asyncio": asyncio.new_event_loop}
