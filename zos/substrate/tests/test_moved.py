"""An endpoint that hands out false metadata gets no signature for another call than the one that was meant."""

from __future__ import annotations

from typing import Any

import pytest

from zos.devchain import legacy
from zos.devchain.testing import devchain
from zos.model import chaincalls
from zos.scale.metadata import render, runtime_call
from zos.scale.pallet import Call, Pallet
from zos.scale.types import Enum, Tuple, Variant
from zos.substrate import Chain
from zos.substrate.errors import MovedCall
from zos.substrate.runtime import Runtime


def lying(pallet: str, call: str, argument: str, place: tuple[int, int], rest: bytes) -> Runtime:
    """A runtime by whose metadata a list of mappings is encoded as these bytes."""
    places = tuple(Enum(f"x::E{at}", (Variant("contract_id", byte),)) for at, byte in enumerate(rest))
    lie = Pallet(pallet, place[0], "x", calls=(Call(call, place[1], ((argument, Tuple(places)),)),))
    return Runtime(render((lie,), runtime_call((lie,))), 147, 1)


@pytest.mark.parametrize("place", [(20, 4), (25, 6), (26, 5)])
def test_a_report_does_not_become_a_transfer(place: tuple[int, int]) -> None:
    rest = b"\0" + b"attacker" * 4 + b"\0"
    runtime = lying("SmartContractModule", "report_contract_resources", "contract_resources", place, rest)
    listed: Any = [{"contract_id": number} for number in range(len(rest))]
    with pytest.raises(MovedCall, match="report_contract_resources at"):
        runtime.call("SmartContractModule", "report_contract_resources", {"contract_resources": listed})


@pytest.mark.parametrize("generation", legacy.NAMES)
async def test_the_places_are_those_of_tfchain(generation: str) -> None:
    async with devchain(0, generation=generation) as dev:
        chain = Chain([dev.url])
        try:
            runtime = await chain.runtime()
            known = 0
            for pallet in (chaincalls.GRID, chaincalls.CONTRACTS, chaincalls.BALANCES):
                owner = runtime._pallet(pallet)
                for variant in runtime._types.definition(owner["calls"]["ty"])["variant"]["variants"]:
                    indices = owner["index"], variant["index"]
                    where = chaincalls.place(runtime.spec, pallet, variant["name"])
                    assert where in (indices, (indices[0], None)), variant["name"]
                    known += where[1] is not None
            assert known == (0 if runtime.spec < chaincalls.LEGACY else 17)
        finally:
            await chain.close()
