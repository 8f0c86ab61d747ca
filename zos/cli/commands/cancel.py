"""`zos cancel CONTRACT`: end contracts, and their deployments with them."""

from __future__ import annotations

import argparse

from zos.cli.client.vault import store
from zos.cli.context import Context
from zos.cli.exits import Exit, code_of
from zos.cli.parsing import Parser, whole
from zos.errors import ZosError
from zos.model.deployment import decode
from zos.model.names import workload_id
from zos.substrate import CallFailed, LocalKey

PALLET = "SmartContractModule"


def define(parser: Parser) -> None:
    parser.add_argument("contract", type=whole, nargs="+")
    parser.set_defaults(action=_cancel)


async def _cancel(arguments: argparse.Namespace, ctx: Context) -> int:
    key, ended, kept = ctx.key(), [], []
    failed: dict[int, ZosError] = {}
    for contract in arguments.contract:
        try:
            with ctx.out.step(f"cancelling contract {contract}"):
                await _end(ctx, contract, key)
        except ZosError as err:
            ctx.out.note(f"  {err.explain()}")
            failed[contract] = err
            continue
        ended.append(contract)
        kept += _kept(ctx, contract)
        _forget(ctx, contract)
    lines = [f"contracts {', '.join(map(str, ended))} are cancelled"] if ended else []
    if kept:
        lines.append("their data is kept for a while; to have it back:")
        lines += [f"  zos undelete {node} {id}" for node, id in kept]
    body: dict[str, object] = {"cancelled": ended}
    if failed:
        body["failed"] = {id: err.explain() for id, err in failed.items()}
    ctx.out.result(body, "\n".join(lines))
    return max((code_of(err.status) for err in failed.values()), default=Exit.OK)


def _kept(ctx: Context, contract: int) -> list[tuple[str, str]]:
    """The disks and volumes of a contract of ours, each with its node."""
    record = ctx.record_of(contract)
    if record is None:
        return []
    node = next(node for node, id in record["contracts"].items() if id == contract)
    listed = record["deployments"].get(node, {}).get("workloads", ())
    stored = (one["name"] for one in listed if one["type"] in ("zmount", "volume"))
    return [(node, workload_id(record["twin"], contract, name)) for name in stored]


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
