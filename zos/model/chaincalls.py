"""Where TFChain's runtimes have the calls that we send: what an endpoint's metadata says otherwise is not signed. Pure.

An endpoint hands out the metadata by which calls are encoded. One that lies could give a report of ours the place and
the bytes of a transfer, so places are compared with these. TFChain has not moved a call since spec 145; the places are
those of its metadata. Runtimes before spec 100 (49 and 61 are tried) have other pallets, and theirs alone are known.
"""

from __future__ import annotations

from collections.abc import Mapping

GRID, CONTRACTS, BALANCES = "TfgridModule", "SmartContractModule", "Balances"
LEGACY = 100
"""The first spec that has today's places."""

_OLD_PALLETS: Mapping[str, int] = {GRID: 11, CONTRACTS: 12, BALANCES: 3}
_PALLETS: Mapping[str, int] = {GRID: 25, CONTRACTS: 26, BALANCES: 20}
_CALLS: Mapping[str, Mapping[str, int]] = {
    GRID: {
        "create_farm": 1,
        "create_node": 8,
        "update_node": 9,
        "report_uptime": 11,
        "add_node_public_config": 12,
        "create_twin": 17,
        "update_twin": 18,
        "user_accept_tc": 25,
        "change_power_state": 35,
        "report_uptime_v2": 38,
    },
    CONTRACTS: {
        "create_node_contract": 0,
        "update_node_contract": 1,
        "cancel_contract": 2,
        "create_name_contract": 4,
        "add_nru_reports": 5,
        "report_contract_resources": 6,
        "create_rent_contract": 7,
    },
    BALANCES: {},
}
_NODES: Mapping[str, frozenset[str]] = {
    GRID: frozenset(
        (
            "create_node",
            "update_node",
            "report_uptime",
            "report_uptime_v2",
            "create_twin",
            "update_twin",
            "user_accept_tc",
            "change_power_state",
        )
    ),
    CONTRACTS: frozenset(("add_nru_reports", "report_contract_resources")),
}
"""What a node itself sends."""

_NODE_PLACES = frozenset((_PALLETS[pallet], _CALLS[pallet][call]) for pallet, calls in _NODES.items() for call in calls)
_OLD_NODE_PALLETS = frozenset(_OLD_PALLETS[pallet] for pallet in _NODES)


def place(spec: int, pallet: str, call: str) -> tuple[int | None, int | None]:
    """The indices of a call's pallet and of the call; None for one that is not known here."""
    if spec < LEGACY:
        return _OLD_PALLETS.get(pallet), None
    return _PALLETS.get(pallet), _CALLS.get(pallet, {}).get(call)


def is_nodes(spec: int, pallet: int, call: int) -> bool:
    """Whether the call at these indices is one that a node sends."""
    if spec < LEGACY:
        return pallet in _OLD_NODE_PALLETS
    return (pallet, call) in _NODE_PLACES
