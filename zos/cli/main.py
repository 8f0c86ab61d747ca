"""`zos`: reads the line, runs one command, and says what went wrong in one sentence and a hint."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zos.cli.commands import COMMANDS, GROUPS, Command
from zos.cli.exits import Exit, code_of
from zos.cli.out import Out
from zos.cli.parsing import KEY_DEFAULT, Parser, common, sentence
from zos.errors import Status, ZosError

if TYPE_CHECKING:
    from zos.cli.context import Context


class NeedsExtra(ZosError):
    """A library is missing that this command needs and others do not."""

    reason = "cli.needs_extra"
    status = Status.FAILED_PRECONDITION
    text = "zos {command} needs the library {library}, which is not installed"
    hint = "pip install '{package}'"


class BadFile(ZosError):
    """A file that the user named cannot be used."""

    reason = "cli.bad_file"
    status = Status.FAILED_PRECONDITION
    text = "{path}: {problem}"


def overview() -> str:
    """All commands, in groups, and the first steps."""
    width = max(map(len, COMMANDS))
    lines = ["Run machines, disks and networks on a decentralised grid, or try it all in a lab on this machine."]
    for title, group in GROUPS.items():
        lines += ["", f"{title}:", *(f"  zos {command.name.ljust(width)}  {command.help}" for command in group)]
    start = "zos key new ~/.config/zos/user.key, zos twin create, zos deploy FILE.yaml"
    return "\n".join([*lines, "", f"First steps: {start}", "More on one: zos COMMAND --help"])


def parser(line: Sequence[str] | None = None) -> Parser:
    """The parser of a command line. Only the commands that occur in it are defined; `None` defines all."""
    shared = common()
    top = Parser(
        prog="zos",
        usage="zos COMMAND [OPTION ...]",
        description=overview(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[shared],
    )
    below = top.add_subparsers(dest="command", metavar="COMMAND", prog="zos", help=argparse.SUPPRESS)
    for name, command in COMMANDS.items():
        own = below.add_parser(name, parents=[shared], help=command.help, description=sentence(command.help))
        if line is None or name in line:
            command.define(own)
    return top


def context(arguments: argparse.Namespace) -> Context:
    """The context that the options describe, or the environment."""
    from zos.cli.context import Context

    environ = os.environ
    key = str(getattr(arguments, "key", "") or environ.get("ZOS_KEY", ""))
    return Context(
        out=Out(getattr(arguments, "json", False)),
        chain_url=getattr(arguments, "chain", "") or environ.get("ZOS_CHAIN", ""),
        key_file=Path(key or KEY_DEFAULT).expanduser(),
        key_given=bool(key),
        state_given=str(getattr(arguments, "state", "") or environ.get("ZOS_STATE", "")),
        lab_name=environ.get("ZOS_LAB", ""),
        by_rmb=getattr(arguments, "rmb", False),
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Runs one command of `zos` and exits with its code."""
    line = sys.argv[1:] if argv is None else argv
    try:
        arguments = parser(line).parse_args(line)
        if arguments.command is None:
            print(overview())
            sys.exit(Exit.USAGE)
        sys.exit(run(arguments, context(arguments)))
    except ModuleNotFoundError as err:
        command = next((COMMANDS[word] for word in line if word in COMMANDS), None)
        if command is None or not is_extra(err):
            raise
        sys.exit(report(Out(), needs(command, err)))


def is_extra(err: ModuleNotFoundError) -> bool:
    """Whether the missing library is not ours."""
    return bool(err.name) and not str(err.name).startswith("zos")


def needs(command: Command, err: ModuleNotFoundError) -> NeedsExtra:
    """What to install for a command."""
    package = f"zos[{command.extra}]" if command.extra else "zos"
    return NeedsExtra(command=command.name, library=err.name, package=package)


def run(arguments: argparse.Namespace, ctx: Context) -> int:
    """Run the chosen command; returns the exit code."""
    import asyncio  # a third of the time that `zos --help` would take

    try:
        return asyncio.run(perform(arguments, ctx))
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK


async def perform(arguments: argparse.Namespace, ctx: Context) -> int:
    """Run the action; an error is reported with what to do next, and becomes the exit code."""
    try:
        async with ctx:
            answer: int | None = await arguments.action(arguments, ctx)
            return int(answer or Exit.OK)
    except ZosError as err:
        return report(ctx.out, err)
    except OSError as err:
        if err.filename is None:
            raise
        return report(ctx.out, BadFile(path=err.filename, problem=err.strerror))


def report(out: Out, err: ZosError) -> int:
    """Tell an error; returns its exit code."""
    out.note(f"zos: {err.explain()}")
    if hint := err.advice():
        out.note(f"     {hint}")
    return code_of(err.status)


if __name__ == "__main__":
    main()
