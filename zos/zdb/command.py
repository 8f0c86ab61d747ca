"""The options of `zos zdb serve` and `python -m zos.zdb`. It imports little: `zos` reads it for its help."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from zos.errors import Status, ZosError

MODES = {"user": False, "seq": True, "direct": True}
"""Whether a mode is sequential; `direct` is an older word for it."""
DATA_SIZE = 256 << 20
LEAST_DATA_SIZE, MOST_DATA_SIZE = 512 << 10, (1 << 32) - 1
"""Of one data file; offsets in it have 32 bits."""


class BadOptions(ZosError):
    """The command line cannot be meant so."""

    reason = "zdb.bad_options"
    status = Status.INVALID_ARGUMENT
    text = "{problem}"
    hint = "see --help"


@dataclass(frozen=True, slots=True)
class Options:
    """What a server is started with."""

    data: Path
    index: Path
    listen: str
    port: int
    socket: Path | None
    is_sequential: bool | None
    """None: each namespace chooses."""
    admin: bytes
    sync: bool
    data_size: int
    hook: str
    is_protected: bool


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options, those of 0-db where it has them."""
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of the data files")
    parser.add_argument("--index", type=Path, required=True, metavar="DIR", help="folder of the index files")
    parser.add_argument("--listen", default="127.0.0.1", metavar="ADDRESS", help="where to listen (%(default)s)")
    parser.add_argument("--port", type=int, default=9900, help="0 takes a free one (%(default)s)")
    parser.add_argument("--socket", type=Path, metavar="PATH", help="listen on this unix socket too")
    parser.add_argument("--mode", choices=sorted(MODES), help="of all namespaces (else each chooses)")
    parser.add_argument("--admin", default="", metavar="PASSWORD", help="without one everybody is administrator")
    parser.add_argument("--admin-file", type=Path, metavar="FILE", help="a file that holds that password")
    parser.add_argument("--no-sync", dest="sync", action="store_false", help="acknowledge before the disk has it")
    parser.add_argument("--sync", action="store_true", help="acknowledge when the disk has it (the default)")
    parser.add_argument("--datasize", type=int, default=DATA_SIZE, metavar="BYTES", help="of a data file (%(default)s)")
    parser.add_argument("--hook", default="", metavar="PROGRAM", help="a program that is told of events")
    parser.add_argument("--protect", action="store_true", help="only the administrator writes to `default`")
    parser.set_defaults(sync=True)


def options(wanted: argparse.Namespace) -> Options:
    """The database's options out of its command line. Raises BadOptions."""
    if not LEAST_DATA_SIZE <= wanted.datasize <= MOST_DATA_SIZE:
        raise BadOptions(problem=f"--datasize {wanted.datasize} is outside {LEAST_DATA_SIZE}..{MOST_DATA_SIZE}")
    try:
        admin = wanted.admin_file.read_bytes().strip() if wanted.admin_file else wanted.admin.encode()
    except OSError as err:
        raise BadOptions(problem=f"--admin-file {wanted.admin_file}: {err.strerror}") from None
    return Options(
        data=wanted.data,
        index=wanted.index,
        listen=wanted.listen,
        port=wanted.port,
        socket=wanted.socket,
        is_sequential=MODES.get(wanted.mode),
        admin=admin,
        sync=wanted.sync,
        data_size=wanted.datasize,
        hook=wanted.hook,
        is_protected=wanted.protect,
    )
