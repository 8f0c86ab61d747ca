"""The node's yggdrasil: a detached process of a user that may configure links and nothing else.

It runs in a folder of its own, where its control socket is. Its configuration, which holds the key, is root's and comes
by standard input. Found again by the socket, or by looking for the program.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pwd
import shutil
import stat
import time
from pathlib import Path
from typing import Any

from zos.networkd.api.errors import KernelRefused
from zos.networkd.host import nsthread, processes, rtnl
from zos.networkd.host.netlink import Netlink
from zos.networkd.model import PLANETARY_LINK
from zos.networkd.planetary import ADMIN, digest
from zos.runtime import proc, secret

PROGRAM = USER = "yggdrasil"
TUN = Path("/dev/net/tun")
IPV6 = Path("/proc/sys/net/ipv6/conf/all/disable_ipv6")
_START = 10.0
_ANSWER = 3.0
_LIMIT = 1 << 20
_LOG_LIMIT = 1 << 20
_EVERYBODY = stat.S_IROTH | stat.S_IWOTH
_CAPABILITY = "-all,+net_admin"
_DROPPED = [
    *("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--no-new-privs"),
    *(f"--inh-caps={_CAPABILITY}", f"--ambient-caps={_CAPABILITY}", f"--bounding-set={_CAPABILITY}"),
]
_RUN = ["sh", "-c", 'config=$1 && shift && exec "$@" < "$config"', "sh"]
# Its heap grows under load and is not given back; the limit makes the collector work before that.
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "GOMEMLIMIT": "64MiB"}


def problem() -> str:
    """What this machine lacks for yggdrasil; empty when nothing."""
    for program in (PROGRAM, "setpriv"):
        if shutil.which(program, path=_ENVIRONMENT["PATH"]) is None:
            return f"the program {program} is not installed"
    try:
        pwd.getpwnam(USER)
    except KeyError:
        return f"there is no user {USER}"
    if not IPV6.exists() or IPV6.read_text().strip() != "0":
        return "IPv6 is off"
    try:
        is_open = TUN.stat().st_mode & _EVERYBODY == _EVERYBODY
    except FileNotFoundError:
        return f"{TUN} is missing"
    return "" if is_open else f"{TUN} is root's alone (udev opens it to everybody)"


class Yggdrasil:
    """The process and its files below a folder of networkd's."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / PROGRAM
        self._config = folder / f"{PROGRAM}.json"
        self._log = folder / f"{PROGRAM}.log"

    @property
    def _socket(self) -> Path:
        return self._folder / ADMIN

    def pid(self) -> int:
        """The process; 0 when there is none."""
        if pid := processes.listener(self._socket):
            return pid
        # One that a person or the package's own unit started is not ours: it reads a file.
        return next((pid for pid, words in processes.running(PROGRAM).items() if "-useconf" in words), 0)

    def started_with(self) -> str:
        """The digest of the configuration of the process that runs."""
        try:
            return digest(self._config.read_text())
        except FileNotFoundError:
            return ""

    async def peers(self) -> frozenset[str] | None:
        """The connected peers; None when the process does not answer or its link is gone."""
        try:
            answer = await self._ask("getpeers")
        except (OSError, TimeoutError, ValueError, KernelRefused):
            return None
        if not await nsthread.run(_has_link):
            return None
        # 0.5 lists those that it only tries to reach as well, 0.4 does not.
        up = (peer for peer in answer.get("peers") or () if peer.get("up", True))
        return frozenset(str(peer.get("remote", "")) for peer in up)

    async def dial(self, uri: str) -> None:
        """Have yggdrasil connect to a peer now. Adding a known peer does nothing, so it is removed first."""
        with contextlib.suppress(KernelRefused):
            await self._ask("removepeer", uri=uri)
        await self._ask("addpeer", uri=uri)

    async def _ask(self, request: str, **arguments: str) -> dict[str, Any]:
        async with asyncio.timeout(_ANSWER):
            reader, writer = await asyncio.open_unix_connection(str(self._socket), limit=_LIMIT)
            try:
                writer.write(json.dumps({"request": request, "arguments": arguments}).encode())
                # It hangs up behind its answer.
                answer = json.loads(await reader.read())
            finally:
                writer.close()
        if answer.get("status") != "success":
            raise KernelRefused(action=f"{request} {' '.join(arguments.values())}", problem=answer.get("error", answer))
        return dict(answer.get("response") or {})

    async def start(self, config: str) -> None:
        """Start it, after ending the one that runs; returns when it answers and its link exists."""
        await self.stop()
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        user = pwd.getpwnam(USER)
        os.chown(self._folder, user.pw_uid, user.pw_gid)
        if self._log.exists() and self._log.stat().st_size > _LOG_LIMIT:
            self._log.unlink()
        said = self._log.stat().st_size if self._log.exists() else 0
        # No process runs now, so this file is always the configuration of the one that does.
        secret.write(self._config, config.encode())
        argv = [*_RUN, str(self._config), *_DROPPED, PROGRAM, "-useconf", "-loglevel", "error"]
        pid = await proc.spawn(argv, log=self._log, env=_ENVIRONMENT, cwd=self._folder)
        deadline = time.monotonic() + _START
        while await self.peers() is None:
            if time.monotonic() > deadline or not Path(f"/proc/{pid}").exists():
                raise KernelRefused(action="start yggdrasil", problem=self._last_words(said) or f"see {self._log}")
            await asyncio.sleep(0.02)

    def _last_words(self, since: int) -> str:
        """Why it ended; a Go program says so before a long trace."""
        lines = self._log.read_bytes()[since:].decode(errors="replace").splitlines()
        return next((line for line in lines if line.startswith(("panic", "fatal")) or "Failed" in line), "")

    async def stop(self) -> None:
        """End whatever runs; its link goes with it."""
        for _ in range(2):
            if pid := await processes.run(self.pid):
                await processes.run(lambda pid=pid: processes.end(pid, PROGRAM))  # type: ignore[misc]
        self._socket.unlink(missing_ok=True)
        self._config.unlink(missing_ok=True)


def _has_link() -> bool:
    with Netlink() as nl:
        link = rtnl.device(nl, PLANETARY_LINK)
    # Something else of its name is what the process is about to end at.
    return link is not None and link.kind == "tun"
