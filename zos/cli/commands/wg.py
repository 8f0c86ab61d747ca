"""`zos wg CONTRACT`: your configuration of a network for wg-quick."""

from __future__ import annotations

import argparse

import msgspec

from zos.cli.client.network import NetworkPlan, wg_quick
from zos.cli.context import Context
from zos.cli.parsing import Parser, whole
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


class WhichNetwork(ZosError):
    """Each network has a tunnel of its own."""

    reason = "cli.which_network"
    status = Status.INVALID_ARGUMENT
    text = "you have access to several networks of contract {contract}: {names}"
    hint = "say which one: zos wg {contract} {first}"


def define(parser: Parser) -> None:
    parser.add_argument("contract", type=whole)
    parser.add_argument("network", nargs="?", default="", help="which, if you have access to several")
    parser.set_defaults(action=_wg)


async def _wg(arguments: argparse.Namespace, ctx: Context) -> None:
    text = configuration(ctx, arguments.contract, arguments.network)
    ctx.out.result({"configuration": text}, text.rstrip())


def configuration(ctx: Context, contract: int, network: str = "") -> str:
    """The configuration of the network of this name, or of the only one that was deployed with access."""
    record = ctx.record_of(contract)
    if record is None:
        raise NoRecord(contract=contract, folder=ctx.state)
    plans = (msgspec.convert(body, NetworkPlan) for body in record["networks"].values())
    found = {plan.name: plan for plan in plans if plan.user is not None}
    if not found:
        raise NoAccess(contract=contract)
    if len(found) > 1 and not network:
        raise WhichNetwork(contract=contract, names=", ".join(found), first=next(iter(found)))
    if network and network not in found:
        raise NoAccess(contract=contract)
    return wg_quick(found[network] if network else next(iter(found.values())))
