"""`zos why CONTRACT [NAME]`: the history of a deployment or of one workload."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import time

from zos.cli.context import Context, NotHere
from zos.cli.parsing import Parser
from zos.cli.render import since
from zos.errors import ZosError
from zos.provisiond.api import HistoryEntry, NoSuchDeployment, Why


def define(parser: Parser) -> None:
    parser.add_argument("what", help="a contract, or the name of a machine")
    parser.add_argument("workload", nargs="?", default="", help="a workload of the contract")
    parser.set_defaults(action=_why)


async def _why(arguments: argparse.Namespace, ctx: Context) -> None:
    contract, workload = await _find(ctx, arguments.what, arguments.workload)
    found = await _ask(ctx, contract, workload)
    lines = "\n".join(_line(entry) for entry in found.history)
    told = {"sentence": found.sentence, "links": [dataclasses.asdict(one) for one in found.history]}
    ctx.out.result(told, f"{found.sentence}\n{lines}".rstrip())


async def _ask(ctx: Context, contract: int, workload: str) -> Why:
    # By all sockets that are here: a node may know more of a contract than the chain still does.
    async for one in ctx.near():
        with contextlib.suppress(NoSuchDeployment):
            if not ctx.by_rmb:
                return await one.why(contract, workload)
    return await (await ctx.node_of(contract)).why(contract, workload)


async def _find(ctx: Context, what: str, workload: str) -> tuple[int, str]:
    if what.isdigit():
        return int(what), workload
    async for one in ctx.near():
        with contextlib.suppress(ZosError):
            for deployment in await one.brief():
                if any(workload["name"] == what for workload in deployment["workloads"]):
                    return int(deployment["contract_id"]), what
    for record in ctx.records():
        for node, document in record["deployments"].items():
            if any(workload["name"] == what for workload in document["workloads"]):
                return int(record["contracts"][node]), what
    raise NotHere(what=f"`{what}`")


def _line(entry: HistoryEntry) -> str:
    when = f"{since(time.time() - entry.at)} ago" if entry.at else ""
    took = f"  ({entry.took * 1000:.0f} ms)" if entry.took else ""
    whose = f"{entry.workload}: " if entry.workload else ""
    return f"  {when:>12}  {whose}{entry.what}: {entry.detail}{took}"
