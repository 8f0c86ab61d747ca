"""`zos twin`: chain identities."""

from __future__ import annotations

import argparse
import json
import os
from typing import Any

from zos.cli.context import Context
from zos.cli.parsing import Parser, subcommands, whole
from zos.cli.render import fields, table
from zos.errors import Status, ZosError
from zos.fetch.aio import fetch_configured
from zos.fetch.exchange import Request
from zos.rmb.account import ensure_twin
from zos.rmb.cipher import LocalSecret
from zos.substrate import address

ACTIVATION = 60.0


class NoSuch(ZosError):
    """An id is not on the chain."""

    reason = "cli.no_such"
    status = Status.NOT_FOUND
    text = "there is no {what} {id} on the chain"
    hint = "zos {what} list shows all of them"


class NotActivated(ZosError):
    """The activation service did not give the account its first TFT."""

    reason = "cli.not_activated"
    status = Status.UNAVAILABLE
    text = "{url} does not activate your account: {problem}"


def define(parser: Parser) -> None:
    add = subcommands(parser)
    add("list", "all twins", _list)
    add("show", "one twin", _show).add_argument("id", type=whole)
    create = add("create", "create your twin (this accepts the chain's terms and conditions)", _create)
    create.add_argument("--relay", metavar="NAME", help="host name of the RMB relay by which others reach you")
    create.add_argument(
        "--activation",
        metavar="URL",
        default=os.environ.get("ACTIVATION_URL", ""),
        help="the service that gives an empty account its first TFT (or ACTIVATION_URL)",
    )


def plain(twin: dict[str, Any]) -> dict[str, Any]:
    """A twin as text and numbers."""
    relay = twin["relay"].decode(errors="replace") if twin["relay"] else ""
    return {"id": twin["id"], "account": address(twin["account_id"]), "relay": relay}


async def _list(arguments: argparse.Namespace, ctx: Context) -> None:
    found = sorted(
        (plain(one) for one in await ctx.chain().entries("TfgridModule", "Twins")), key=lambda one: one["id"]
    )
    ctx.out.result(found, table(["twin", "account", "relay"], [list(one.values()) for one in found]))


async def _show(arguments: argparse.Namespace, ctx: Context) -> None:
    found = await ctx.chain().query("TfgridModule", "Twins", arguments.id)
    if found is None:
        raise NoSuch(what="twin", id=arguments.id)
    ctx.out.result(plain(found), fields(plain(found)))


async def _create(arguments: argparse.Namespace, ctx: Context) -> None:
    if arguments.activation:
        account = await ctx.chain().query("System", "Account", ctx.key().public)
        if not int(account["data"]["free"]):
            await _activate(arguments.activation, address(ctx.key().public))
    twin = await ensure_twin(ctx.chain(), ctx.key(), arguments.relay, LocalSecret(ctx.key().seed).public)
    ctx.out.result({"twin": twin}, f"you are twin {twin}")


async def _activate(url: str, account: str) -> None:
    body, headers = json.dumps({"substrateAccountID": account}).encode(), {"Content-Type": "application/json"}
    request = Request(url, limit=64 * 1024, method="POST", headers=headers, body=body)
    try:
        answer = await fetch_configured(request, ACTIVATION)
    except ZosError as err:
        raise NotActivated(url=url, problem=err.facts.get("problem", err)) from None
    # 409: the account has money already.
    if answer.status not in (200, 409):
        raise NotActivated(url=url, problem=f"it answers {answer.status}")
