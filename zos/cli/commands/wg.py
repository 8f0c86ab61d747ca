"""`zos wg CONTRACT`: your configuration of a network for wg-quick."""

from __future__ import annotations

import argparse

import msgspec

from zos.cli.client.network import NetworkPlan, wg_quick
from zos.cli.context import Context
from zos.cli.parsing import Parser
from zos.errors import Status, ZosError


class NoRecord(ZosError):
    """The private key is in the records of whoever deployed, and nowhere else."""

    reason = "cli.no_record"
    status = Status.NOT_FOUND
    text = "there is no record of contract {contract} in {folder}"
    hint = "the private key is only where the contract was deployed from; --state names another folder of records"


class NoAccess(ZosError):
    """The file did not ask for access."""

    reason = "cli.no_access"
    status = Status.FAILED_PRECONDITION
    text = "no network of contract {contract} was deployed with access for you"
    hint = "write `access: true` at the network and deploy again"


def define(parser: Parser) -> None:
    parser.add_argument("contract", type=int)
    parser.set_defaults(action=_wg)


async def _wg(arguments: argparse.Namespace, ctx: Context) -> None:
    text = configuration(ctx, arguments.contract)
    ctx.out.result({"configuration": text}, text.rstrip())


def configuration(ctx: Context, contract: int) -> str:
    """The configuration of the first network that was deployed with access."""
    record = ctx.record_of(contract)
    if record is None:
        raise NoRecord(contract=contract, folder=ctx.state)
    for body in record["networks"].values():
        plan = msgspec.convert(body, NetworkPlan)
        if plan.user is not None:
            return wg_quick(plan)
    raise NoAccess(contract=contract)
