"""The devchain as a process: `python -m zos.devchain --listen ADDRESS:PORT --data FOLDER --block-time SECONDS`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from pathlib import Path

from zos.devchain import legacy
from zos.devchain.genesis import Genesis
from zos.devchain.node import Node
from zos.devchain.server import serving
from zos.runtime import program
from zos.runtime.notify import notify


def main() -> int:
    """Runs a chain until SIGTERM; answers the exit code."""
    parser = argparse.ArgumentParser(prog="zos.devchain", description="TFChain in small, for labs and tests")
    parser.add_argument("--listen", default="127.0.0.1:9944", metavar="ADDRESS:PORT")
    parser.add_argument("--data", type=Path, help="folder that keeps the chain (default: memory only)")
    parser.add_argument("--block-time", type=float, default=6.0, metavar="SECONDS")
    parser.add_argument("--finality-lag", type=int, default=0, metavar="BLOCKS")
    parser.add_argument("--genesis", type=Path, help="JSON file: fields of zos.devchain.genesis.Genesis")
    parser.add_argument("--generation", default=legacy.NAMES[0], choices=legacy.NAMES, help="which TFChain it plays")
    wanted = parser.parse_args()
    return program.main("devchain", lambda: _run(wanted))


async def _run(wanted: argparse.Namespace) -> None:
    start = Genesis.of_file(wanted.genesis) if wanted.genesis else Genesis()
    node = Node(start, wanted.data, wanted.finality_lag, legacy.generation(wanted.generation))
    host, _, port = wanted.listen.rpartition(":")
    async with program.stop_signals() as stopping, serving(node, host, int(port)):
        ticking = asyncio.create_task(node.run(wanted.block_time))
        notify("READY=1")
        stopped = asyncio.create_task(stopping.wait())
        await asyncio.wait({ticking, stopped}, return_when=asyncio.FIRST_COMPLETED)
        ticking.cancel()
        stopped.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await ticking
    node.close()


if __name__ == "__main__":
    sys.exit(main())
