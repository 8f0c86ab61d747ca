"""`zos zdb`: a 0-db server that stands alone."""

from __future__ import annotations

import argparse

from zos.cli.context import Context
from zos.cli.parsing import Parser, subcommands
from zos.zdb import command


def define(parser: Parser) -> None:
    command.add_options(subcommands(parser)("serve", "serve namespaces until you press Ctrl-C", _serve))


async def _serve(arguments: argparse.Namespace, ctx: Context) -> None:
    from zos.zdb import service

    await service.serve(command.options(arguments), ctx.out.note)
