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
from collections.abc import Iterator

from zos.bus.client import Bus
from zos.cli.context import Context
from zos.cli.parsing import Parser, whole
from zos.model.names import workload_id
from zos.vmd.api import VmdClient
from zos.vmd.api.types import MachineId

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


async def _machine(ctx: Context, contract: int, name: str) -> tuple[Bus, MachineId]:
    _, bus, found = await ctx.deployment(contract)
    return bus, MachineId(workload_id(found["twin_id"], contract, name))


async def _logs(arguments: argparse.Namespace, ctx: Context) -> None:
    bus, id = await _machine(ctx, arguments.contract, arguments.machine)
    vmd = VmdClient(bus)
    if not arguments.follow:
        text = (await vmd.read_console(id, arguments.bytes)).decode(errors="replace")
        ctx.out.result({"console": text}, text.rstrip())
        return
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    async for data in vmd.watch_console(id, arguments.bytes):
        ctx.out.part(decoder.decode(data))


async def _console(arguments: argparse.Namespace, ctx: Context) -> None:
    bus, id = await _machine(ctx, arguments.contract, arguments.machine)
    vmd = VmdClient(bus)
    loop, typed = asyncio.get_running_loop(), asyncio.Queue[bytes]()
    with _raw():
        loop.add_reader(sys.stdin.fileno(), lambda: typed.put_nowait(os.read(sys.stdin.fileno(), 1024)))
        showing = asyncio.create_task(_show(vmd, id))
        try:
            while data := await typed.get():
                if QUIT in data:
                    break
                await vmd.send_console(id, data)
        finally:
            loop.remove_reader(sys.stdin.fileno())
            showing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await showing


async def _show(vmd: VmdClient, id: MachineId) -> None:
    async for data in vmd.watch_console(id):
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
