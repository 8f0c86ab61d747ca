"""`zos gridproxy`: the REST and GraphQL API that grid clients query, fed by following the chain."""

from __future__ import annotations

import argparse
import os

from zos.cli.context import Context
from zos.cli.parsing import Parser
from zos.explorer import command


def define(parser: Parser) -> None:
    command.add_options(parser)
    parser.set_defaults(action=_gridproxy)


async def _gridproxy(arguments: argparse.Namespace, ctx: Context) -> None:
    key = str(ctx.key_file) if arguments.relay else ""
    wanted = command.settings(arguments.listen, arguments.database, ctx.chain().urls, os.environ, arguments.relay, key)
    ctx.out.note(f"serving http://{arguments.listen} and /graphql there; the chain is {', '.join(wanted.chain)}")
    # Only now: it brings the database's and GraphQL's libraries, which no other command needs.
    from zos.explorer import service

    await service.serve(wanted)
