"""`python -m zos.zdb`: a 0-db server that stands alone."""

from __future__ import annotations

import argparse
import sys

from zos.runtime import program
from zos.zdb import command
from zos.zdb.service import serve


def main() -> int:
    """Serve until SIGTERM; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m zos.zdb", description="Serve 0-db namespaces from two folders.")
    command.add_options(parser)
    wanted = parser.parse_args()
    return program.main("zdb", lambda: serve(command.options(wanted), lambda text: print(text, flush=True)))  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
