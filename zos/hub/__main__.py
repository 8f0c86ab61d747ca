"""`python -m zos.hub --root DIR --listen ADDRESS:PORT`: the hub's HTTP server."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

from zos.hub.server import serve


def main(argv: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m zos.hub", description="Serves flists, blocks and deployments.")
    parser.add_argument("--root", type=Path, required=True, help="the folder to serve")
    parser.add_argument("--listen", default="127.0.0.1:8080", help="address:port")
    wanted = parser.parse_args(argv)
    host, _, port = wanted.listen.rpartition(":")
    if not host or not port.isdigit():
        parser.error(f"--listen must be address:port, not {wanted.listen}")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s hub: %(message)s", stream=sys.stderr)
    asyncio.run(_run(wanted.root, host.strip("[]"), int(port)))
    return 0


async def _run(root: Path, host: str, port: int) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    logging.getLogger("zos.hub").info("serving %s on %s:%d", root, host, port)
    await serve(root, host, port, stopping)


if __name__ == "__main__":
    sys.exit(main())
