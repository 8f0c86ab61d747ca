"""A PostgreSQL server of the tests' own: in a temporary folder, on a unix socket, as a user without rights."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

UP_WITHIN = 30.0
FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "listen_addresses=", "shared_buffers=64MB")


class NoServer(Exception):
    """PostgreSQL's programs are not on this machine, or it does not start."""


@dataclass(frozen=True, slots=True)
class Postgres:
    folder: Path
    _numbers: Iterator[int] = field(default_factory=count)

    def url(self, name: str) -> str:
        return f"postgresql+psycopg://zos@/{name}?host={self.folder}"

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """The URL of a database of its own, gone afterwards."""
        name = f"grid{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        try:
            yield self.url(name)
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def execute(self, statement: str) -> None:
        engine = create_engine(self.url("postgres"), isolation_level="AUTOCOMMIT")
        try:
            with engine.connect() as db:
                db.execute(text(statement))
        finally:
            engine.dispose()


def programs() -> Path:
    """Where PostgreSQL's programs are: Debian keeps them out of PATH, by version."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not folders:
        raise NoServer("PostgreSQL is not installed (apt install postgresql)")
    return folders[-1]


@contextlib.contextmanager
def server() -> Iterator[Postgres]:
    """A server until the block ends; nothing of it stays. Raises NoServer."""
    bin = programs()
    _sweep()
    folder = Path(tempfile.mkdtemp(prefix="zos-postgres-", dir="/tmp"))
    # It ends with the tests, even when these are killed.
    as_nobody = ["setpriv", "--pdeathsig", "INT"]
    if os.geteuid() == 0:
        user = pwd.getpwnam("nobody")
        os.chown(folder, user.pw_uid, user.pw_gid)
        as_nobody += [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--no-new-privs"]
    data = folder / "data"
    made = [str(bin / "initdb"), "-D", str(data), "-U", "zos", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N"]
    started = [str(bin / "postgres"), "-D", str(data), "-k", str(folder)]
    started += [word for one in FAST for word in ("-c", one)]
    environ = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    try:
        with (folder / "log").open("wb") as log:
            done = subprocess.run(
                [*as_nobody, *made], stdout=log, stderr=log, cwd=folder, env=environ, timeout=60, check=False
            )
            if done.returncode:
                raise NoServer((folder / "log").read_text())
            process = subprocess.Popen([*as_nobody, *started], stdout=log, stderr=log, cwd=folder, env=environ)
        try:
            postgres = Postgres(folder)
            _wait(postgres, process)
            yield postgres
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(20)
    finally:
        shutil.rmtree(folder)


def _sweep() -> None:
    """Remove what tests that were killed left behind: their servers ended with them, which takes the pid file away."""
    for folder in Path("/tmp").glob("zos-postgres-*"):
        with contextlib.suppress(FileNotFoundError, PermissionError):
            is_old = time.time() - folder.stat().st_mtime > 10 * UP_WITHIN
            if is_old and not (folder / "data" / "postmaster.pid").exists():
                shutil.rmtree(folder)


def _wait(postgres: Postgres, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + UP_WITHIN
    while True:
        try:
            return postgres.execute("SELECT 1")
        except OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise NoServer((postgres.folder / "log").read_text()) from None
            time.sleep(0.05)
