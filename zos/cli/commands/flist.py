"""`zos flist create`: a folder or tar as a flist with its blocks."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import Any

from zos import hub
from zos.cli.context import Context
from zos.cli.render import fields


def add(subparsers: Any, common: argparse.ArgumentParser) -> None:
    """The parser."""
    verbs = subparsers.add_parser("flist", help="file trees by hash").add_subparsers(required=True, metavar="VERB")
    create = verbs.add_parser("create", parents=[common], help="make one from a folder or a tar")
    create.add_argument("source", type=Path)
    create.add_argument("--out", type=Path, required=True, metavar="FILE.fl", help="below the hub's folder")
    create.add_argument("--root", type=Path, required=True, help="the hub's folder; blocks go there")
    create.add_argument("--url", required=True, help="the hub's URL, as nodes reach it")
    create.set_defaults(action=_create)


async def _create(arguments: argparse.Namespace, ctx: Context) -> None:
    with ctx.out.step(f"packing {arguments.source}"):
        built = await asyncio.to_thread(
            hub.build, arguments.source, arguments.out, root=arguments.root, url=arguments.url
        )
    body = {name: str(getattr(built, name)) for name in built.__slots__}
    ctx.out.result(body, fields(body))
