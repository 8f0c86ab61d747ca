"""`zos node`: the machines of the grid."""

from __future__ import annotations

import argparse
from typing import Any

from zos.cli.commands.twin import NoSuch
from zos.cli.context import Context
from zos.cli.parsing import Parser, subcommands, whole
from zos.cli.render import fields, table
from zos.model.units import show as size


def define(parser: Parser) -> None:
    add = subcommands(parser)
    add("list", "all nodes", _list)
    add("show", "one node", _show).add_argument("id", type=whole)


def plain(node: dict[str, Any]) -> dict[str, Any]:
    """A node as text and numbers."""
    resources = node["resources"]
    addresses = [ip.decode() for card in node["interfaces"] for ip in card["ips"]]
    return {
        "id": node["id"],
        "farm": node["farm_id"],
        "twin": node["twin_id"],
        "cru": resources["cru"],
        "mru": resources["mru"],
        "sru": resources["sru"],
        "hru": resources["hru"],
        "certification": node["certification"],
        "addresses": sorted(set(addresses)),
    }


def _row(node: dict[str, Any]) -> list[Any]:
    sizes = [size(node[name]) for name in ("mru", "sru", "hru")]
    return [node["id"], node["farm"], node["twin"], node["cru"], *sizes, ", ".join(node["addresses"])]


async def _list(arguments: argparse.Namespace, ctx: Context) -> None:
    found = sorted(
        (plain(one) for one in await ctx.chain().entries("TfgridModule", "Nodes")), key=lambda one: one["id"]
    )
    headers = ["node", "farm", "twin", "cores", "memory", "ssd", "hdd", "addresses"]
    ctx.out.result(found, table(headers, [_row(one) for one in found]))


async def _show(arguments: argparse.Namespace, ctx: Context) -> None:
    found = await ctx.chain().query("TfgridModule", "Nodes", arguments.id)
    if found is None:
        raise NoSuch(what="node", id=arguments.id)
    body = plain(found)
    contracts = await ctx.chain().query("SmartContractModule", "ActiveNodeContracts", arguments.id)
    body["contracts"] = list(contracts)
    text = {name: value for name, value in body.items() if name not in ("mru", "sru", "hru", "addresses", "contracts")}
    text |= {name: size(body[name]) for name in ("mru", "sru", "hru")}
    text |= {"addresses": ", ".join(body["addresses"]), "contracts": ", ".join(map(str, contracts))}
    ctx.out.result(body, fields(text))
