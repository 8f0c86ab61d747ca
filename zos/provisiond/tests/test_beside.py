"""A machine's parts that need nothing of each other are made side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zos.flistd.api.errors import FlistMismatch
from zos.provisiond.tests import users as u
from zos.provisiond.tests.asked import becomes, state
from zos.provisiond.tests.host import Asked, FakeHost, node

pytestmark = pytest.mark.virtual


async def agreed(asked: Asked, method: str) -> None:
    """Waits until a daemon has done what it was asked."""
    async with asyncio.timeout(60):
        while method not in [name for name, _ in asked.agreed]:
            await asyncio.sleep(0.01)


async def test_a_tap_waits_for_no_flist_and_the_machine_waits_for_both(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(5, u.network(), u.zmachine())
    host.flistd.gate = asyncio.Event()
    u.contract(host, 5, body)
    async with node(tmp_path, host) as client:
        await client.deploy(u.signed(body), u.TWIN)
        await agreed(host.networkd, "EnsureTap")
        assert not host.vmd.calls
        host.flistd.gate.set()
        await becomes(client, 5, "vm1", "ok")
        assert host.vmd.machines


async def test_a_part_that_ends_the_daemon_accuses_its_contract(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(5, u.network(), u.zmachine())
    seen: list[bytes] = []

    class Noting(Asked):
        async def call(self, method: str, request: Any, call: Callable[..., Any], timeout: float | None) -> Any:
            seen.append((tmp_path / "run/provisiond/at-work").read_bytes())
            return await super().call(method, request, call, timeout)

    host._asked["flistd"] = Noting()
    u.contract(host, 5, body)
    async with node(tmp_path, host) as client:
        await client.deploy(u.signed(body), u.TWIN)
        await becomes(client, 5, "vm1", "ok")
    assert {int.from_bytes(note, "little") for note in seen} == {5}


class SlowTap(Asked):
    """Agrees to a tap only when it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may = asyncio.Event()

    async def call(self, method: str, request: Any, call: Callable[..., Any], timeout: float | None) -> Any:
        if method == "EnsureTap":
            await self.may.wait()
        return await super().call(method, request, call, timeout)


async def test_what_is_refused_lets_what_goes_on_beside_it_end_first(tmp_path: Path) -> None:
    host, body = FakeHost(), u.document(5, u.network(), u.zmachine())
    slow = host._asked["networkd"] = SlowTap()
    host.flistd.trouble = FlistMismatch(url="http://hub/x", found="1", expected="2")
    u.contract(host, 5, body)
    async with node(tmp_path, host) as client:
        await client.deploy(u.signed(body), u.TWIN)
        async with asyncio.timeout(60):
            while not host.flistd.calls:
                await asyncio.sleep(0.01)
        assert await state(client, 5, "vm1") == "init"
        slow.may.set()
        await becomes(client, 5, "vm1", "error")
    assert "EnsureTap" in [method for method, _ in host.networkd.agreed]
    assert "EnsureMachine" not in host.vmd.calls
