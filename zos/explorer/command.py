"""The command line of the explorer, shared by `zos gridproxy` and `python -m zos.explorer`.

It imports little: `zos` reads it for every command, and the libraries behind the explorer take their time.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from zos.errors import Status, ZosError

DATABASE = "ZOS_GRIDPROXY_DATABASE"


@dataclass(frozen=True, slots=True)
class Settings:
    """What an explorer is started with."""

    chain: Sequence[str]
    """WebSocket URLs, tried in turn."""
    database: str = "~/.local/share/zos/gridproxy.sqlite"
    """A file, or a URL (postgresql://…)."""
    host: str = "127.0.0.1"
    port: int = 8080
    relay: str = ""
    """URL of the RMB relay by which nodes are asked for what the chain does not know; empty: they are not."""
    key: Path | None = None
    """File with the key of the explorer's own twin, for that."""


class BadOptions(ZosError):
    """Options that contradict each other or cannot be read."""

    reason = "explorer.bad_options"
    status = Status.INVALID_ARGUMENT
    text = "{problem}"
    hint = "see --help"


def add_options(parser: argparse.ArgumentParser) -> None:
    """What both commands take."""
    parser.add_argument("--listen", default="127.0.0.1:8080", metavar="ADDRESS:PORT", help="where to serve")
    parser.add_argument(
        "--database",
        default="",
        metavar="FILE|URL",
        help=f"a SQLite file, or postgresql://user@host/name (or {DATABASE}; default: {Settings([]).database})",
    )
    parser.add_argument("--relay", default="", metavar="URL", help="ask nodes through this RMB relay (with a key)")


def settings(
    listen: str, database: str, chain: Sequence[str], environ: Mapping[str, str], relay: str = "", key: str = ""
) -> Settings:
    """Checked settings. A password may come from the environment, never from the command line, which all can read."""
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise BadOptions(problem=f"--listen must be address:port, not {listen}")
    if _has_password(database):
        raise BadOptions(problem=f"a password must not be in --database; use PGPASSWORD, ~/.pgpass or {DATABASE}")
    chosen = database or environ.get(DATABASE, "") or Settings([]).database
    if relay and not key:
        raise BadOptions(problem="--relay needs a twin to ask as: name its key file with --key or ZOS_KEY")
    return Settings(tuple(chain), chosen, host.strip("[]"), int(port), relay, Path(key) if key else None)


def _has_password(url: str) -> bool:
    try:
        return bool(urlsplit(url).password)
    except ValueError:
        return False
