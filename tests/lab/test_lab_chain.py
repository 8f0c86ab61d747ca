"""A chain that does wrong, and a lab that lives on it: whatever it says or does not say, guests stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from labs import LAYOUT, box_of, contracts, eventually, guests, kill, spec, states, unit_pid, zos

from zos.bus.client import Bus
from zos.chain.api import ChainClient

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]


async def begun_anew(box: str) -> None:
    """Both who read the chain and who acts on it forget what they knew."""
    for unit in ("chain", "provisiond"):
        old = await unit_pid(box, unit)
        await kill(box, old)

        async def is_back(unit: str = unit, old: int = old) -> bool:
            return await unit_pid(box, unit) not in (0, old)

        await eventually(is_back)


async def test_whatever_the_chain_does_wrong_guests_stay(demo: dict[str, Any], state: Path) -> None:
    zos("lab", "demo", state=state)
    box = box_of(2, state)
    before = await guests(box)
    contract = demo["contracts"]["2"]
    assert before

    async def is_told() -> bool:
        return set((await states(box, contract)).values()) == {"ok"} and await guests(box) == before

    for what in (["stall"], ["unfinal"], ["lag", "20"], ["empty"], ["delay", "3"], ["genesis"]):
        zos("devchain", "misbehave", *what, state=state)
        try:
            await begun_anew(box)
            await eventually(is_told)
        finally:
            zos("devchain", "misbehave", "behave", state=state)

        async def reads_again() -> bool:
            async with Bus(LAYOUT.sockets(box)) as bus:
                status = await ChainClient(bus).status()
                return status.node == 2 and not status.detail

        await eventually(reads_again, 60)
        assert await is_told()


async def test_a_cancel_that_a_reorganisation_takes_back_ends_nothing(
    demo: dict[str, Any], state: Path, tmp_path: Path
) -> None:
    zos("deploy", str(spec(tmp_path, "forked")), state=state)
    (contract,) = contracts("forked", state)
    box = box_of(1, state)
    before = await guests(box)
    zos("devchain", "misbehave", "unfinal", state=state)
    try:
        zos("cancel", str(contract), state=state)
        zos("devchain", "misbehave", "fork", "100", state=state)
        assert zos("contract", "show", str(contract), state=state)["state"] == "Created"
    finally:
        zos("devchain", "misbehave", "behave", state=state)
    await begun_anew(box)

    async def is_told() -> bool:
        return set((await states(box, contract)).values()) == {"ok"} and await guests(box) == before

    await eventually(is_told)
    zos("cancel", str(contract), state=state)

    async def gone() -> bool:
        return not await states(box, contract)

    await eventually(gone, 60)
