"""Solution providers: who gets a part of the sales share of contracts that name them."""

from __future__ import annotations

from typing import Any

from zos.devchain.context import Context
from zos.devchain.pallets.contracts.layout import NAME
from zos.devchain.pallets.contracts.lifecycle import load
from zos.devchain.pallets.grid_common import twin_of
from zos.devchain.pallets.origin import guarded

MOST = 50
"""Percent: all of the sales share."""


class Solutions:
    """Calls about solution providers."""

    def create_solution_provider(
        self, ctx: Context, who: bytes, description: bytes, link: bytes, providers: list[Any]
    ) -> None:
        ctx.need(sum(one["take"] for one in providers) <= MOST, f"{NAME}.InvalidProviderConfiguration")
        id = ctx.count(f"{NAME}.SolutionProviderID")
        provider = {
            "solution_provider_id": id,
            "providers": providers,
            "description": description,
            "link": link,
            "approved": False,
        }
        ctx.put(f"{NAME}.SolutionProviders", id, provider)
        ctx.emit(f"{NAME}.SolutionProviderCreated", provider)

    @guarded
    def approve_solution_provider(self, ctx: Context, who: bytes, solution_provider_id: int, approve: bool) -> None:
        provider = _provider(ctx, solution_provider_id)
        ctx.put(f"{NAME}.SolutionProviders", solution_provider_id, {**provider, "approved": approve})
        ctx.emit(f"{NAME}.SolutionProviderApproved", solution_provider_id, approve)

    def attach_solution_provider_id(
        self, ctx: Context, who: bytes, contract_id: int, solution_provider_id: int
    ) -> None:
        provider = _provider(ctx, solution_provider_id)
        ctx.need(provider["approved"], f"{NAME}.SolutionProviderNotApproved")
        contract = load(ctx, contract_id)
        is_mine = contract["twin_id"] == twin_of(ctx, who, NAME)
        is_free = contract["solution_provider_id"] is None
        ctx.need(is_mine and is_free, f"{NAME}.UnauthorizedToChangeSolutionProviderId")
        contract = {**contract, "solution_provider_id": solution_provider_id}
        ctx.put(f"{NAME}.Contracts", contract_id, contract)
        ctx.emit(f"{NAME}.ContractUpdated", contract)


def _provider(ctx: Context, id: int) -> dict[str, Any]:
    found: dict[str, Any] | None = ctx.get(f"{NAME}.SolutionProviders", id)
    ctx.need(found, f"{NAME}.NoSuchSolutionProvider")
    assert found is not None
    return found
