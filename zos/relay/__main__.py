"""`python -m zos.relay --chain URL --listen ADDRESS:PORT --domain NAME`: the relay as a process."""

from __future__ import annotations

import argparse
import sys

from zos.relay import command, service
from zos.runtime import program


def main(argv: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m zos.relay", description="Carries RMB messages between twins.")
    parser.add_argument("--chain", required=True, metavar="URL", help="where twins are looked up; several with commas")
    command.add_options(parser)
    wanted = parser.parse_args(argv)

    async def serve() -> None:
        await service.serve(command.settings(wanted.chain.split(","), wanted))

    return program.main("relay", serve)


if __name__ == "__main__":
    sys.exit(main())
