"""The process that parses strangers' files: what it may, and what the kernel refuses it."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zos.flist import confined
from zos.flist.compile import compile_flist, parse_confined
from zos.flist.errors import FlistBroken
from zos.flist.pack import pack
from zos.flist.policy import StorePolicy
from zos.flist.store import DEFAULT, FolderStore
from zos.flist.tests.archives import FILE, Archive, Item

pytestmark = pytest.mark.root

HERE = StorePolicy(folders=True)


def packed(folder: Path) -> Path:
    source = folder / "source"
    (source / "etc").mkdir(parents=True)
    (source / "etc/motd").write_text("hello")
    (source / ".startup.toml").write_text('[startup.entry.args]\nname = "/bin/sh"\n')
    pack(source, folder / "a.fl", FolderStore(folder / "store"), f"dir://{folder / 'store'}")
    return folder / "a.fl"


def archived(folder: Path) -> Path:
    made = Archive()
    made.keep_folder(b"", [Item(b"motd", FILE, 5, blocks=made.keep_file(b"hello"))])
    return made.write(folder / "a.flist")


@pytest.mark.parametrize("make", [packed, archived])
def test_a_flist_is_parsed_the_same_with_and_without_walls(tmp_path: Path, make: Callable[[Path], Path]):
    path = make(tmp_path)
    for name in ("open", "walled"):
        (tmp_path / name).mkdir(mode=0o700)
    here = compile_flist(path, tmp_path / "open", tmp_path / "cache", HERE)
    there = compile_flist(path, tmp_path / "walled", tmp_path / "cache", HERE, parse=parse_confined)
    assert there == here
    assert (tmp_path / "walled/index").read_bytes() == (tmp_path / "open/index").read_bytes()
    assert sorted(left.name for left in (tmp_path / "walled").iterdir()) == ["index", "info.json"]
    assert (tmp_path / "walled/index").stat().st_uid == os.getuid()


def attempt(folder: Path, tries: dict[str, Callable[[], object]]) -> dict[str, str]:
    """What became of each try inside of the process."""
    (folder / "file").write_text("a stranger's")
    listening = threading.active_count()

    def work(file: Path) -> dict[str, Any]:
        assert file.read_text() == "a stranger's"
        said = {}
        for name, what in tries.items():
            try:
                said[name] = f"done: {what()}"
            except Exception as err:  # noqa: BLE001 - whatever it is, it is the answer
                said[name] = type(err).__name__
        (file.parent / "made").write_text("x")
        return said

    said = confined.run(work, folder / "file", folder, "made", "it")
    assert threading.active_count() == listening
    return said


def test_it_can_do_nothing_but_compute_and_write_into_its_folder(tmp_path: Path):
    secret = tmp_path / "key.json"
    secret.write_text("secret")
    secret.chmod(0o600)
    libc = ctypes.CDLL(None, use_errno=True)
    me = os.getpid()

    def call(name: str, *arguments: Any) -> object:
        if getattr(libc, name)(*arguments) < 0:
            raise OSError(ctypes.get_errno(), name)
        return "it"

    tries: dict[str, Callable[[], object]] = {
        "read the key": secret.read_text,
        "see the machine's files": lambda: os.listdir("/etc"),
        "go up": lambda: os.listdir("/../../../etc"),
        "write to the original": lambda: os.open("/file", os.O_WRONLY),
        "connect to the machine": lambda: socket.create_connection(server.getsockname(), 1),
        "connect to a daemon": lambda: socket.socket(socket.AF_UNIX).connect(str(tmp_path / "daemon.sock")),
        "make a socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW),
        "fork": os.fork,
        "run a program": lambda: os.execv(sys.executable, [sys.executable]),
        "become root": lambda: os.setuid(0),
        "use what its parent has open": lambda: [os.fstat(one) for one in (3, 4, 5, server.fileno(), bus.fileno())],
        "kill": lambda: os.kill(me, signal.SIGTERM),
        "trace": lambda: call("ptrace", 16, me, 0, 0),
        "mount": lambda: call("mount", b"none", b"/", b"tmpfs", 0, None),
        "leave the root": lambda: os.chroot("/"),
        "make a namespace": lambda: call("unshare", 0x10000000),
        "load a module": lambda: call("syscall", 175, 0, 0, b""),
        "make a device": lambda: os.mknod("/sda", 0o60600, os.makedev(8, 0)),
        "watch the kernel": lambda: call("syscall", 321, 0, 0, 0),
        "write more than it may": lambda: os.truncate(os.open("/big", os.O_CREAT | os.O_WRONLY), confined.WRITES + 1),
    }
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as bus:
        bus.bind(str(tmp_path / "daemon.sock"))
        bus.listen()
        said = attempt(tmp_path, tries)
    assert [name for name, what in said.items() if what.startswith("done")] == []
    assert set(said) == set(tries)
    assert secret.read_text() == "secret"
    assert sorted(left.name for left in tmp_path.iterdir()) == ["daemon.sock", "file", "key.json", "made"]


def test_it_is_somebody_without_powers(tmp_path: Path):
    (tmp_path / "file").write_text("")

    def work(file: Path) -> dict[str, Any]:
        (file.parent / "made").write_text("x")
        return {"ids": [os.getuid(), os.geteuid(), os.getgid()]}

    ids = confined.run(work, tmp_path / "file", tmp_path, "made", "it")["ids"]
    assert 0 not in ids


def link(file: Path) -> dict[str, str]:
    os.symlink("/etc/shadow", file.parent / "made")
    return {}


@pytest.mark.parametrize(
    ("work", "problem"),
    [
        (lambda file: os._exit(3), "status 3"),
        (lambda file: os.abort(), "it was stopped by signal 6"),
        (lambda file: {"x": bytes(2 << 20).decode()}, "reading it failed"),
        (lambda file: bytearray(8 << 30), "it takes too much memory"),
        (link, "it made no plain file"),
        (lambda file: 1 // 0, "status 1"),
    ],
)
def test_whatever_goes_wrong_is_the_files_fault(tmp_path: Path, work: Any, problem: str):
    (tmp_path / "file").write_text("")
    with pytest.raises(FlistBroken, match=problem):
        confined.run(work, tmp_path / "file", tmp_path, "made", "it")
    assert not (tmp_path / "made").exists()
    assert sorted(left.name for left in tmp_path.iterdir()) == ["file"]


def test_the_program_has_no_capability_when_it_asks_the_stores(tmp_path: Path):
    path = packed(tmp_path)
    (tmp_path / "out").mkdir()
    probe = (
        "import sys; from pathlib import Path; from zos.flist import compile as c; "
        "c.parse_and_drop(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]); print(open('/proc/self/status').read())"
    )
    words = [sys.executable, "-c", probe, str(path), str(tmp_path / "out"), DEFAULT]
    said = subprocess.run(words, check=True, capture_output=True, text=True, timeout=60).stdout
    status = dict(line.split(":\t", 1) for line in said.splitlines() if ":\t" in line)
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
    assert status["NoNewPrivs"] == "1"
