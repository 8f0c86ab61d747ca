"""`zos units`, `pools`, `planetary`, `mycelium`, `tombstones`, `undelete`: a node from the inside."""

from __future__ import annotations

import argparse
import dataclasses
import pwd
import time
from collections.abc import Awaitable, Callable

from zos.cli.client.nodes import NearNode
from zos.cli.context import Context
from zos.cli.parsing import Parser
from zos.cli.render import fields, since, table
from zos.core0.api import Core0Client
from zos.model.units import show as size
from zos.mycelium.api import MyceliumClient
from zos.networkd.api import NetworkdClient
from zos.storaged.api import StoragedClient

NODE = "id on the chain, or name in the lab"


def define_units(parser: Parser) -> None:
    _of_node(parser, _units)


def define_pools(parser: Parser) -> None:
    _of_node(parser, _pools)


def define_planetary(parser: Parser) -> None:
    _of_node(parser, _planetary)


def define_mycelium(parser: Parser) -> None:
    _of_node(parser, _mycelium)


def define_tombstones(parser: Parser) -> None:
    _of_node(parser, _tombstones)


def define_undelete(parser: Parser) -> None:
    parser.add_argument("node", help=NODE)
    parser.add_argument("id", help="as zos tombstones shows it")
    parser.set_defaults(action=_undelete)


def _of_node(parser: Parser, action: Callable[[argparse.Namespace, Context], Awaitable[None]]) -> None:
    parser.add_argument("node", nargs="?", default="", help=f"{NODE} (default: the first here)")
    parser.set_defaults(action=action)


async def _near(arguments: argparse.Namespace, ctx: Context) -> NearNode:
    """The node that is meant; people are told which one it is."""
    found = await ctx.which(arguments.node)
    ctx.out.note(str(found))
    return found


async def _units(arguments: argparse.Namespace, ctx: Context) -> None:
    bus = (await _near(arguments, ctx)).bus
    found = await Core0Client(bus).units()
    rows = [
        [
            unit.name,
            unit.state,
            _name_of(unit.user),
            unit.pid or None,
            unit.restarts,
            since(time.time() - unit.since),
            unit.detail,
        ]
        for unit in found
    ]
    text = table(["unit", "state", "user", "pid", "restarts", "since", "detail"], rows)
    ctx.out.result([dataclasses.asdict(unit) for unit in found], text)


def _name_of(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


async def _pools(arguments: argparse.Namespace, ctx: Context) -> None:
    bus = (await _near(arguments, ctx)).bus
    found = await StoragedClient(bus).list_pools()
    rows = [
        [pool.device, pool.kind, pool.state, size(pool.size), size(pool.promised), pool.name, pool.detail]
        for pool in found
    ]
    text = table(["device", "kind", "state", "size", "reserved", "pool", "detail"], rows)
    ctx.out.result([dataclasses.asdict(pool) for pool in found], text)


async def _planetary(arguments: argparse.Namespace, ctx: Context) -> None:
    bus = (await _near(arguments, ctx)).bus
    found = await NetworkdClient(bus).planetary()
    shown = {
        "offered": "yes" if found.offered else "no",
        "detail": found.detail,
        "address": found.address,
        "machines in": found.subnet,
        "peers": ", ".join(found.peers) or "none",
    }
    ctx.out.result(dataclasses.asdict(found), fields(shown))


async def _mycelium(arguments: argparse.Namespace, ctx: Context) -> None:
    bus = (await _near(arguments, ctx)).bus
    found, networks = await MyceliumClient(bus).overlay(), await MyceliumClient(bus).identities()
    shown = {
        "offered": "yes" if found.offered else "no",
        "detail": found.detail,
        "address": found.address,
        "peers": ", ".join(found.peers) or "none",
        "subnets known": str(found.routes),
        **({"peers left out": "; ".join(found.left_out)} if found.left_out else {}),
    }
    rows = [[one.id, one.subnet, "yes" if one.attached else "no", one.detail] for one in networks]
    text = f"{fields(shown)}\n{table(['network', 'machines in', 'attached', 'detail'], rows)}"
    body = {**dataclasses.asdict(found), "networks": [dataclasses.asdict(one) for one in networks]}
    ctx.out.result(body, text)


async def _tombstones(arguments: argparse.Namespace, ctx: Context) -> None:
    bus = (await _near(arguments, ctx)).bus
    found = await StoragedClient(bus).list_tombstones()
    rows = [[one.id, one.kind, size(one.size), since(one.expires - time.time()), one.evidence.detail] for one in found]
    text = table(["id", "kind", "size", "kept for", "why"], rows)
    ctx.out.result([dataclasses.asdict(one) for one in found], text)


async def _undelete(arguments: argparse.Namespace, ctx: Context) -> None:
    bus = (await _near(arguments, ctx)).bus
    back = await StoragedClient(bus).undelete(arguments.id)
    ctx.out.result(dataclasses.asdict(back), f"{back.kind} {back.id} is back")
