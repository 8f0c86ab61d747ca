"""`zos ps`: what you run, by name, wherever it is."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from zos.cli.commands.contract import PALLET, plain
from zos.cli.commands.status import addresses
from zos.cli.context import Context
from zos.cli.parsing import Parser
from zos.cli.render import table
from zos.errors import ZosError

COLUMNS = ("name", "workload", "type", "state", "addresses", "node", "contract", "message")


def define(parser: Parser) -> None:
    parser.set_defaults(action=_ps)


async def _ps(arguments: argparse.Namespace, ctx: Context) -> None:
    twin = await ctx.twin()
    contracts = {
        one["id"]: one
        for one in map(plain, await ctx.chain().entries(PALLET, "Contracts"))
        if one["twin"] == twin and one["type"] == "NodeContract"
    }
    records = [one for one in ctx.records() if one["twin"] == twin]
    deployments: dict[int, Mapping[str, Any]] = {}
    near: set[int] = set()
    async for one in ctx.near():
        with contextlib.suppress(ZosError):
            if not ctx.by_rmb:
                deployments |= {int(body["contract_id"]): body for body in await one.deployments(twin)}
                near.add(one.id)
    far = sorted({one["node"] for one in contracts.values()} - near)
    deployments |= await _far(ctx, far, twin)
    rows = [row for id in sorted({*contracts, *deployments}) for row in rows_of(id, contracts, records, deployments)]
    text = table(COLUMNS, [[row[name] for name in COLUMNS] for row in rows])
    ctx.out.result(rows, text if rows else f"twin {twin} runs nothing")


async def _far(ctx: Context, nodes: Sequence[int], twin: int) -> dict[int, Mapping[str, Any]]:
    """A twin's deployments on nodes whose sockets are not here; of those that cannot be asked it is said why."""
    try:
        far = [await ctx.node(node) for node in nodes]
    except ZosError as err:
        ctx.out.note(f"nodes {', '.join(map(str, nodes))} cannot be asked: {err.explain()} ({err.advice()})")
        return {}
    found: dict[int, Mapping[str, Any]] = {}
    for told in await asyncio.gather(*(one.deployments(twin) for one in far), return_exceptions=True):
        if isinstance(told, ZosError):
            ctx.out.note(told.explain())
        elif isinstance(told, BaseException):
            raise told
        else:
            found |= {int(body["contract_id"]): body for body in told}
    return found


def rows_of(
    id: int,
    contracts: Mapping[int, Mapping[str, Any]],
    records: list[dict[str, Any]],
    deployments: Mapping[int, Mapping[str, Any]],
) -> Iterator[dict[str, Any]]:
    """A row for each workload of a contract; one row for what only the chain knows. Pure."""
    contract, record = contracts.get(id), next((one for one in records if id in one["contracts"].values()), None)
    node = contract["node"] if contract else 0
    said = deployments.get(id) or _recorded(record, id)
    text = said["metadata"] if said else contract["data"] if contract else ""
    name = record["name"] if record else _name(text)
    common = {"name": name, "node": node, "contract": id}
    state = contract["state"] if contract else "ended"
    if not said:
        yield {**common, "workload": "", "type": "", "state": state, "addresses": "", "message": "no node tells more"}
        return
    is_told = id in deployments
    for one in said["workloads"]:
        told = one["result"] if is_told else {"state": "unknown", "message": "its node cannot be asked from here"}
        yield {
            **common,
            "workload": one["name"],
            "type": one["type"],
            "state": told["state"],
            "addresses": addresses(one) if is_told else "",
            "message": told["message"],
        }


def _recorded(record: Mapping[str, Any] | None, id: int) -> Mapping[str, Any] | None:
    if record is None:
        return None
    node = next(node for node, contract in record["contracts"].items() if contract == id)
    found: Mapping[str, Any] | None = record["deployments"].get(node)
    return found


def _name(text: str) -> str:
    """What clients of the grid call a deployment, in its metadata or its contract's data."""
    with contextlib.suppress(ValueError, AttributeError):
        return str(json.loads(text).get("name", ""))
    return ""
