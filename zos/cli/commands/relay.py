"""`zos relay`: carries RMB messages between the twins of a lab or a private farm."""

from __future__ import annotations

import argparse

from zos.cli.context import Context
from zos.cli.parsing import Parser
from zos.relay import command


def define(parser: Parser) -> None:
    command.add_options(parser)
    parser.set_defaults(action=_relay)


async def _relay(arguments: argparse.Namespace, ctx: Context) -> None:
    wanted = command.settings(ctx.chain().urls, arguments)
    ctx.out.note(f"serving {arguments.listen}; twins name it {wanted.domain}; the chain is {', '.join(wanted.chain)}")
    # Only now: it brings the web server's libraries, which most commands do not need.
    from zos.relay import service

    await service.serve(wanted)
