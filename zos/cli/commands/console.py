"""`zos logs` and `zos console`: read a machine's serial console, and type on it."""

from __future__ import annotations

import argparse
import asyncio
import codecs
import contextlib
import os
import sys
import termios
import tty
from collections.abc import AsyncIterator, Iterator

from zos.cli.client.nodes import NodeAccess
from zos.cli.context import Context
from zos.cli.parsing import Parser, whole
from zos.vmd.api.client import PAST

QUIT = b"\x1d"
"""Ctrl-]"""


def define_console(parser: Parser) -> None:
    parser.add_argument("contract", type=whole)
    parser.add_argument("machine", help="its name")
    parser.set_defaults(action=_console)


def define_logs(parser: Parser) -> None:
    define_console(parser)
    parser.add_argument("--follow", "-f", action="store_true", help="go on as the machine writes more")
    parser.add_argument("--bytes", type=whole, default=65536, help="how much of the past (default: %(default)s)")
    parser.set_defaults(action=_logs)


async def _machine(ctx: Context, contract: int, name: str) -> tuple[NodeAccess, tuple[int, int, str]]:
    """The node, and what names the machine there."""
    node, found = await ctx.deployment(contract)
    return node, (int(found["twin_id"]), contract, name)


async def _logs(arguments: argparse.Namespace, ctx: Context) -> None:
    node, machine = await _machine(ctx, arguments.contract, arguments.machine)
    if not arguments.follow:
        text = (await node.logs(*machine, arguments.bytes)).decode(errors="replace")
        ctx.out.result({"console": text}, text.rstrip())
        return
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    async for data in node.console(*machine, arguments.bytes):
        ctx.out.part(decoder.decode(data))


async def _console(arguments: argparse.Namespace, ctx: Context) -> None:
    node, machine = await _machine(ctx, arguments.contract, arguments.machine)
    loop, typed = asyncio.get_running_loop(), asyncio.Queue[bytes]()
    with _raw():
        loop.add_reader(sys.stdin.fileno(), lambda: typed.put_nowait(os.read(sys.stdin.fileno(), 1024)))
        showing = asyncio.create_task(_show(node.console(*machine, PAST)))
        try:
            while data := await typed.get():
                if QUIT in data:
                    break
                await node.type(*machine, data)
        finally:
            loop.remove_reader(sys.stdin.fileno())
            showing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await showing


async def _show(pieces: AsyncIterator[bytes]) -> None:
    async for data in pieces:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


@contextlib.contextmanager
def _raw() -> Iterator[None]:
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setraw(sys.stdin)
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
