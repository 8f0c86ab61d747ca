"""`zos devchain`: time, money and faults of the embedded chain, and what its farmers earn."""

from __future__ import annotations

import argparse
import asyncio
import csv
import io
import re
from typing import Any

from zos.cli.context import Context
from zos.cli.parsing import Parser, amount, subcommands
from zos.cli.render import fields, table
from zos.devchain.minting import LENGTH, Period
from zos.errors import Status, ZosError
from zos.substrate import address, public_key

DAY = 86_400
PATIENCE = 100
"""Tenths of a second for which what was given is waited for: the chain may be stalled on purpose."""
HEX = re.compile(r"(0x)?[0-9a-f]{64}")
TOKEN = 10**7
SLOW = 600.0
"""Seconds for an answer: a day of virtual time, or a month of reports, takes a while."""
COLUMNS = (
    "node",
    "farm",
    "policy",
    "certification",
    "uptime",
    "permille",
    "cu",
    "su",
    "nu",
    "ip_seconds",
    "violation",
    "full_musd",
    "reward_musd",
    "carbon_musd",
    "price",
    "units",
)


class NoSuchMonth(ZosError):
    """The period cannot be understood."""

    reason = "cli.no_such_month"
    status = Status.INVALID_ARGUMENT
    text = "`{month}` is not a period"
    hint = "give now, last, YYYY-MM or a period's number"


class NotADevchain(ZosError):
    """The chain lacks the methods that only the embedded one has."""

    reason = "cli.not_a_devchain"
    status = Status.FAILED_PRECONDITION
    text = "the chain cannot do this: {problem}"
    hint = "only the chain of a lab and `python -m zos.devchain` can; --chain or ZOS_CHAIN names another"


def define(parser: Parser) -> None:
    add = subcommands(parser)
    advance = add("advance", "let virtual time pass", _advance)
    advance.add_argument("--days", type=amount, default=0.0, metavar="N")
    advance.add_argument("--hours", type=amount, default=0.0, metavar="N")
    advance.add_argument("--minutes", type=amount, default=0.0, metavar="N")
    advance.add_argument("--heartbeats", action="store_true", help="nodes that are awake report uptime meanwhile")
    misbehave = add("misbehave", "make the chain do something wrong", _misbehave)
    misbehave.add_argument("what", choices=("stall", "unfinal", "lag", "empty", "delay", "fork", "genesis", "behave"))
    misbehave.add_argument(
        "amount", type=amount, nargs="?", default=1.0, help="seconds of delay, blocks of a lag or a fork"
    )
    fund = add("fund", "give an account new TFT", _fund)
    fund.add_argument("account", nargs="?", default="", help="address, or public key in hex (default: yours)")
    fund.add_argument("tft", type=amount)
    mint = add("mint", "what farmers earn in a period, and why", _mint)
    mint.add_argument("--month", default="now", help="now, last, YYYY-MM, or a period's number (default: now)")
    mint.add_argument("--csv", action="store_true", help="answer in CSV")


async def _ask(ctx: Context, method: str, *arguments: Any) -> Any:
    chain = ctx.chain()
    known = (await chain.rpc("rpc_methods"))["methods"]
    if method not in known:
        raise NotADevchain(problem=f"it has no {method}")
    return await chain.rpc(method, *arguments, deadline=SLOW)


async def _head(ctx: Context) -> dict[str, int]:
    chain = ctx.chain()
    number = int((await chain.rpc("chain_getHeader"))["number"], 16)
    return {"block": number, "time": int(await chain.query("Timestamp", "Now") or 0) // 1000}


async def _advance(arguments: argparse.Namespace, ctx: Context) -> None:
    left = arguments.days * DAY + arguments.hours * 3600 + arguments.minutes * 60
    before = await _head(ctx)
    with ctx.out.step("letting time pass") as step:
        while left > 0:
            part = min(left, DAY)
            await _ask(ctx, "dev_advance", part, arguments.heartbeats)
            left -= part
            step.at(f"{left / DAY:.1f} days left")
    after = await _head(ctx)
    passed = {"blocks": after["block"] - before["block"], "seconds": after["time"] - before["time"], **after}
    ctx.out.result(passed, fields(passed))


async def _misbehave(arguments: argparse.Namespace, ctx: Context) -> None:
    what, amount = arguments.what, arguments.amount
    if what == "fork":
        gone = int(await _ask(ctx, "dev_reorganise", int(amount)))
        ctx.out.result({"taken_back": gone}, f"{gone} blocks that were not final are taken back")
        return
    words: dict[str, dict[str, Any]] = {
        "stall": {"stalled": True},
        "lag": {"lag": int(amount)},
        "delay": {"delay": amount},
        "genesis": {"wrong_genesis": True},
        "behave": {"stalled": False, "unfinal": False, "empty": False, "delay": 0.0, "lag": 0, "wrong_genesis": False},
    }
    wanted = words.get(what, {what: True})
    now = await _ask(ctx, "dev_misbehave", wanted)
    ctx.out.result(now, fields(now))


async def _fund(arguments: argparse.Namespace, ctx: Context) -> None:
    units, account = round(arguments.tft * TOKEN), arguments.account or address(ctx.key().public)
    before = await _free(ctx, account)
    await _ask(ctx, "dev_fund", account, units)
    for _ in range(PATIENCE):
        if await _free(ctx, account) > before:
            break
        await asyncio.sleep(0.1)
    ctx.out.result({"units": units}, f"{account} has {await _free(ctx, account) / TOKEN:g} TFT")


async def _free(ctx: Context, account: str) -> int:
    key = bytes.fromhex(account.removeprefix("0x")) if HEX.fullmatch(account) else public_key(account)
    found = await ctx.chain().query("System", "Account", key)
    return int(found["data"]["free"]) if found else 0


def period(month: str, now: int) -> Period:
    """The period that a word means, as seen at a time."""
    if month == "now":
        return Period(now - LENGTH)
    if month == "last":
        return Period.of(now - LENGTH)
    if found := re.fullmatch(r"(\d{4})-(\d{2})", month):
        year, number = int(found[1]), int(found[2])
        if year and 1 <= number <= 12:
            return Period.of_month(year, number)
    elif re.fullmatch(r"\d{1,4}", month):
        return Period.numbered(int(month))
    raise NoSuchMonth(month=month)


async def _mint(arguments: argparse.Namespace, ctx: Context) -> None:
    wanted = period(arguments.month, (await _head(ctx))["time"])
    found = await _ask(ctx, "dev_mint", wanted.start, wanted.length)
    if arguments.csv:
        ctx.out.text(_csv(found["nodes"]))
        return
    headers = ("node", "farm", "uptime", "CU", "SU", "NU", "IP h", "mUSD", "carbon", "TFT", "violation")
    total = sum(one["units"] for one in found["nodes"]) / TOKEN
    text = table(headers, [_row(one) for one in found["nodes"]])
    ctx.out.result(found, f"period {found['number']}\n{text}\n{total:.7f} TFT in all")


def _row(one: dict[str, Any]) -> list[str | int | float | None]:
    return [
        one["node"],
        one["farm"],
        f"{one['permille'] / 10:.1f} %",
        *(one[name] / 10**6 for name in ("cu", "su", "nu")),
        one["ip_seconds"] / 3600,
        one["reward_musd"],
        -one["carbon_musd"],
        one["units"] / TOKEN,
        one["violation"] or None,
    ]


def _csv(nodes: list[dict[str, Any]]) -> str:
    """A line per node; amounts as whole numbers, so that nothing is lost in a spreadsheet."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(nodes)
    return out.getvalue().rstrip("\n")
