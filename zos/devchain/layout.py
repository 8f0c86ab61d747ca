"""What the chain consists of: its pallets, the types of its calls and events, its metadata and its version."""

from __future__ import annotations

import dataclasses

from zos.devchain.generation import Generation
from zos.devchain.pallets import (
    balances,
    burning,
    contracts,
    council,
    dao,
    grid_layout,
    kvstore,
    price,
    system,
    utility,
    validator,
)
from zos.devchain.pallets.contracts import Variant
from zos.devchain.pallets.system import SPEC, TRANSACTION
from zos.scale.metadata import render, runtime_call, runtime_event
from zos.scale.pallet import by_name

PALLETS = (
    system.SYSTEM,
    system.TIMESTAMP,
    utility.PALLET,
    council.VALIDATORS,
    balances.PALLET,
    system.PAYMENT,
    grid_layout.PALLET,
    contracts.PALLET,
    price.PALLET,
    burning.PALLET,
    kvstore.PALLET,
    council.COUNCIL,
    council.MEMBERSHIP,
    dao.PALLET,
    validator.PALLET,
)
"""Spec 145."""
RESERVE_PALLETS = tuple(contracts.RESERVE_PALLET if one is contracts.PALLET else one for one in PALLETS)
"""With what the reserve variant adds; it holds everything that the other has, at the same places."""
BY_NAME = by_name(RESERVE_PALLETS)
CALL = runtime_call(PALLETS)
EVENT = runtime_event(RESERVE_PALLETS)
utility.RUNTIME_CALL.target = CALL


def _metadata() -> dict[Variant, bytes]:
    rendered = {}
    for variant, pallets in ((Variant.LOCK, PALLETS), (Variant.RESERVE, RESERVE_PALLETS)):
        system.RUNTIME_EVENT.target = runtime_event(pallets)
        rendered[variant] = render(pallets, CALL)
    system.RUNTIME_EVENT.target = EVENT
    return rendered


METADATA_OF = _metadata()
METADATA = METADATA_OF[Variant.LOCK]
MODERN = Generation(
    name="spec145",
    spec=SPEC,
    transaction=TRANSACTION,
    stored=BY_NAME,
    call=CALL,
    metadata=METADATA,
    timestamp=BY_NAME["Timestamp"].index,
)
MODERN_OF = {variant: dataclasses.replace(MODERN, metadata=METADATA_OF[variant]) for variant in Variant}
"""Today's runtime, by how it bills."""
FREE = {(pallet.name, one.name) for pallet in PALLETS for one in pallet.calls if one.free}
"""Calls whose fee is given back when they succeed."""
