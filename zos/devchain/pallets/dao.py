"""Dao: the council proposes, the farmers vote, each with the weight of his nodes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from zos.devchain import weight
from zos.devchain.context import Context
from zos.devchain.pallets.origin import ROOT
from zos.devchain.pallets.system import DISPATCH_RESULT
from zos.devchain.pallets.utility import RUNTIME_CALL
from zos.scale.pallet import Hasher, Pallet, call, errors, event, mapping, value
from zos.scale.types import ACCOUNT, BOOL, BYTES, H256, U32, U64, Compact, Option, Vec, struct

DAY = 14_400
"""Blocks."""
MOTION = 7 * DAY
LONGEST = 30 * DAY
VETOS = 3
PROPOSAL = struct("pallet_dao::proposal::DaoProposal", index=U32, description=BYTES, link=BYTES)
VOTE = struct("pallet_dao::proposal::VoteWeight", farm_id=U32, weight=U64)
VOTES = struct(
    "pallet_dao::proposal::DaoVotes",
    index=U32,
    threshold=U32,
    ayes=Vec(VOTE),
    nays=Vec(VOTE),
    end=U32,
    vetos=Vec(ACCOUNT),
)

PALLET = Pallet(
    name="Dao",
    index=43,
    path="pallet_dao",
    storage=(
        value("ProposalList", Vec(H256), ()),
        mapping("Proposals", H256, PROPOSAL, optional=True, hasher=Hasher.IDENTITY),
        mapping("ProposalOf", H256, RUNTIME_CALL, optional=True, hasher=Hasher.IDENTITY),
        mapping("Voting", H256, VOTES, optional=True, hasher=Hasher.IDENTITY),
        value("ProposalCount", U32, 0),
        mapping("FarmWeight", U32, U64, 0, hasher=Hasher.IDENTITY),
    ),
    calls=(
        call(
            0,
            "propose",
            threshold=Compact(U32),
            action=RUNTIME_CALL,
            description=BYTES,
            link=BYTES,
            duration=Option(U32),
        ),
        call(1, "vote", is_free=True, farm_id=U32, proposal_hash=H256, approve=BOOL),
        call(2, "veto", is_free=True, proposal_hash=H256),
        call(3, "close", is_free=True, proposal_hash=H256, proposal_index=Compact(U32)),
    ),
    events=(
        event("Voted", account=ACCOUNT, proposal_hash=H256, voted=BOOL, yes=U32, no=U32),
        event("Proposed", account=ACCOUNT, proposal_index=U32, proposal_hash=H256, threshold=U32),
        event("Approved", proposal_hash=H256),
        event("Disapproved", proposal_hash=H256),
        event("Executed", proposal_hash=H256, result=DISPATCH_RESULT),
        event("Closed", proposal_hash=H256, yes=U32, yes_weight=U64, no=U32, no_weight=U64),
        event("ClosedByCouncil", proposal_hash=H256, vetos=Vec(ACCOUNT)),
        event("CouncilMemberVeto", proposal_hash=H256, who=ACCOUNT),
    ),
    errors=errors(
        """NoneValue StorageOverflow FarmNotExists NotCouncilMember WrongProposalLength DuplicateProposal
        NotAuthorizedToVote ProposalMissing WrongIndex DuplicateVote WrongProposalWeight TooEarly TimeLimitReached
        OngoingVoteAndTresholdStillNotMet FarmHasNoNodes InvalidProposalDuration"""
    ),
)

Execute = Callable[[Context, bytes, Any], Any]


class Dao:
    """Votes; `execute` dispatches a call for an origin and answers a dispatch result."""

    def __init__(self, execute: Execute) -> None:
        self._execute = execute

    def propose(
        self, ctx: Context, who: bytes, threshold: int, action: Any, description: bytes, link: bytes, duration: Any
    ) -> None:
        _check_member(ctx, who)
        hash = hashlib.blake2b(RUNTIME_CALL.encode(action), digest_size=32).digest()
        ctx.need(not ctx.has("Dao.ProposalOf", hash), "Dao.DuplicateProposal")
        ctx.need(duration is None or duration < LONGEST, "Dao.InvalidProposalDuration")
        index = int(ctx.get("Dao.ProposalCount"))
        ctx.put("Dao.ProposalCount", index + 1)
        ctx.put("Dao.ProposalOf", hash, action)
        ctx.put("Dao.Proposals", hash, {"index": index, "description": description, "link": link})
        end = ctx.block + (MOTION if duration is None else duration)
        votes = {"index": index, "threshold": threshold, "ayes": [], "nays": [], "end": end, "vetos": []}
        ctx.put("Dao.Voting", hash, votes)
        ctx.put("Dao.ProposalList", [*ctx.get("Dao.ProposalList"), hash])
        ctx.emit("Dao.Proposed", account=who, proposal_index=index, proposal_hash=hash, threshold=threshold)

    def vote(self, ctx: Context, who: bytes, farm_id: int, proposal_hash: bytes, approve: bool) -> None:
        ctx.need(_is_farmer(ctx, who, farm_id), "Dao.NotAuthorizedToVote")
        votes = _voting(ctx, proposal_hash)
        ctx.need(ctx.block <= votes["end"], "Dao.TimeLimitReached")
        side, other = ("ayes", "nays") if approve else ("nays", "ayes")
        ctx.need(all(one["farm_id"] != farm_id for one in votes[side]), "Dao.DuplicateVote")
        mine = int(ctx.get("Dao.FarmWeight", farm_id))
        ctx.need(mine, "Dao.FarmHasNoNodes")
        # Only the first vote of a farm is free.
        ctx.pays = any(one["farm_id"] == farm_id for one in votes[other])
        votes[side] = [*votes[side], {"farm_id": farm_id, "weight": mine}]
        votes[other] = [one for one in votes[other] if one["farm_id"] != farm_id]
        ctx.put("Dao.Voting", proposal_hash, votes)
        counted = {"yes": len(votes["ayes"]), "no": len(votes["nays"])}
        ctx.emit("Dao.Voted", account=who, proposal_hash=proposal_hash, voted=approve, **counted)

    def veto(self, ctx: Context, who: bytes, proposal_hash: bytes) -> None:
        _check_member(ctx, who)
        votes = _voting(ctx, proposal_hash)
        ctx.need(who not in votes["vetos"], "Dao.DuplicateVote")
        votes["vetos"] = [*votes["vetos"], who]
        ctx.emit("Dao.CouncilMemberVeto", proposal_hash=proposal_hash, who=who)
        if len(votes["vetos"]) < VETOS:
            ctx.put("Dao.Voting", proposal_hash, votes)
            return
        ctx.emit("Dao.ClosedByCouncil", proposal_hash=proposal_hash, vetos=votes["vetos"])
        _disapprove(ctx, proposal_hash)

    def close(self, ctx: Context, who: bytes, proposal_hash: bytes, proposal_index: int) -> None:
        _check_member(ctx, who)
        votes = _voting(ctx, proposal_hash)
        ctx.need(votes["index"] == proposal_index, "Dao.WrongIndex")
        yes, no = len(votes["ayes"]), len(votes["nays"])
        # The threshold counts farms that voted, either way; the weights decide.
        is_met = yes + no >= votes["threshold"]
        ctx.need(is_met or ctx.block >= votes["end"], "Dao.OngoingVoteAndTresholdStillNotMet")
        for_it, against = (sum(one["weight"] for one in votes[side]) for side in ("ayes", "nays"))
        counted = {"yes": yes, "yes_weight": for_it, "no": no, "no_weight": against}
        ctx.emit("Dao.Closed", proposal_hash=proposal_hash, **counted)
        if not is_met or for_it <= against:
            _disapprove(ctx, proposal_hash)
            return
        ctx.emit("Dao.Approved", proposal_hash=proposal_hash)
        result = self._execute(ctx, ROOT, ctx.get("Dao.ProposalOf", proposal_hash))
        ctx.emit("Dao.Executed", proposal_hash=proposal_hash, result=result)
        _forget(ctx, proposal_hash)

    # The weights follow the nodes

    def node_changed(self, ctx: Context, old: dict[str, Any] | None, new: dict[str, Any]) -> None:
        """A node's part moves with it."""
        if old is not None:
            self.node_deleted(ctx, old)
        _weigh(ctx, new["farm_id"], weight.weight(new["resources"]))

    def node_deleted(self, ctx: Context, node: dict[str, Any]) -> None:
        """Its part is gone."""
        _weigh(ctx, node["farm_id"], -weight.weight(node["resources"]))

    def power_changed(self, ctx: Context, node_id: int) -> None:
        """A sleeping node weighs as much as one that is awake."""


def _weigh(ctx: Context, farm_id: int, change: int) -> None:
    ctx.put("Dao.FarmWeight", farm_id, max(0, int(ctx.get("Dao.FarmWeight", farm_id)) + change))


def _check_member(ctx: Context, who: bytes) -> None:
    ctx.need(who in ctx.get("CouncilMembership.Members"), "Dao.NotCouncilMember")


def _is_farmer(ctx: Context, who: bytes, farm_id: int) -> bool:
    farm = ctx.get("TfgridModule.Farms", farm_id)
    twin = ctx.get("TfgridModule.TwinIdByAccountID", who)
    return farm is not None and twin is not None and farm["twin_id"] == twin


def _voting(ctx: Context, hash: bytes) -> dict[str, Any]:
    votes: dict[str, Any] | None = ctx.get("Dao.Voting", hash)
    ctx.need(votes, "Dao.ProposalMissing")
    assert votes is not None
    return votes


def _disapprove(ctx: Context, hash: bytes) -> None:
    ctx.emit("Dao.Disapproved", proposal_hash=hash)
    _forget(ctx, hash)


def _forget(ctx: Context, hash: bytes) -> None:
    for item in ("ProposalOf", "Voting", "Proposals"):
        ctx.drop(f"Dao.{item}", hash)
    ctx.put("Dao.ProposalList", [one for one in ctx.get("Dao.ProposalList") if one != hash])
