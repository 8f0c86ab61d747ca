"""`zos vault`: your signed deployments, handed by your own twin to the nodes that they are for."""

from __future__ import annotations

import argparse
import asyncio

from zos.cli.client import vault
from zos.cli.context import Context
from zos.cli.parsing import Parser, verbs
from zos.cli.render import table
from zos.errors import Status, ZosError


class Served(ZosError):
    """Twice would throw each other off the relay."""

    reason = "cli.vault_served"
    status = Status.FAILED_PRECONDITION
    text = "another process of yours serves this vault already"


def define(parser: Parser) -> None:
    """The parser."""
    verb = verbs(parser)
    verb("list", "the deployments in your vault", _list)
    add_relay(verb("serve", "hand deployments to the nodes that ask, until you press Ctrl-C", _serve))


def add_relay(parser: argparse.ArgumentParser) -> None:
    """The option that both ways of serving have."""
    parser.add_argument(
        "--relay",
        action="append",
        default=[],
        metavar="URL",
        help="an RMB relay by which nodes reach your vault (or ZOS_RELAY; else those that your twin names)",
    )


async def _list(arguments: argparse.Namespace, ctx: Context) -> None:
    found = vault.shelf(ctx).entries()
    body = [{"twin": twin, "hash": hash} for twin, hash in found]
    ctx.out.result(body, table(["for the node of twin", "hash"], [[twin, hash] for twin, hash in found]))


async def _serve(arguments: argparse.Namespace, ctx: Context) -> None:
    kept = vault.shelf(ctx)
    async with vault.served(ctx, kept, arguments.relay) as route:
        if route is None:
            raise Served()
        ctx.out.note(f"{len(kept.entries())} deployments by {', '.join(route.urls)}; Ctrl-C ends it")
        await asyncio.Event().wait()
