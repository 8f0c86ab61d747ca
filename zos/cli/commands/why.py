"""`zos why CONTRACT [NAME]`: the history of a deployment or of one workload."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import time

from zos.cli.context import Context
from zos.cli.parsing import Parser
from zos.cli.render import since
from zos.errors import ZosError
from zos.provisiond.api import Link, NoSuchDeployment, ProvisiondClient


def define(parser: Parser) -> None:
    """The parser."""
    parser.add_argument("what", help="a contract, or the name of a machine")
    parser.add_argument("workload", nargs="?", default="", help="a workload of the contract")
    parser.set_defaults(action=_why)


async def _why(arguments: argparse.Namespace, ctx: Context) -> None:
    contract, workload = await _find(ctx, arguments.what, arguments.workload)
    async for _, bus in ctx.buses():
        with contextlib.suppress(NoSuchDeployment):
            found = await ProvisiondClient(bus).why(contract, workload)
            lines = "\n".join(_line(link) for link in found.links)
            ctx.out.result(dataclasses.asdict(found), f"{found.sentence}\n{lines}".rstrip())
            return
    raise NoSuchDeployment(contract=contract)


async def _find(ctx: Context, what: str, workload: str) -> tuple[int, str]:
    if what.isdigit():
        return int(what), workload
    async for _, bus in ctx.buses():
        with contextlib.suppress(ZosError):
            for deployment in await ProvisiondClient(bus).list():
                if any(one["name"] == what for one in deployment["workloads"]):
                    return int(deployment["contract_id"]), what
    raise NoSuchDeployment(contract=what)


def _line(link: Link) -> str:
    when = f"{since(time.time() - link.at)} ago" if link.at else ""
    took = f"  ({link.took * 1000:.0f} ms)" if link.took else ""
    whose = f"{link.workload}: " if link.workload else ""
    return f"  {when:>12}  {whose}{link.what}: {link.detail}{took}"
