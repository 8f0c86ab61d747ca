"""`zos contract`: what twins have reserved of nodes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from zos.cli.commands.twin import NoSuch
from zos.cli.context import Context
from zos.cli.parsing import Parser, subcommands, whole
from zos.cli.render import fields, table

PALLET = "SmartContractModule"


def define(parser: Parser) -> None:
    add = subcommands(parser)
    add("list", "all contracts", _list).add_argument("--mine", action="store_true", help="only those of your twin")
    add("show", "one contract", _show).add_argument("id", type=whole)
    create = add("create", "reserve a node for a deployment's hash", _create)
    create.add_argument("node", type=whole)
    create.add_argument("hash", help="32 hex characters: zos deployment hash FILE.json")
    create.add_argument("--data", default="", help="what the contract carries, at most 512 bytes")
    create.add_argument("--data-file", type=Path, help="the same from a file")


def plain(contract: dict[str, Any]) -> dict[str, Any]:
    """A contract as text and numbers."""
    ((kind, body),) = contract["contract_type"].items()
    state = contract["state"] if isinstance(contract["state"], str) else next(iter(contract["state"]))
    return {
        "id": contract["contract_id"],
        "twin": contract["twin_id"],
        "node": body.get("node_id", 0),
        "type": kind,
        "state": state,
        "hash": body.get("deployment_hash", b"").decode(errors="replace"),
        "data": body.get("deployment_data", b"").decode(errors="replace"),
    }


async def _list(arguments: argparse.Namespace, ctx: Context) -> None:
    twin = await ctx.twin() if arguments.mine else 0
    found = [plain(one) for one in await ctx.chain().entries(PALLET, "Contracts")]
    found = sorted((one for one in found if not twin or one["twin"] == twin), key=lambda one: one["id"])
    headers = ["contract", "twin", "node", "type", "state", "hash"]
    ctx.out.result(found, table(headers, [list(one.values())[:-1] for one in found]))


async def _show(arguments: argparse.Namespace, ctx: Context) -> None:
    found = await ctx.chain().query(PALLET, "Contracts", arguments.id)
    if found is None:
        raise NoSuch(what="contract", id=arguments.id)
    ctx.out.result(plain(found), fields(plain(found)))


async def _create(arguments: argparse.Namespace, ctx: Context) -> None:
    data = arguments.data_file.read_text() if arguments.data_file else arguments.data
    wanted = {
        "node_id": arguments.node,
        "deployment_hash": arguments.hash,
        "deployment_data": data,
        "public_ips": 0,
        "solution_provider_id": None,
    }
    done = await ctx.chain().submit(PALLET, "create_node_contract", wanted, ctx.key())
    event = done.event(PALLET, "ContractCreated")
    id = int(event.fields["contract_id"]) if event else 0
    ctx.out.result({"contract": id}, f"contract {id} is on the chain (block {done.block.number})")
