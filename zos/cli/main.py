"""`zos`: finds the commands, reads the line, runs one, and says what went wrong in one sentence and a hint."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import os
import pkgutil
import sys
from collections.abc import Sequence
from pathlib import Path

from zos.cli import commands
from zos.cli.context import STATE_DEFAULT, Context
from zos.cli.exits import Exit, code_of
from zos.cli.out import Out
from zos.errors import ZosError

KEY_DEFAULT = "~/.config/zos/user.key"


def parser() -> argparse.ArgumentParser:
    """The whole command line. Each module of `commands` adds its own."""
    common = argparse.ArgumentParser(add_help=False)
    # SUPPRESS: given before the command's name, an option must not be overwritten by the default behind it.
    common.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="answer in JSON")
    common.add_argument("--chain", metavar="URL", default=argparse.SUPPRESS, help="the chain (or ZOS_CHAIN)")
    common.add_argument("--key", metavar="FILE", default=argparse.SUPPRESS, help="your key file (or ZOS_KEY)")
    common.add_argument(
        "--state",
        metavar="DIR",
        default=argparse.SUPPRESS,
        help="your records (or ZOS_STATE; else with the lab, or " + STATE_DEFAULT + ")",
    )
    top = argparse.ArgumentParser(prog="zos", description="The grid, from your side.", parents=[common])
    subparsers = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for module in pkgutil.iter_modules(commands.__path__):
        importlib.import_module(f"{commands.__name__}.{module.name}").add(subparsers, common)
    return top


def context(arguments: argparse.Namespace) -> Context:
    """What the options before and behind the command say, or the environment."""
    environ = os.environ
    return Context(
        out=Out(getattr(arguments, "json", False)),
        chain_url=getattr(arguments, "chain", "") or environ.get("ZOS_CHAIN", ""),
        key_file=Path(getattr(arguments, "key", "") or environ.get("ZOS_KEY", "") or KEY_DEFAULT).expanduser(),
        state_given=getattr(arguments, "state", "") or environ.get("ZOS_STATE", ""),
    )


def main(argv: Sequence[str] | None = None) -> None:
    """The console script."""
    arguments = parser().parse_args(argv)
    sys.exit(run(arguments, context(arguments)))


def run(arguments: argparse.Namespace, ctx: Context) -> int:
    """Run the chosen command; returns the exit code."""
    try:
        return asyncio.run(acted(arguments, ctx))
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK


async def acted(arguments: argparse.Namespace, ctx: Context) -> int:
    """Do it; what is refused is said with the next move, and becomes the exit code."""
    try:
        async with ctx:
            answer: int | None = await arguments.action(arguments, ctx)
            return int(answer or Exit.OK)
    except ZosError as err:
        ctx.out.note(f"zos: {err.explain()}")
        if hint := err.advice():
            ctx.out.note(f"     {hint}")
        return code_of(err.status)


if __name__ == "__main__":
    main()
