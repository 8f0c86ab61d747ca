"""Council, CouncilMembership and ValidatorSet: who decides, and by how many votes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from zos.devchain.context import Context
from zos.devchain.errors import Refusal
from zos.devchain.pallets.balances import account
from zos.devchain.pallets.origin import MINORITY, ROOT, guarded
from zos.devchain.pallets.system import DISPATCH_RESULT
from zos.devchain.pallets.utility import RUNTIME_CALL
from zos.scale.metadata import MULTI_ADDRESS, WEIGHT
from zos.scale.pallet import Hasher, Pallet, call, errors, event, mapping, value
from zos.scale.types import ACCOUNT, BOOL, H256, U32, Compact, Vec, struct

MOTION = 2 * 600
"""Blocks: two hours."""
MOST_MOTIONS = 100
MOST_MEMBERS = 100
VOTES = struct("pallet_collective::Votes", index=U32, threshold=U32, ayes=Vec(ACCOUNT), nays=Vec(ACCOUNT), end=U32)

COUNCIL = Pallet(
    name="Council",
    index=40,
    path="pallet_collective",
    storage=(
        value("Proposals", Vec(H256, 100), ()),
        mapping("ProposalOf", H256, RUNTIME_CALL, optional=True, hasher=Hasher.IDENTITY),
        mapping("Voting", H256, VOTES, optional=True, hasher=Hasher.IDENTITY),
        value("ProposalCount", U32, 0),
        value("Members", Vec(ACCOUNT), ()),
        value("Prime", ACCOUNT, optional=True),
    ),
    calls=(
        call(1, "execute", proposal=RUNTIME_CALL, length_bound=Compact(U32)),
        call(2, "propose", threshold=Compact(U32), proposal=RUNTIME_CALL, length_bound=Compact(U32)),
        call(3, "vote", proposal=H256, index=Compact(U32), approve=BOOL),
        call(5, "disapprove_proposal", proposal_hash=H256),
        call(
            6,
            "close",
            proposal_hash=H256,
            index=Compact(U32),
            proposal_weight_bound=WEIGHT,
            length_bound=Compact(U32),
        ),
    ),
    events=(
        event("Proposed", account=ACCOUNT, proposal_index=U32, proposal_hash=H256, threshold=U32),
        event("Voted", account=ACCOUNT, proposal_hash=H256, voted=BOOL, yes=U32, no=U32),
        event("Approved", proposal_hash=H256),
        event("Disapproved", proposal_hash=H256),
        event("Executed", proposal_hash=H256, result=DISPATCH_RESULT),
        event("MemberExecuted", proposal_hash=H256, result=DISPATCH_RESULT),
        event("Closed", proposal_hash=H256, yes=U32, no=U32),
    ),
    errors=errors(
        """NotMember DuplicateProposal ProposalMissing WrongIndex DuplicateVote AlreadyInitialized TooEarly
        TooManyProposals WrongProposalWeight WrongProposalLength"""
    ),
)
MEMBERSHIP = Pallet(
    name="CouncilMembership",
    index=41,
    path="pallet_membership",
    storage=(value("Members", Vec(ACCOUNT, 1 << 16), ()), value("Prime", ACCOUNT, optional=True)),
    calls=(
        call(0, "add_member", who=MULTI_ADDRESS),
        call(1, "remove_member", who=MULTI_ADDRESS),
        call(2, "swap_member", remove=MULTI_ADDRESS, add=MULTI_ADDRESS),
        call(3, "reset_members", members=Vec(ACCOUNT)),
    ),
    events=tuple(
        event(name)
        for name in ("MemberAdded", "MemberRemoved", "MembersSwapped", "MembersReset", "KeyChanged", "Dummy")
    ),
    errors=errors("AlreadyMember NotMember TooManyMembers"),
)
VALIDATORS = Pallet(
    name="ValidatorSet",
    index=10,
    path="substrate_validator_set",
    storage=tuple(value(name, Vec(ACCOUNT), ()) for name in ("Validators", "ApprovedValidators", "OfflineValidators")),
    calls=(
        call(0, "add_validator", validator_id=ACCOUNT),
        call(1, "remove_validator", validator_id=ACCOUNT),
        call(2, "add_validator_again", validator_id=ACCOUNT),
    ),
    events=(event("ValidatorAdditionInitiated", ACCOUNT), event("ValidatorRemovalInitiated", ACCOUNT)),
    errors=errors("TooLowValidatorCount Duplicate ValidatorNotApproved BadOrigin"),
)

Execute = Callable[[Context, bytes, Any], Any]


class Council:
    """Motions; `execute` dispatches a call for an origin and answers a dispatch result."""

    def __init__(self, execute: Execute) -> None:
        self._execute = execute

    def execute(self, ctx: Context, who: bytes, proposal: Any, length_bound: int) -> None:
        _check_member(ctx, who)
        hash = _hashed(ctx, proposal, length_bound)
        result = self._execute(ctx, _origin(ctx, 1), proposal)
        ctx.emit("Council.MemberExecuted", proposal_hash=hash, result=result)

    def propose(self, ctx: Context, who: bytes, threshold: int, proposal: Any, length_bound: int) -> None:
        _check_member(ctx, who)
        hash = _hashed(ctx, proposal, length_bound)
        ctx.need(not ctx.has("Council.ProposalOf", hash), "Council.DuplicateProposal")
        if threshold < 2:
            result = self._execute(ctx, _origin(ctx, 1), proposal)
            ctx.emit("Council.Executed", proposal_hash=hash, result=result)
            return
        listed = ctx.get("Council.Proposals")
        ctx.need(len(listed) < MOST_MOTIONS, "Council.TooManyProposals")
        index = int(ctx.get("Council.ProposalCount"))
        ctx.put("Council.Proposals", [*listed, hash])
        ctx.put("Council.ProposalCount", index + 1)
        ctx.put("Council.ProposalOf", hash, proposal)
        votes = {"index": index, "threshold": threshold, "ayes": [], "nays": [], "end": ctx.block + MOTION}
        ctx.put("Council.Voting", hash, votes)
        ctx.emit("Council.Proposed", account=who, proposal_index=index, proposal_hash=hash, threshold=threshold)

    def vote(self, ctx: Context, who: bytes, proposal: bytes, index: int, approve: bool) -> None:
        _check_member(ctx, who)
        votes = _voting(ctx, proposal, index)
        side, other = ("ayes", "nays") if approve else ("nays", "ayes")
        ctx.need(who not in votes[side], "Council.DuplicateVote")
        votes[side] = [*votes[side], who]
        votes[other] = [one for one in votes[other] if one != who]
        ctx.put("Council.Voting", proposal, votes)
        counted = {"yes": len(votes["ayes"]), "no": len(votes["nays"])}
        ctx.emit("Council.Voted", account=who, proposal_hash=proposal, voted=approve, **counted)

    @guarded
    def disapprove_proposal(self, ctx: Context, who: bytes, proposal_hash: bytes) -> None:
        ctx.emit("Council.Disapproved", proposal_hash=proposal_hash)
        _forget(ctx, proposal_hash)

    def close(
        self,
        ctx: Context,
        who: bytes,
        proposal_hash: bytes,
        index: int,
        proposal_weight_bound: Any,
        length_bound: int,
    ) -> None:
        votes = _voting(ctx, proposal_hash, index)
        yes, no, seats = len(votes["ayes"]), len(votes["nays"]), len(ctx.get("Council.Members"))
        is_approved, is_refused = yes >= votes["threshold"], seats - no < votes["threshold"]
        if not is_approved and not is_refused:
            ctx.need(ctx.block >= votes["end"], "Council.TooEarly")
            # Who was silent to the end counts as a no, or as the prime member's vote.
            prime = ctx.get("Council.Prime")
            silent = seats - yes - no
            yes, no = (yes + silent, no) if prime in votes["ayes"] else (yes, no + silent)
            is_approved = yes >= votes["threshold"]
        proposal = ctx.get("Council.ProposalOf", proposal_hash)
        ctx.emit("Council.Closed", proposal_hash=proposal_hash, yes=yes, no=no)
        _forget(ctx, proposal_hash)
        if is_approved:
            _hashed(ctx, proposal, length_bound)
            ctx.emit("Council.Approved", proposal_hash=proposal_hash)
            result = self._execute(ctx, _origin(ctx, yes), proposal)
            ctx.emit("Council.Executed", proposal_hash=proposal_hash, result=result)
        else:
            ctx.emit("Council.Disapproved", proposal_hash=proposal_hash)


class Membership:
    """Calls that change who votes in the council."""

    # `call` passes the argument `who` by its name, so the caller's account has another name here.
    @guarded
    def add_member(self, ctx: Context, caller: bytes, /, who: Any) -> None:
        add_member(ctx, account(who))

    @guarded
    def remove_member(self, ctx: Context, caller: bytes, /, who: Any) -> None:
        remove_member(ctx, account(who))

    @guarded
    def swap_member(self, ctx: Context, who: bytes, remove: Any, add: Any) -> None:
        members, old, new = ctx.get("Council.Members"), account(remove), account(add)
        ctx.need(old in members, "CouncilMembership.NotMember")
        ctx.need(new not in members, "CouncilMembership.AlreadyMember")
        set_members(ctx, [new if one == old else one for one in members])
        ctx.emit("CouncilMembership.MembersSwapped")

    @guarded
    def reset_members(self, ctx: Context, who: bytes, members: list[bytes]) -> None:
        ctx.need(len(members) <= MOST_MEMBERS, "CouncilMembership.TooManyMembers")
        set_members(ctx, members)
        ctx.emit("CouncilMembership.MembersReset")


class Validators:
    """Who may make blocks; here it is only remembered."""

    @guarded
    def add_validator(self, ctx: Context, who: bytes, validator_id: bytes) -> None:
        add_validator(ctx, validator_id)

    @guarded
    def remove_validator(self, ctx: Context, who: bytes, validator_id: bytes) -> None:
        remove_validator(ctx, validator_id)

    def add_validator_again(self, ctx: Context, who: bytes, validator_id: bytes) -> None:
        ctx.need(who == validator_id, "ValidatorSet.BadOrigin")
        is_approved = validator_id in ctx.get("ValidatorSet.ApprovedValidators")
        ctx.need(is_approved, "ValidatorSet.ValidatorNotApproved")
        _enlist(ctx, "Validators", validator_id)
        ctx.emit("ValidatorSet.ValidatorAdditionInitiated", validator_id)


def set_members(ctx: Context, members: list[bytes]) -> None:
    """The council, in both pallets that keep it."""
    members = sorted(set(members))
    ctx.put("Council.Members", members)
    ctx.put("CouncilMembership.Members", members)


def add_member(ctx: Context, who: bytes) -> None:
    members = ctx.get("Council.Members")
    ctx.need(who not in members, "CouncilMembership.AlreadyMember")
    ctx.need(len(members) < MOST_MEMBERS, "CouncilMembership.TooManyMembers")
    set_members(ctx, [*members, who])
    ctx.emit("CouncilMembership.MemberAdded")


def remove_member(ctx: Context, who: bytes) -> None:
    members = ctx.get("Council.Members")
    ctx.need(who in members, "CouncilMembership.NotMember")
    set_members(ctx, [one for one in members if one != who])
    ctx.emit("CouncilMembership.MemberRemoved")


def add_validator(ctx: Context, who: bytes) -> None:
    """Adds an account to the approved validators and to those at work."""
    _enlist(ctx, "ApprovedValidators", who)
    _enlist(ctx, "Validators", who)
    ctx.emit("ValidatorSet.ValidatorAdditionInitiated", who)


def _enlist(ctx: Context, item: str, who: bytes) -> None:
    known = ctx.get(f"ValidatorSet.{item}")
    ctx.need(who not in known, "ValidatorSet.Duplicate")
    ctx.put(f"ValidatorSet.{item}", [*known, who])


def remove_validator(ctx: Context, who: bytes) -> None:
    """Out of all lists; the last one stays."""
    working = ctx.get("ValidatorSet.Validators")
    ctx.need(len(working) > 1, "ValidatorSet.TooLowValidatorCount")
    for item in ("Validators", "ApprovedValidators"):
        left = [one for one in ctx.get(f"ValidatorSet.{item}") if one != who]
        ctx.put(f"ValidatorSet.{item}", left)
    ctx.emit("ValidatorSet.ValidatorRemovalInitiated", who)


def _check_member(ctx: Context, who: bytes) -> None:
    ctx.need(who in ctx.get("Council.Members"), "Council.NotMember")


def _origin(ctx: Context, yes: int) -> bytes:
    return ROOT if yes * 5 >= len(ctx.get("Council.Members")) * 3 else MINORITY


def _hashed(ctx: Context, proposal: Any, bound: int) -> bytes:
    raw = RUNTIME_CALL.encode(proposal)
    ctx.need(len(raw) <= bound, "Council.WrongProposalLength")
    return hashlib.blake2b(raw, digest_size=32).digest()


def _voting(ctx: Context, hash: bytes, index: int) -> dict[str, Any]:
    votes: dict[str, Any] | None = ctx.get("Council.Voting", hash)
    if votes is None:
        raise Refusal("Council", "ProposalMissing")
    ctx.need(votes["index"] == index, "Council.WrongIndex")
    return votes


def _forget(ctx: Context, hash: bytes) -> None:
    ctx.drop("Council.ProposalOf", hash)
    ctx.drop("Council.Voting", hash)
    ctx.put("Council.Proposals", [one for one in ctx.get("Council.Proposals") if one != hash])
