"""`zos cancel CONTRACT`: the end of a contract, and with it of its deployment."""

from __future__ import annotations

import argparse

from zos.cli.client.vault import shelf
from zos.cli.context import Context
from zos.cli.parsing import Parser
from zos.model.deployment import decode


def define(parser: Parser) -> None:
    """The parser."""
    parser.add_argument("contract", type=int, nargs="+")
    parser.set_defaults(action=_cancel)


async def _cancel(arguments: argparse.Namespace, ctx: Context) -> None:
    key, ended = ctx.key(), []
    for contract in arguments.contract:
        with ctx.out.step(f"cancelling contract {contract}"):
            await ctx.chain().submit("SmartContractModule", "cancel_contract", {"contract_id": contract}, key)
        ended.append(contract)
        _forget(ctx, contract)
    text = f"contracts {', '.join(map(str, ended))} are cancelled; disks are kept for a while: zos undelete NODE ID"
    ctx.out.result({"cancelled": ended}, text)


def _forget(ctx: Context, contract: int) -> None:
    for name, record in ctx.records().items():
        left = {node: id for node, id in record["contracts"].items() if id != contract}
        if len(left) == len(record["contracts"]):
            continue
        for node in record["contracts"].keys() - left.keys():
            if node in record["deployments"]:
                shelf(ctx).drop(decode(record["deployments"][node]))
        if left:
            deployments = {node: one for node, one in record["deployments"].items() if node in left}
            ctx.remember(name, {**record, "contracts": left, "deployments": deployments})
        else:
            ctx.forget(name)
