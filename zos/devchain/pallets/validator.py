"""Validator: the way of a validator from a bond to its place in the set."""

from __future__ import annotations

from typing import Any

from zos.devchain.context import Context
from zos.devchain.pallets.balances import account
from zos.devchain.pallets.council import add_member, add_validator, remove_member, remove_validator
from zos.scale.metadata import MULTI_ADDRESS
from zos.scale.pallet import Hasher, Pallet, call, errors, event, mapping
from zos.scale.types import ACCOUNT, BYTES, struct, words

STATE = words("pallet_validator::types::ValidatorRequestState", "Created", "Approved", "Validating")
REQUEST = struct(
    "pallet_validator::types::Validator",
    validator_node_account=ACCOUNT,
    stash_account=ACCOUNT,
    description=BYTES,
    tf_connect_id=BYTES,
    info=BYTES,
    state=STATE,
)

PALLET = Pallet(
    name="Validator",
    index=50,
    path="pallet_validator",
    storage=(
        mapping("Validator", ACCOUNT, REQUEST, optional=True, hasher=Hasher.TWOX_64_CONCAT),
        mapping("Bonded", ACCOUNT, ACCOUNT, optional=True, hasher=Hasher.TWOX_64_CONCAT),
    ),
    calls=(
        call(
            0,
            "create_validator_request",
            validator_node_account=ACCOUNT,
            stash_account=ACCOUNT,
            description=BYTES,
            tf_connect_id=BYTES,
            info=BYTES,
        ),
        call(1, "activate_validator_node"),
        call(2, "change_validator_node_account", new_node_validator_account=ACCOUNT),
        call(3, "bond", validator=MULTI_ADDRESS),
        call(4, "approve_validator", validator_account=MULTI_ADDRESS),
        call(5, "remove_validator", validator_account=MULTI_ADDRESS),
    ),
    events=(
        event("Bonded", ACCOUNT),
        event("ValidatorRequestCreated", ACCOUNT, REQUEST),
        event("ValidatorRequestApproved", REQUEST),
        event("ValidatorActivated", REQUEST),
        event("ValidatorRemoved", REQUEST),
        event("NodeValidatorChanged", ACCOUNT),
        event("NodeValidatorRemoved", ACCOUNT),
    ),
    errors=errors(
        """BadOrigin NotCouncilMember AlreadyBonded StashNotBonded StashBondedWithWrongValidator
        CannotBondWithSameAccount DuplicateValidator ValidatorNotFound ValidatorNotApproved
        UnauthorizedToActivateValidator ValidatorValidatingAlready ValidatorNotValidating"""
    ),
)


class Validator:
    def bond(self, ctx: Context, who: bytes, validator: Any) -> None:
        ctx.need(not ctx.has("Validator.Bonded", who), "Validator.AlreadyBonded")
        ctx.put("Validator.Bonded", who, account(validator))
        ctx.emit("Validator.Bonded", who)

    def create_validator_request(self, ctx: Context, who: bytes, **wanted: Any) -> None:
        ctx.need(not ctx.has("Validator.Validator", who), "Validator.DuplicateValidator")
        stash = wanted["stash_account"]
        ctx.need(stash != who, "Validator.CannotBondWithSameAccount")
        bonded = ctx.get("Validator.Bonded", stash)
        ctx.need(bonded, "Validator.StashNotBonded")
        ctx.need(bonded == who, "Validator.StashBondedWithWrongValidator")
        request = {**wanted, "state": "Created"}
        ctx.put("Validator.Validator", who, request)
        ctx.emit("Validator.ValidatorRequestCreated", who, request)

    def approve_validator(self, ctx: Context, who: bytes, validator_account: Any) -> None:
        ctx.need(_is_member(ctx, who), "Validator.NotCouncilMember")
        candidate = account(validator_account)
        request = {**_request(ctx, candidate), "state": "Approved"}
        ctx.put("Validator.Validator", candidate, request)
        add_member(ctx, candidate)
        ctx.emit("Validator.ValidatorRequestApproved", request)

    def activate_validator_node(self, ctx: Context, who: bytes) -> None:
        request = _request(ctx, who)
        ctx.need(request["state"] != "Validating", "Validator.ValidatorValidatingAlready")
        ctx.need(request["state"] == "Approved", "Validator.ValidatorNotApproved")
        request = {**request, "state": "Validating"}
        ctx.put("Validator.Validator", who, request)
        add_validator(ctx, request["validator_node_account"])
        ctx.emit("Validator.ValidatorActivated", request)

    def change_validator_node_account(self, ctx: Context, who: bytes, new_node_validator_account: bytes) -> None:
        request = _request(ctx, who)
        if request["state"] == "Validating":
            old = request["validator_node_account"]
            remove_validator(ctx, old)
            ctx.emit("Validator.NodeValidatorRemoved", old)
            add_validator(ctx, new_node_validator_account)
            ctx.emit("Validator.NodeValidatorChanged", new_node_validator_account)
        changed = {**request, "validator_node_account": new_node_validator_account}
        ctx.put("Validator.Validator", who, changed)

    def remove_validator(self, ctx: Context, who: bytes, validator_account: Any) -> None:
        candidate = account(validator_account)
        ctx.need(candidate == who or _is_member(ctx, who), "Validator.BadOrigin")
        _request(ctx, candidate)
        remove_member(ctx, candidate)
        ctx.drop("Validator.Validator", candidate)


def _is_member(ctx: Context, who: bytes) -> bool:
    return who in ctx.get("CouncilMembership.Members")


def _request(ctx: Context, who: bytes) -> dict[str, Any]:
    found: dict[str, Any] | None = ctx.get("Validator.Validator", who)
    ctx.need(found, "Validator.ValidatorNotFound")
    assert found is not None
    return found
