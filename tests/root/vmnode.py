"""A throw-away node with libvirtd of its own (private /run, /var/*/libvirt, /etc/libvirt), and guests to run in it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from netns import Node, node, until

from zos.bus import Bus

START = 30.0
_LIBVIRT = """
for kind in lib log cache; do
  mkdir -p {folder}/libvirt/$kind && mount --bind {folder}/libvirt/$kind /var/$kind/libvirt
done
cp -a /etc/libvirt {folder}/libvirt/etc && mount --bind {folder}/libvirt/etc /etc/libvirt
mkdir -p /run/lock
"""

# What a guest runs as its first process: says what it was given, then does what its console tells it.
TALKER = """#!/bin/sh
echo "hello from $(hostname) as $$ with $GREETING and $*"
echo ready
while read -r word rest; do
  case $word in
    exit) exit "$rest" ;;
    run) eval "$rest"; echo "done $?" ;;
    *) echo "heard $word" ;;
  esac
done
"""


def tree(folder: Path, program: str = TALKER) -> Path:
    """A container's root: busybox and one program."""
    root = folder / "root"
    for name in ("bin", "sbin", "etc", "proc", "dev", "sys", "tmp"):
        (root / name).mkdir(parents=True, exist_ok=True)
    shutil.copy("/bin/busybox", root / "bin/busybox")
    for applet in ("sh", "hostname", "cat", "mount", "ip", "ls", "stat", "dd", "sync", "wc", "blockdev", "grep", "df"):
        if not (root / "bin" / applet).exists():
            os.link(root / "bin/busybox", root / "bin" / applet)
    (root / "sbin/talk").write_text(program)
    (root / "sbin/talk").chmod(0o755)
    return root


@contextlib.contextmanager
def vm_node(name: str) -> Iterator[VmNode]:
    """A node whose libvirtd answers."""
    with node(name) as here:
        made = VmNode(here)
        here.sh(_LIBVIRT.format(folder=here.folder))
        made.libvirtd()
        yield made


class VmNode:
    """A node, its libvirtd and its vmd."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.folder = node.folder

    def libvirtd(self) -> subprocess.Popen[bytes]:
        """Start it as its unit does; returns when it answers."""
        file = self.folder / "libvirtd.toml"
        file.write_text(f'[node]\nrun_dir = "{self.node.run_dir}"\nstate_dir = "{self.folder}/state"\n')
        words = ("env", f"ZOS_CONFIG={file}", sys.executable, "-m", "zos.vmd.libvirtd")
        process = self.node.start(*words, log="libvirtd.log")
        until(lambda: self.node.ok("virsh -c qemu:///system list >/dev/null"), START)
        return process

    def vmd(self, config: str = "every = 2.0", program: tuple[str, ...] = ("-m", "zos.vmd")) -> subprocess.Popen[bytes]:
        """Start the node's vmd; its configuration is the `[vmd]` table's text."""
        file = self.folder / "zos.toml"
        text = f'[node]\nrun_dir = "{self.node.run_dir}"\nstate_dir = "{self.folder}/state"\n[vmd]\n{config}\n'
        file.write_text(text)
        return self.node.start("env", f"ZOS_CONFIG={file}", sys.executable, *program, log="vmd.log")

    def bus(self) -> Bus:
        return self.node.bus()

    def virsh(self, line: str, *, check: bool = True) -> str:
        """What a farmer would type."""
        return self.node.sh(f"virsh -c qemu:///system {line}", check=check)


def stopwatch() -> float:
    return time.monotonic()
