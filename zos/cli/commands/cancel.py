"""`zos cancel CONTRACT`: end contracts, and their deployments with them."""

from __future__ import annotations

import argparse

from zos.cli.client.vault import store
from zos.cli.context import Context
from zos.cli.parsing import Parser
from zos.model.deployment import decode
from zos.substrate import CallFailed, LocalKey

PALLET = "SmartContractModule"


def define(parser: Parser) -> None:
    parser.add_argument("contract", type=int, nargs="+")
    parser.set_defaults(action=_cancel)


async def _cancel(arguments: argparse.Namespace, ctx: Context) -> None:
    key, ended = ctx.key(), []
    for contract in arguments.contract:
        with ctx.out.step(f"cancelling contract {contract}"):
            await _end(ctx, contract, key)
        ended.append(contract)
        _forget(ctx, contract)
    text = f"contracts {', '.join(map(str, ended))} are cancelled; disks are kept for a while: zos undelete NODE ID"
    ctx.out.result({"cancelled": ended}, text)


async def _end(ctx: Context, contract: int, key: LocalKey) -> None:
    """Cancel it on the chain. One of ours that has ended there already is cancelled: an earlier try got through."""
    try:
        await ctx.chain().submit(PALLET, "cancel_contract", {"contract_id": contract}, key)
    except CallFailed:
        found = await ctx.chain().query(PALLET, "Contracts", contract)
        has_ended = found is None or "Deleted" in found["state"]
        if not has_ended or ctx.record_of(contract) is None:
            raise


def _forget(ctx: Context, contract: int) -> None:
    for record in ctx.records():
        left = {node: id for node, id in record["contracts"].items() if id != contract}
        if len(left) == len(record["contracts"]):
            continue
        for node in record["contracts"].keys() - left.keys():
            if node in record["deployments"]:
                store(ctx).drop(decode(record["deployments"][node]))
        if left:
            deployments = {node: one for node, one in record["deployments"].items() if node in left}
            ctx.remember({**record, "contracts": left, "deployments": deployments})
        else:
            ctx.forget(record)
