"""A machine that boots the node's image: QEMU without KVM, its network card in a lab, its disks in files."""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

MEMORY = 3072
DISK = 60 << 30
TICKS = os.sysconf("SC_CLK_TCK")
SCREEN = r"\nzos\n\nfarm (?:.+\n)+\n(?:waits for\n(?:  .+\n)+|registered.*\n)"
WALK = Path(__file__).with_name("walk.py")
UNIT = """\
[Unit]
After=multi-user.target
[Service]
ExecStart=/usr/bin/python3 -c 'import base64;exec(base64.b64decode("{program}"))'
Restart=always
RestartSec=1s
"""


class Machine:
    """One machine; `folder` keeps its disks from one boot to the next."""

    def __init__(self, image: Path, folder: Path, inside: Sequence[str], link: str, mac: str, disks: int = 2) -> None:
        self._image = image
        self._folder = folder
        self._inside = list(inside)
        """Command line that runs what follows in the lab's network."""
        self._link = link
        self._mac = mac
        self._process: subprocess.Popen[bytes] | None = None
        self._boots = 0
        self.disks = [folder / f"disk-{number}.img" for number in range(disks)]
        for disk in self.disks:
            with disk.open("ab") as file:
                os.truncate(file.fileno(), DISK)

    @property
    def _console(self) -> Path:
        return self._folder / f"console-{self._boots}"

    @property
    def _port(self) -> Path:
        return self._folder / "walk"

    def start(self, command_line: Sequence[str], disks: Sequence[Path] | None = None) -> None:
        """Give it power; it boots kernel and initramfs directly."""
        assert self._process is None, "it runs"
        self._boots += 1
        program = base64.b64encode(WALK.read_bytes()).decode()
        unit = base64.b64encode(UNIT.format(program=program).encode()).decode()
        firmware = self._folder / "smbios"
        firmware.write_text(f"io.systemd.credential.binary:systemd.extra-unit.zos-walk.service={unit}")
        words = ["console=ttyS0", "panic=10", "systemd.journald.forward_to_console=1", "systemd.wants=zos-walk.service"]
        argv = ["qemu-system-x86_64", "-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2"]
        argv += ["-m", str(MEMORY), "-display", "none", "-monitor", "none", "-no-reboot"]
        argv += ["-kernel", str(self._image / "vmlinuz"), "-initrd", str(self._image / "initrd")]
        argv += ["-append", " ".join([*words, *command_line])]
        argv += ["-serial", f"file:{self._console}", "-serial", f"unix:{self._port},server=on,wait=off"]
        argv += ["-smbios", f"type=11,path={firmware}"]
        for number, disk in enumerate(self.disks if disks is None else disks):
            argv += ["-drive", f"file={disk},if=none,id=disk{number},format=raw,cache=unsafe,discard=unmap"]
            argv += ["-device", f"virtio-blk-pci,drive=disk{number},serial=disk{number}"]
        argv += ["-netdev", f"tap,id=net,ifname={self._link},script=no,downscript=no"]
        argv += ["-device", f"virtio-net-pci,netdev=net,mac={self._mac},romfile="]
        self._port.unlink(missing_ok=True)
        with (self._folder / "qemu.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._inside, *argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def cut(self) -> None:
        """Take its power away."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def cpu(self) -> float:
        """Seconds of processor that the machine's QEMU has taken."""
        assert self._process is not None
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def console(self) -> str:
        """What this boot has written to the serial console."""
        return self._console.read_text(errors="replace").replace("\r", "") if self._console.exists() else ""

    def screen(self) -> str:
        """The node's screen as it was drawn last; empty before there is one."""
        frames = re.findall(SCREEN, self.console())
        return str(frames[-1]).strip() if frames else ""

    def words(self) -> str:
        """The screen as one line, since it breaks long ones."""
        return " ".join(self.screen().split())

    def shows(self, name: str) -> str:
        """A line of the screen by its first word."""
        found = re.search(rf"^{name} +(.*)$", self.screen(), re.MULTILINE)
        return found[1].strip() if found else ""

    def wait(self, what: str, seen: Callable[[], bool], seconds: float) -> None:
        """Return when something is so; fails with what the machine said last."""
        deadline = time.monotonic() + seconds
        while not seen():
            assert self._process is not None
            over = self._process.poll() is not None
            if over or time.monotonic() > deadline:
                why = f"it ended ({self._folder / 'qemu.log'})" if over else f"not after {seconds:.0f} s"
                raise AssertionError(f"{what}: {why}\n{self.screen()}\n...\n{self.console()[-6000:]}")
            time.sleep(0.5)

    def walk(self, seconds: float = 120.0) -> dict[str, Any]:
        """What the test's own unit sees inside."""
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(seconds)
            link.connect(str(self._port))
            link.sendall(b"walk\n")
            with link.makefile("rb") as file:
                return dict(json.loads(file.readline()))


def command_line(words: dict[str, str]) -> list[str]:
    """Words of a kernel's command line."""
    return [shlex.quote(f"{name}={text}") for name, text in words.items()]
