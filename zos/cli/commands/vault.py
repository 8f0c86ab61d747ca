"""`zos vault`: your signed deployments, handed by your own twin to the nodes that they are for."""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

from zos.cli.client import vault
from zos.cli.context import Context
from zos.cli.render import table
from zos.errors import Status, ZosError


class Served(ZosError):
    """Twice would throw each other off the relay."""

    reason = "cli.vault_served"
    status = Status.FAILED_PRECONDITION
    text = "another process of yours serves this vault already"


def add(subparsers: Any, common: argparse.ArgumentParser) -> None:
    """The parser."""
    verbs = subparsers.add_parser("vault", help="your signed deployments").add_subparsers(required=True, metavar="VERB")
    verbs.add_parser("list", parents=[common], help="what it holds").set_defaults(action=_list)
    serve = verbs.add_parser("serve", parents=[common], help="hand out to nodes until interrupted")
    add_relay(serve)
    serve.set_defaults(action=_serve)


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
