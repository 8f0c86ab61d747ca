"""Throw-away nodes: a set of namespaces (network, mount, PID, UTS) with a private /run, joined by veth.

Everything that a test does to a network happens inside one; ending its first process ends all of it. Nothing touches
the machine's own network namespace.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from zos.bus import Bus

Seen = TypeVar("Seen")

ROOT = Path(__file__).resolve().parents[2]
DEADLINE = 15.0

# A shell that waits reaps whatever was left to it, as an init must.
_INIT = """
mount --make-rshared /
mount -t tmpfs tmpfs /run && mkdir -p /run/netns /run/zos
ip link set lo up
mount -t tmpfs -o mode=755 tmpfs /dev/net && mknod -m 666 /dev/net/tun c 10 200
hostname "$1"
echo ready
while :; do sleep 3600; done
"""

_ECHO = """
import socketserver, sys
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(65536):
            self.request.sendall(data)
socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer(("", int(sys.argv[1])), Echo).serve_forever()
"""
_TALK = """
import socket, sys
size = int(sys.argv[3])
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 2) as link:
    link.settimeout(5)
    left = size
    while left:
        link.sendall(bytes(min(left, 20000)))
        got = 0
        while got < min(left, 20000):
            got += len(link.recv(65536)) or sys.exit(1)
        left -= min(left, 20000)
"""


@dataclass
class Node:
    """One set of namespaces."""

    name: str
    pid: int
    """Its first process, as the machine counts."""
    folder: Path
    """Short, since sockets live below; seen from inside and outside."""
    daemons: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def run_dir(self) -> Path:
        """Folder of the daemons' sockets."""
        return self.folder / "run"

    def bus(self) -> Bus:
        return Bus(self.run_dir)

    def enter(self, *argv: str) -> list[str]:
        """The command that runs another inside."""
        # `-r -w`: a mount namespace alone would lead to its own root, which is not ours when the tests run in a chroot.
        return ["nsenter", "-t", str(self.pid), "-n", "-m", "-p", "-u", "-r", "-w", "--", *argv]

    def sh(self, text: str, *, check: bool = True, deadline: float = DEADLINE, namespace: str = "") -> str:
        """Run a shell line inside, or inside a named namespace of the node; returns its output."""
        argv = self.enter("sh", "-c", text)
        if namespace:
            argv = self.enter("nsenter", f"--net=/run/netns/{namespace}", "sh", "-c", text)
        done = subprocess.run(argv, capture_output=True, text=True, timeout=deadline, check=False)
        if check and done.returncode != 0:
            raise AssertionError(f"{self.name}: `{text}` ended with {done.returncode}: {done.stderr or done.stdout}")
        return done.stdout

    def ok(self, text: str, *, namespace: str = "", deadline: float = DEADLINE) -> bool:
        """Whether a shell line succeeds inside."""
        argv = self.enter("sh", "-c", text)
        if namespace:
            argv = self.enter("nsenter", f"--net=/run/netns/{namespace}", "sh", "-c", text)
        return subprocess.run(argv, capture_output=True, timeout=deadline, check=False).returncode == 0

    def start(self, *argv: str, log: str = "log") -> subprocess.Popen[bytes]:
        """Start a program inside, its output appended to a file in the node's folder."""
        with (self.folder / log).open("ab") as out:
            process = subprocess.Popen(self.enter(*argv), stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=ROOT)
        self.daemons.append(process)
        return process

    def serve(self, port: int, namespace: str = "") -> None:
        """Take TCP connections on a port and send back what comes; returns when it listens."""
        here = ["nsenter", f"--net=/run/netns/{namespace}"] if namespace else []
        self.start(*here, sys.executable, "-c", _ECHO, str(port))
        until(lambda: self.ok(f"ss -Hlnt 'sport = {port}' | grep -q .", namespace=namespace))

    def connects(self, address: str, port: int, namespace: str = "", size: int = 1) -> bool:
        """Whether a TCP connection comes about and gives back what it is sent."""
        return self.ok(f"{sys.executable} -c '{_TALK}' {address} {port} {size}", namespace=namespace)

    def networkd(self, config: str = "", program: tuple[str, ...] = ("-m", "zos.networkd")) -> subprocess.Popen[bytes]:
        """Start the node's networkd; its configuration is the `[networkd]` table's text."""
        return self._daemon(f"[networkd]\n{config}\n", program, "networkd.log")

    def supervised_networkd(self, config: str = "") -> subprocess.Popen[bytes]:
        """Start core-0 with networkd alone, which so has a key to ask for, and the powers that a node gives it."""
        return self._daemon(f'[core0]\nunits = ["networkd"]\n[networkd]\n{config}\n', ("-m", "zos.core0"), "core0.log")

    def supervised_mycelium(self, config: str = "", also: str = "") -> subprocess.Popen[bytes]:
        """The same with mycelium, and `also` with another."""
        units = ", ".join(f'"{name}"' for name in ("mycelium", also) if name)
        more = "[networkd]\nevery = 1.0\nplanetary = false\n" if also else ""
        tables = f"[core0]\nunits = [{units}]\n[mycelium]\n{config}\n{more}"
        return self._daemon(tables, ("-m", "zos.core0"), "core0.log")

    def _daemon(self, tables: str, program: tuple[str, ...], log: str) -> subprocess.Popen[bytes]:
        file = self.folder / "zos.toml"
        file.write_text(f'[node]\nrun_dir = "{self.run_dir}"\nstate_dir = "{self.folder}/state"\n{tables}')
        return self.start("env", f"ZOS_CONFIG={file}", sys.executable, *program, log=log)

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """End a program that was started inside, with -9 (nsenter forks, so its child is meant)."""
        for child in _children(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        process.wait(DEADLINE)
        self.daemons.remove(process)

    def logs(self) -> str:
        """What its programs said."""
        return "\n".join(f"== {path.name}\n{path.read_text()}" for path in sorted(self.folder.glob("*log")))


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


@contextlib.contextmanager
def node(name: str) -> Iterator[Node]:
    """A node until the block ends; then everything of it is gone."""
    folder = Path(tempfile.mkdtemp(prefix=f"zn-{name}-"))
    # Daemons and guests are users of their own.
    folder.chmod(0o711)
    flags = ["--net", "--mount", "--pid", "--uts", "--fork", "--kill-child", "--mount-proc"]
    outer = subprocess.Popen(["unshare", *flags, "sh", "-ec", _INIT, "init", name], stdout=subprocess.PIPE)
    assert outer.stdout is not None
    made: Node | None = None
    try:
        assert outer.stdout.readline() == b"ready\n", "the namespaces could not be made"
        (first,) = _children(outer.pid)
        made = Node(name, first, folder)
        yield made
    finally:
        outer.kill()
        outer.wait(DEADLINE)
        outer.stdout.close()
        for process in made.daemons if made else []:
            process.wait(DEADLINE)
        shutil.rmtree(folder, ignore_errors=True)


def join(left: Node, right: Node, name: str = "eth0", far: str = "eth0") -> None:
    """A cable between two nodes."""
    # Made inside the left one, its other end is born in the right one.
    argv = ["nsenter", "-t", str(left.pid), "-n", "ip", "link", "add", name, "type", "veth"]
    subprocess.run([*argv, "peer", "name", far, "netns", str(right.pid)], check=True, timeout=DEADLINE)
    left.sh(f"ip link set {name} up")
    right.sh(f"ip link set {far} up")


def until(claim: object, deadline: float = DEADLINE, every: float = 0.05) -> None:
    """Ask again until a claim (a callable) holds; fails with the deadline."""
    assert callable(claim)
    end = time.monotonic() + deadline
    while not claim():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(every)


async def eventually(claim: object, deadline: float = DEADLINE) -> None:
    """`until` beside what the test's event loop has to do."""
    await asyncio.to_thread(until, claim, deadline)


async def at_rest(look: Callable[[], Seen]) -> Seen:
    """What there is, once nothing changes by itself: the kernel gives links their own addresses after they are up."""
    looks = [await asyncio.to_thread(look)]

    def is_as_before() -> bool:
        looks.append(look())
        return looks[-1] == looks[-2]

    await asyncio.to_thread(until, is_as_before, 20.0, 0.5)
    return looks[-1]
