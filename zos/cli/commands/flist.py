"""`zos flist create`: a folder or tar as a flist with its blocks."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from zos import hub
from zos.cli.context import Context
from zos.cli.parsing import Parser, subcommands
from zos.cli.render import fields
from zos.runtime import threads


def define(parser: Parser) -> None:
    create = subcommands(parser)("create", "pack a folder or a tar", _create)
    create.add_argument("source", type=Path, help="the folder or tar")
    create.add_argument(
        "--out", type=Path, required=True, metavar="FILE.fl", help="the flist to write, below the hub's folder"
    )
    create.add_argument("--root", type=Path, required=True, metavar="DIR", help="the hub's folder, for the blocks")
    create.add_argument("--url", required=True, metavar="URL", help="the hub's URL, as nodes reach it")


async def _create(arguments: argparse.Namespace, ctx: Context) -> None:
    with ctx.out.step(f"packing {arguments.source}"):
        work = partial(hub.build, arguments.source, arguments.out, root=arguments.root, url=arguments.url)
        # As long as the tree is large; whoever waits may end it.
        built = await threads.run(f"pack {arguments.source}", work, None)
    body = {name: str(getattr(built, name)) for name in built.__slots__}
    ctx.out.result(body, fields(body))
