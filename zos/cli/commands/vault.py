"""`zos vault`: your signed deployments, which your own twin serves to the nodes."""

from __future__ import annotations

import argparse
import asyncio

from zos.cli.client import vault
from zos.cli.context import Context
from zos.cli.parsing import Parser, subcommands
from zos.cli.render import table
from zos.errors import Status, ZosError


class Served(ZosError):
    """Two processes with one session would disconnect each other at the relay."""

    reason = "cli.vault_served"
    status = Status.FAILED_PRECONDITION
    text = "another process of yours serves this vault already"
    hint = "leave it running, or end it first"


def define(parser: Parser) -> None:
    add = subcommands(parser)
    add("list", "the deployments in your vault", _list)
    add_relay(add("serve", "hand deployments to the nodes that ask, until you press Ctrl-C", _serve))


def add_relay(parser: argparse.ArgumentParser) -> None:
    """The option of `zos vault serve` and `zos deploy --vault`."""
    parser.add_argument(
        "--relay",
        action="append",
        default=[],
        metavar="URL",
        help="an RMB relay by which nodes reach your vault (or ZOS_RELAY; default: the relays that your twin names)",
    )


async def _list(arguments: argparse.Namespace, ctx: Context) -> None:
    found = vault.store(ctx).entries()
    body = [{"twin": twin, "hash": hash} for twin, hash in found]
    ctx.out.result(body, table(["for the node of twin", "hash"], [[twin, hash] for twin, hash in found]))


async def _serve(arguments: argparse.Namespace, ctx: Context) -> None:
    store = vault.store(ctx)
    async with vault.served(ctx, store, arguments.relay) as route:
        if route is None:
            raise Served()
        ctx.out.note(f"{len(store.entries())} deployments are served through {', '.join(route.urls)}; stop with Ctrl-C")
        await asyncio.Event().wait()
