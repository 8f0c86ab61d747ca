"""`python -m zos.explorer --chain URL --listen ADDRESS:PORT --database FILE|URL`: the grid's proxy as a process."""

from __future__ import annotations

import argparse
import os
import sys

from zos.explorer import command, service
from zos.runtime import program


def main(argv: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m zos.explorer", description="The grid's proxy: REST and GraphQL")
    parser.add_argument("--chain", required=True, metavar="URL", help="the chain; several with commas")
    command.add_options(parser)
    parser.add_argument("--key", default="", metavar="FILE", help="the key of the twin that asks (or ZOS_KEY)")
    wanted = parser.parse_args(argv)
    key = wanted.key or os.environ.get("ZOS_KEY", "")
    chain = wanted.chain.split(",")

    async def serve() -> None:
        await service.serve(command.settings(wanted.listen, wanted.database, chain, os.environ, wanted.relay, key))

    return program.main("gridproxy", serve)


if __name__ == "__main__":
    sys.exit(main())
