"""The image as a farmer boots it: it registers by itself, nobody gets in, and it is the same node after a cut of power.

One boot costs a minute of processor, so the tests of a boot share it, in the order in which they stand here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from grid import Grid
from machine import Machine, command_line

from zos.core0.units import UNITS
from zos.runtime import users

pytestmark = [pytest.mark.node, pytest.mark.timeout(600)]

BOOT = 300.0
"""Seconds for a boot on a machine that does other things as well; it takes a minute of processor."""
ROOT = Path(__file__).parents[2]
LAN = frozenset({9651, 9943, 9944})
"""TCP ports at which a node is reached: Mycelium, Yggdrasil without and with TLS."""
LINK_LOCAL = frozenset({9945})
"""Yggdrasil's, for neighbours."""
SHELLS = ("getty", "agetty", "login", "sshd", "bash", "sulogin", "systemd-logind", "busybox")

_SCAN = """\
import errno, select, socket, sys
address, open_ports = sys.argv[1], []
for first in range(1, 65536, 512):
    waiting = {}
    for port in range(first, min(first + 512, 65536)):
        link = socket.socket()
        link.setblocking(False)
        link.connect_ex((address, port))
        waiting[link.fileno()] = link, port
    poll = select.poll()
    for number in waiting:
        poll.register(number, select.POLLOUT)
    while seen := poll.poll(250):
        for number, _ in seen:
            link, port = waiting[number]
            poll.unregister(number)
            if not link.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                open_ports.append(port)
    for link, _ in waiting.values():
        link.close()
print(*open_ports)
"""


@pytest.fixture(scope="module")
def image() -> Path:
    """The folder of the image; `make test-node` builds it first."""
    folder = Path(os.environ.get("ZOS_IMAGE", ROOT / "dist/image"))
    assert (folder / "initrd").exists(), f"there is no image in {folder}: make image"
    return folder


@pytest.fixture(scope="module")
def grid() -> Iterator[Grid]:
    """The lab; gone afterwards."""
    one = Grid()
    try:
        one.up()
        yield one
    finally:
        one.down()


@pytest.fixture(scope="module")
def machine(image: Path, grid: Grid, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine that is off, with two blank disks."""
    one = Machine(image, tmp_path_factory.mktemp("machine"), grid.inside(), grid.link, "52:54:00:5a:6f:73")
    try:
        yield one
    finally:
        one.cut()


@pytest.fixture(scope="module")
def booted(machine: Machine, grid: Grid) -> Machine:
    """The machine after its first boot, at work."""
    grid.start_dhcp()
    machine.start(command_line(grid.words))
    machine.wait("registration", lambda: machine.screen().endswith("at work"), BOOT)
    print(f"registered after {machine.cpu():.0f} CPU seconds")
    return machine


@pytest.fixture(scope="module")
def seen(booted: Machine) -> dict[str, Any]:
    """What there is inside."""
    return booted.walk()


def test_a_blank_machine_registers_with_nothing_but_its_command_line(booted: Machine, grid: Grid) -> None:
    node = grid.nodes()[int(booted.shows("node"))]
    assert str(node["farm"]) == grid.words["farmer_id"]
    assert str(node["twin"]) == booted.shows("twin")
    assert node["addresses"][0] == booted.shows("addresses").partition("/")[0]
    assert node["sru"] > 100 << 30


def test_only_overlays_listen_towards_the_lan(booted: Machine, grid: Grid, seen: dict[str, Any]) -> None:
    address = booted.shows("addresses").partition("/")[0]
    scan = [*grid.inside(), sys.executable, "-c", _SCAN, address]
    done = subprocess.run(scan, capture_output=True, text=True, timeout=300, check=True)
    found = {int(word) for word in done.stdout.split()}
    assert found == LAN
    assert {port for _, port in seen["tcp"]} == LAN | LINK_LOCAL


def test_each_daemon_is_a_user_of_its_own(seen: dict[str, Any]) -> None:
    daemons = {unit.id: unit.name for unit in UNITS}
    running = [process["user"] for process in seen["processes"] if process["user"] in daemons]
    assert set(running) == set(daemons)
    assert {seen["users"][str(id)] for id in daemons} == {f"zos-{name}" for name in daemons.values()}
    assert users.CORE0 not in running


def test_nobody_gets_in(seen: dict[str, Any]) -> None:
    assert seen["privileged"] == []
    assert seen["shells"] == ["/usr/sbin/nologin"]
    assert seen["passwords"] == ["!*"]
    assert "nologin" not in seen["programs"]
    assert [name for name in SHELLS if name in seen["programs"] and name != "busybox"] == []
    # udhcpc is busybox; nothing reads what is typed.
    assert [process["words"] for process in seen["processes"] if process["terminal"]] == []
    doors = [one for one in seen["processes"] if Path(one["words"][0]).name in SHELLS and "udhcpc" not in one["words"]]
    assert doors == []


def test_the_state_is_on_a_disk(seen: dict[str, Any]) -> None:
    (mount,) = [line for line in seen["mounts"] if line.split()[4] == "/var/lib/zos"]
    assert "/zos-state " in mount
    assert " btrfs /dev/vd" in mount


def test_it_is_the_same_node_after_a_cut_of_power(booted: Machine, grid: Grid) -> None:
    before = {name: booted.shows(name) for name in ("node", "twin", "account")}
    nodes = set(grid.nodes())
    booted.cut()
    booted.start(command_line(grid.words))
    booted.wait("the second boot", lambda: booted.screen().endswith("at work"), BOOT)
    assert {name: booted.shows(name) for name in before} == before
    assert set(grid.nodes()) == nodes
    booted.cut()


def test_without_its_disk_it_waits_and_is_no_other_node(booted: Machine, grid: Grid) -> None:
    """Whichever disk has the state: the other one is storaged's pool, and no reason for a new key."""
    nodes = set(grid.nodes())
    (bearer,) = [disk for disk in booted.disks if _has_state(disk)]
    booted.start(command_line(grid.words), [disk for disk in booted.disks if disk != bearer])
    booted.wait("what it waits for", lambda: "bring the missing disk back" in booted.words(), BOOT)
    assert booted.shows("account") == "-"
    assert set(grid.nodes()) == nodes
    booted.cut()


def _has_state(disk: Path) -> bool:
    """Whether the pool on a disk was made before there was a state (its label says so: `zos/storaged/bearer.py`)."""
    with disk.open("rb") as file:
        file.seek(64 * 1024 + 0x12B)
        return file.read(36)[14:15] == b"8"


def test_the_image_is_signed_and_its_parts_are_its_own(image: Path) -> None:
    told = json.loads((image / "image.json").read_text())
    assert set(told["sha256"]) == {"zos-node.efi", "vmlinuz", "initrd", "zos-node.crt"}
    content = (image / "zos-node.efi").read_bytes()
    offset = int.from_bytes(content[0x3C:0x40], "little") + 24
    # The fifth directory of a PE32+ file: where its signatures are, and their length.
    assert int.from_bytes(content[offset + 112 + 4 * 8 + 4 : offset + 112 + 5 * 8], "little") > 1000
    assert (image / "initrd").read_bytes() in content


def test_the_same_sources_make_the_same_bytes(image: Path, tmp_path: Path) -> None:
    """All but the packages and the wheels, which come as they are, made again: zos, the tree, the EFI file."""
    cache = ROOT / ".cache/image"
    kept = [path for path in cache.iterdir() if path.name.partition("-")[0] in ("tools", "packages", "wheels")]
    for path in (*kept, cache / "keys", cache / "kernels"):
        (tmp_path / path.name).symlink_to(path)
    argv = [sys.executable, "-m", "zos.images.node", "--cache", str(tmp_path), "--out", str(tmp_path / "out")]
    made = subprocess.run(argv, capture_output=True, text=True, timeout=500, cwd=ROOT, env=dict(os.environ))
    assert made.returncode == 0, made.stderr
    again, before = (json.loads((folder / "image.json").read_text()) for folder in (tmp_path / "out", image))
    assert again["sha256"] == before["sha256"]
