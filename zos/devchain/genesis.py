"""Block 0: who has what at the beginning. The same genesis always makes the same chain id (its hash)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zos.devchain.context import Context
from zos.devchain.pallets.balances import mint
from zos.devchain.runtime import BY_NAME
from zos.devchain.state import Changes, Overlay, State, Typed
from zos.substrate.keys import KeyKind, LocalKey, public_key

ENDOWED = 2**60
NAMES = ("Alice", "Bob", "Charlie", "Dave", "Eve", "Ferdie")
GIGABYTES = "Gigabytes"


@dataclass(frozen=True, slots=True)
class Genesis:
    """What a chain begins with; a file may say otherwise."""

    name: str = "Development"
    id: str = "dev"
    balances: dict[str, int] = field(default_factory=dict)
    """More accounts (SS58 or hex) and what they have, in units of 1e-7 TFT."""

    @staticmethod
    def of_file(path: Path) -> Genesis:
        """From JSON: `{"name", "id", "balances": {address: units}}`."""
        body: dict[str, Any] = json.loads(path.read_text())
        return Genesis(
            str(body.get("name", "Development")),
            str(body.get("id", "dev")),
            {str(who): int(units) for who, units in body.get("balances", {}).items()},
        )


def developer(name: str, kind: KeyKind = KeyKind.SR25519) -> bytes:
    """The public key of a well-known development account."""
    return LocalKey.of_text(f"//{name}", kind).public


def author() -> bytes:
    """Alice makes the blocks and gets the fees."""
    return developer("Alice")


def build(genesis: Genesis, empty: Typed) -> Changes:
    """Put the genesis into an empty state."""
    state = empty.store
    assert isinstance(state, State)
    overlay = Overlay(state)
    ctx = Context(empty.over(overlay), BY_NAME, 0, 0, author())
    endowed = {developer(name): ENDOWED for name in NAMES}
    endowed |= {developer(f"{name}//stash"): ENDOWED for name in ("Alice", "Bob")}
    endowed |= {public_key(who): units for who, units in genesis.balances.items()}
    for who, units in endowed.items():
        mint(ctx, who, units)
    _policies(ctx)
    for key, value in overlay.changes.items():
        if value is not None:
            state.load(key, value)
    return overlay.changes


def _policies(ctx: Context) -> None:
    prices = {"su": 50_000, "cu": 100_000, "nu": 15_000, "ipu": 40_000, "unique_name": 2_500, "domain_name": 5_000}
    policy = {
        "version": 1,
        "id": 1,
        "name": b"threefold_default_pricing_policy",
        **{name: {"value": value, "unit": GIGABYTES} for name, value in prices.items()},
        "foundation_account": developer("Eve"),
        "certified_sales_account": developer("Ferdie"),
        "discount_for_dedication_nodes": 50,
    }
    ctx.put("TfgridModule.PricingPolicies", 1, policy)
    ctx.put("TfgridModule.PricingPolicyIdByName", policy["name"], 1)
    ctx.put("TfgridModule.PricingPolicyID", 1)
    for id, name, cu, su, nu, ipv4, node in (
        (1, b"threefold_default_diy_farming_policy", 2400, 1000, 30, 5, "Diy"),
        (2, b"threefold_default_certified_farming_policy", 3000, 1250, 38, 6, "Certified"),
    ):
        ctx.put(
            "TfgridModule.FarmingPoliciesMap",
            id,
            {
                "version": 1,
                "id": id,
                "name": name,
                "cu": cu,
                "su": su,
                "nu": nu,
                "ipv4": ipv4,
                "minimal_uptime": 95,
                "policy_created": 0,
                "policy_end": 0,
                "immutable": False,
                "default": True,
                "node_certification": node,
                "farm_certification": "NotCertified",
            },
        )
    ctx.put("TfgridModule.FarmingPolicyID", 2)
    ctx.put("TfgridModule.ConnectionPrice", 80)
