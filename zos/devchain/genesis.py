"""Block 0: who has what at the beginning. The same genesis always makes the same chain id (its hash)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from zos.devchain.context import Context
from zos.devchain.pallets.balances import DEPOSIT, mint
from zos.devchain.pallets.contracts.billing import STAKING_POOL
from zos.devchain.pallets.council import set_members
from zos.devchain.pallets.price import remember
from zos.devchain.runtime import BY_NAME, Variant
from zos.devchain.state import Changes, Overlay, State, Typed
from zos.errors import Status, ZosError
from zos.substrate.keys import KeyKind, LocalKey, public_key

ENDOWED = 2**60
NAMES = ("Alice", "Bob", "Charlie", "Dave", "Eve", "Ferdie")
GIGABYTES = "Gigabytes"
LOWEST_PRICE, HIGHEST_PRICE = 10, 1000


class BadGenesis(ZosError):
    """A genesis file says what cannot be."""

    reason = "devchain.bad_genesis"
    status = Status.INVALID_ARGUMENT
    text = "the genesis file is not right: {problem}"
    hint = "its fields are those of zos.devchain.genesis.Genesis"


@dataclass(frozen=True, slots=True)
class Genesis:
    """What a chain begins with; a file may say otherwise."""

    name: str = "Development"
    id: str = "dev"
    balances: dict[str, int] = field(default_factory=dict)
    """More accounts (SS58 or hex) and what they have, in units of 1e-7 TFT."""
    billing: Variant = Variant.LOCK
    """How contracts are paid."""
    billing_frequency: int = 600
    """Blocks between two bills of a contract: an hour at six seconds, as on the live networks."""
    certified_surcharge: bool = False
    """Whether certified capacity costs a quarter more with the lock variant too, as the published model says."""
    price: int = 50
    """1/1000 US dollar for one TFT."""
    council: tuple[str, ...] = ("//Alice", "//Bob")
    """Members: addresses, hex, or //Name of a development account."""

    @staticmethod
    def of_file(path: Path) -> Genesis:
        """From JSON, an object with the fields of this class; a field that is left out has its default."""
        return Genesis.of(json.loads(path.read_text()))

    @staticmethod
    def of(body: dict[str, Any]) -> Genesis:
        """From the object that a file holds; raises BadGenesis for fields that there are not."""
        known = {one.name for one in fields(Genesis)}
        if not isinstance(body, dict) or not body.keys() <= known:
            unknown = sorted(set(body) - known) if isinstance(body, dict) else []
            raise BadGenesis(problem=f"unknown: {', '.join(unknown)}" if unknown else "it is no object")
        try:
            return msgspec.convert(body, Genesis, strict=True)
        except msgspec.ValidationError as err:
            raise BadGenesis(problem=err) from None


@cache
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
    # Shares smaller than the deposit must find the pool's account alive.
    endowed |= {STAKING_POOL: endowed.get(STAKING_POOL, 0) + DEPOSIT}
    for who, units in endowed.items():
        mint(ctx, who, units)
    _policies(ctx)
    _economy(ctx, genesis)
    for key, value in overlay.changes.items():
        if value is not None:
            state.load(key, value)
    return overlay.changes


def _economy(ctx: Context, genesis: Genesis) -> None:
    ctx.put("SmartContractModule.BillingFrequency", genesis.billing_frequency)
    ctx.put("SmartContractModule.PalletVersion", "V10")
    ctx.put("TFTPriceModule.MinTftPrice", LOWEST_PRICE)
    ctx.put("TFTPriceModule.MaxTftPrice", HIGHEST_PRICE)
    if genesis.price:
        ctx.put("TFTPriceModule.TftPrice", genesis.price)
        remember(ctx, genesis.price)
    set_members(ctx, [_member(who) for who in genesis.council])
    for item in ("Validators", "ApprovedValidators"):
        ctx.put(f"ValidatorSet.{item}", [author()])


def _member(who: str) -> bytes:
    return developer(who.removeprefix("//")) if who.startswith("//") else public_key(who)


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
