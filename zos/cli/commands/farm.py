"""`zos farm`: owners of nodes."""

from __future__ import annotations

import argparse
from typing import Any

from zos.cli.commands.twin import NoSuch
from zos.cli.context import Context
from zos.cli.parsing import Parser, subcommands, whole
from zos.cli.render import fields, table


def define(parser: Parser) -> None:
    add = subcommands(parser)
    add("list", "all farms", _list)
    add("show", "one farm", _show).add_argument("id", type=whole)
    add("create", "create a farm of yours", _create).add_argument("name")


def plain(farm: dict[str, Any]) -> dict[str, Any]:
    """A farm as text and numbers."""
    return {
        "id": farm["id"],
        "name": farm["name"].decode(errors="replace"),
        "twin": farm["twin_id"],
        "certification": farm["certification"],
        "public ips": len(farm["public_ips"]),
    }


async def _list(arguments: argparse.Namespace, ctx: Context) -> None:
    found = sorted(
        (plain(one) for one in await ctx.chain().entries("TfgridModule", "Farms")), key=lambda one: one["id"]
    )
    headers = ["farm", "name", "twin", "certification", "public ips"]
    ctx.out.result(found, table(headers, [list(one.values()) for one in found]))


async def _show(arguments: argparse.Namespace, ctx: Context) -> None:
    found = await ctx.chain().query("TfgridModule", "Farms", arguments.id)
    if found is None:
        raise NoSuch(what="farm", id=arguments.id)
    ctx.out.result(plain(found), fields(plain(found)))


async def _create(arguments: argparse.Namespace, ctx: Context) -> None:
    await ctx.twin()
    wanted = {"name": arguments.name, "public_ips": []}
    done = await ctx.chain().submit("TfgridModule", "create_farm", wanted, ctx.key())
    event = done.event("TfgridModule", "FarmStored")
    farm = int(event.fields["id"]) if event else 0
    ctx.out.result({"farm": farm}, f"farm {farm} is yours; boot nodes with farmer_id={farm}")
