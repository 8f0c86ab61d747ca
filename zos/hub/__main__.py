"""`python -m zos.hub --root DIR --listen ADDRESS:PORT`: the hub's HTTP server."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from zos.hub.server import serve
from zos.runtime import program


def main(argv: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m zos.hub", description="Serves flists, blocks and deployments.")
    parser.add_argument("--root", type=Path, required=True, help="the folder to serve")
    parser.add_argument("--listen", default="127.0.0.1:8080", help="address:port")
    wanted = parser.parse_args(argv)
    host, _, port = wanted.listen.rpartition(":")
    if not host or not port.isdigit():
        parser.error(f"--listen must be address:port, not {wanted.listen}")
    return program.main("hub", lambda: _run(wanted.root, host.strip("[]"), int(port)))


async def _run(root: Path, host: str, port: int) -> None:
    async with program.stop_signals() as stopping:
        logging.getLogger("zos.hub").info("serving %s on %s:%d", root, host, port)
        await serve(root, host, port, stopping)


if __name__ == "__main__":
    sys.exit(main())
