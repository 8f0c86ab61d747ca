"""`python -m zos.relay --chain URL --listen ADDRESS:PORT --domain NAME`: the relay as a process."""

from __future__ import annotations

import argparse
import asyncio
import sys

from zos.errors import ZosError
from zos.relay import command, service
from zos.runtime.daemon import set_up_journal


def main(argv: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m zos.relay", description="Carries RMB messages between twins.")
    parser.add_argument("--chain", required=True, metavar="URL", help="where twins are looked up; several with commas")
    command.add_options(parser)
    wanted = parser.parse_args(argv)
    set_up_journal("relay", False)
    try:
        asyncio.run(service.serve(command.settings(wanted.chain.split(","), wanted)))
    except ZosError as err:
        sys.stderr.write(f"{err.explain()}\n{err.advice()}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
