"""A throw-away node with a hub and a flistd; both are real processes, the mounts are the node's own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from netns import Node, node, until

from zos.bus import Unreachable
from zos.flist.tests.archives import Archive
from zos.flistd.api import FlistdClient, Mount, MountId, MountInfo
from zos.hub import Built, build

HUB = "http://127.0.0.1:8080"
STORE = "zdb://127.0.0.1:9900"
A, B = MountId("26-7-a"), MountId("26-7-b")

UNIT = Path(__file__).with_name("unit.py")


@dataclass
class FlNode:
    """A node's namespaces with core-0 and flistd in them, and a hub once it is started."""

    node: Node
    client: FlistdClient
    hub: subprocess.Popen[bytes] | None = None
    daemon: subprocess.Popen[bytes] | None = None
    config: str = "fill_size = 0"
    built: dict[str, Built] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Seen from inside and outside."""
        return self.node.folder

    @property
    def upper(self) -> Path:
        """The folder that an overlay mount writes into, as of a volume."""
        return self.folder / "volume/root"

    def inside(self, path: Path | str) -> Path:
        """A path of the node, mounts included, as this process reaches it."""
        return Path(f"/proc/{self.node.pid}/root{path}")

    def make(self, name: str, source: Path) -> Built:
        """Put a flist on the hub."""
        root = self.folder / "hub"
        self.built[name] = build(source, root / f"{name}.fl", root=root, url=HUB)
        return self.built[name]

    def make_old(self, name: str, source: Path) -> Archive:
        """Put an archive of 0-fs on the hub, and its blocks where its store takes them from."""
        made = Archive().take(source)
        path = self.folder / "hub" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        made.write(path)
        blocks = self.folder / "old"
        blocks.mkdir(exist_ok=True)
        for id, blob in made.blobs.items():
            (blocks / id.hex()).write_bytes(blob)
        return made

    def start_store(self) -> subprocess.Popen[bytes]:
        """A store that gives the blocks of archives."""
        words = ("-m", "zos.flist.tests.blockserver", f"{self.folder}/old", "9900")
        store = self.node.start(sys.executable, *words, log="store.log")
        until(lambda: self.node.ok("ss -Hlnt 'sport = 9900' | grep -q ."))
        return store

    def start_hub(self, on_change: str = "127.0.0.1:8080") -> None:
        """Starts the node's hub and waits until it listens."""
        self.hub = self.node.start(
            sys.executable, "-m", "zos.hub", "--root", f"{self.folder}/hub", "--listen", on_change, log="hub.log"
        )
        until(lambda: self.node.ok("ss -Hlnt 'sport = 8080' | grep -q ."))

    def stop_hub(self) -> None:
        """The hub is gone."""
        assert self.hub is not None
        self.node.kill(self.hub)

    async def start(self) -> None:
        """Start flistd, with its unit's powers, and wait until it answers."""
        cache = self.folder / "cache"
        self.node.sh(f"mkdir -p {cache}; mountpoint -q {cache} || mount --bind {cache} {cache}")
        file = self.folder / "zos.toml"
        file.write_text(
            f'[node]\nrun_dir = "{self.node.run_dir}"\nstate_dir = "{self.folder}/state"\nhub = "{HUB}"\n'
            f'[flistd]\nmounts = "{self.folder}/mnt"\ncache = "{cache}"\nevery = 5.0\n{self.config}\n'
        )
        words = (str(UNIT), "flistd", str(self.node.run_dir), f"{self.folder}/state")
        self.daemon = self.node.start("env", f"ZOS_CONFIG={file}", sys.executable, *words, log="flistd.log")
        async with asyncio.timeout(60):
            while True:
                with contextlib.suppress(Unreachable):
                    await self.client.list_mounts()
                    return
                await asyncio.sleep(0.05)

    def kill(self) -> None:
        """kill -9 of flistd."""
        assert self.daemon is not None
        self.node.kill(self.daemon)

    def reboot(self) -> None:
        """Everything that a reboot ends, ends; what is on disk stays."""
        self.kill()
        for pid in self.servers():
            self.node.sh(f"kill -9 {pid} || true")  # it may end by itself meanwhile
        self.node.sh(f"grep -o '{self.folder}/mnt/[^ ]*' /proc/self/mountinfo | grep -v , | xargs -rn1 umount -l")

    async def ensure(self, name: str, id: MountId = A, upper: Path | None = None, hash: str = "") -> MountInfo:
        """Mount a flist of the hub."""
        return await self.client.ensure_mount(Mount(id, f"{name}.fl", upper, hash))

    def servers(self) -> list[int]:
        """The mount processes, eldest first, as the node counts."""
        return self._pids("[f]listd/serve.py [^ ]* /")

    def nursery(self) -> list[int]:
        """The process that the mount processes are forked from, while there is one."""
        return self._pids("[f]listd/serve.py [^ ]* nursery")

    def _pids(self, pattern: str) -> list[int]:
        return [int(word) for word in self.node.sh(f"pgrep -f '{pattern}' || true").split()]

    def mounts(self) -> list[str]:
        """What is mounted below flistd's folder."""
        lines = self.node.sh("cat /proc/self/mountinfo").splitlines()
        return sorted(line.split(" ", 4)[4] for line in lines if f" {self.folder}/mnt/" in line)

    def log(self) -> str:
        """What the servers said."""
        return "".join(path.read_text() for path in self.node.run_dir.glob("flistd/*.log"))


@contextlib.asynccontextmanager
async def fl_node(config: str = "fill_size = 0") -> AsyncIterator[FlNode]:
    """A node with hub and flistd until the block ends."""
    with node("fl") as here:
        async with here.bus() as bus:
            made = FlNode(here, FlistdClient(bus), config=config)
            (here.folder / "volume").mkdir()
            here.sh(f"mount -t tmpfs tmpfs {here.folder}/volume && mkdir {here.folder}/volume/root")
            made.start_hub()
            await made.start()
            try:
                yield made
            except BaseException:
                sys.stderr.write(here.logs() + made.log())
                raise


def a_source(folder: Path) -> Path:
    """A small root file system with a bit of everything."""
    root = folder / "source"
    (root / "etc/deep/er").mkdir(parents=True)
    (root / "boot").mkdir()
    (root / "etc/hosts").write_bytes(b"127.0.0.1 localhost\n")
    (root / "etc/link").symlink_to("hosts")
    (root / "etc/deep/er/file").write_bytes(b"deep")
    (root / "big").write_bytes(os.urandom(5 << 20) + b"tail")
    (root / "setuid").write_bytes(b"#!/bin/sh\n")
    (root / "setuid").chmod(0o4755)
    os.chown(root / "setuid", 12, 34)
    (root / "boot/vmlinuz-6").write_bytes(b"kernel")
    (root / "boot/vmlinuz").symlink_to("/boot/vmlinuz-6")
    (root / ".startup.toml").write_text(
        '[startup.entry.args]\nname = "/bin/sh"\nargs = ["-c", "run me"]\nenv = {HOME = "/root"}\n'
    )
    os.mkfifo(root / "pipe")
    os.setxattr(root / "setuid", "user.note", b"kept")
    root.chmod(0o751)
    return root


def spoil(path: Path) -> None:
    """Flip a bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
