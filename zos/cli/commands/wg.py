"""`zos wg CONTRACT`: your way into a network, as wg-quick reads it."""

from __future__ import annotations

import argparse

import msgspec

from zos.cli.client.mesh import Mesh, wg_quick
from zos.cli.context import Context
from zos.cli.parsing import Parser
from zos.errors import Status, ZosError


class NoRecord(ZosError):
    """The keys of a network are only in its owner's records."""

    reason = "cli.no_record"
    status = Status.NOT_FOUND
    text = "there is no record of contract {contract} in {folder}"
    hint = "only the account that deployed it, on the same machine, has the private key"


class NoAccess(ZosError):
    """No way in was asked for."""

    reason = "cli.no_access"
    status = Status.FAILED_PRECONDITION
    text = "no network of contract {contract} has a way in for you"
    hint = "set `access: true` at the network and deploy again"


def define(parser: Parser) -> None:
    """The parser."""
    parser.add_argument("contract", type=int)
    parser.set_defaults(action=_wg)


async def _wg(arguments: argparse.Namespace, ctx: Context) -> None:
    text = configuration(ctx, arguments.contract)
    ctx.out.result({"configuration": text}, text.rstrip())


def configuration(ctx: Context, contract: int) -> str:
    """The configuration for the first network that has a way in."""
    record = ctx.record_of(contract)
    if record is None:
        raise NoRecord(contract=contract, folder=ctx.state)
    for body in record["meshes"].values():
        mesh = msgspec.convert(body, Mesh)
        if mesh.way_in is not None:
            return wg_quick(mesh)
    raise NoAccess(contract=contract)
