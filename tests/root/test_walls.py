"""What the kernel refuses a daemon that somebody else has taken over: every try, with what each unit is left."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest

from zos.bus.server import MODE
from zos.core0.daemon import hand_over_folders
from zos.core0.units import UNITS, Unit
from zos.runtime.daemon import Daemon, Runtime
from zos.runtime.testing import running

pytestmark = pytest.mark.root

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("core0", *(unit.name for unit in UNITS))

# It becomes the unit as the zygote does, tries everything, and says what worked.
PROBE = r"""
import ctypes, errno, json, os, socket, sys
from pathlib import Path
from zos.core0.units import UNITS
from zos.core0.zygote import confine, order

OTHERS = ["core0", *(unit.name for unit in UNITS)]
name, folder, victim, peer = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
run, state = folder / "run", folder / "state"
libc = ctypes.CDLL(None, use_errno=True)
(unit,) = [unit for unit in UNITS if unit.name == name]
if not os.environ.get("WITHOUT_WALLS"):
    confine(order(unit, run, state))

def call(function, *arguments):
    if getattr(libc, function)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), function)

def signal_it(pid):
    os.kill(pid, 0)

def connect(other):
    with socket.socket(socket.AF_UNIX) as end:
        end.connect(str(run / other / "bus.sock"))

def write(path):
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    os.unlink(path)

def write_setting(path):
    with open(path, "r+") as file:
        file.write(file.read())

def impersonate():
    path = run / ("vmd" if name != "vmd" else "rmb") / "bus.sock"
    path.unlink()

def peek(pid):
    with open(f"/proc/{pid}/mem", "rb") as file:
        start = int(open(f"/proc/{pid}/maps").readline().split("-")[0], 16)
        file.seek(start)
        file.read(16)

def mount():
    call("mount", b"none", os.fsencode(state / name), b"tmpfs", 0, None)
    call("umount2", os.fsencode(state / name), 2)

def attach(pid):
    call("ptrace", 0x4206, pid, 0, 0)
    call("ptrace", 17, pid, 0, 0)

tries = {
    "read the node's key": lambda: (state / "core0/key.json").read_text(),
    "read the key through core-0's root": lambda: Path(f"/proc/{victim}/root{state}/core0/key.json").read_text(),
    "read the key through a sibling's root": lambda: Path(f"/proc/{peer}/root{state}/core0/key.json").read_text(),
    "write a new key": lambda: write(state / "core0/other.json"),
    "read a sibling's records": lambda: (state / ("chain" if name != "chain" else "rmb") / "record").read_text(),
    "write below /etc": lambda: write("/etc/zos-test-of-walls"),
    "write below /usr": lambda: write("/usr/zos-test-of-walls"),
    "write beside the sockets": lambda: write(run / "else"),
    "take a sibling's socket": impersonate,
    "load a module": lambda: call("syscall", 175, 0, 0, b""),
    "trace core-0": lambda: attach(victim),
    "trace a sibling": lambda: attach(peer),
    "signal core-0": lambda: signal_it(victim),
    "signal a sibling": lambda: signal_it(peer),
    "write a sibling's records": lambda: write(state / ("chain" if name != "chain" else "rmb") / "other"),
    "change the kernel's settings": lambda: write_setting("/proc/sys/kernel/core_pattern"),
    "read core-0's memory": lambda: peek(victim),
    "read a sibling's memory": lambda: peek(peer),
    "mount": mount,
    "take a wall down": lambda: call("umount2", os.fsencode(state / "core0"), 2),
    "make a disk's device": lambda: os.mknod(state / name / "sda", 0o60600, os.makedev(8, 0)),
    "send raw packets": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close(),
    "load a program into the kernel": lambda: call("syscall", 321, 5, 0, 0),
}
tries.update({f"call {other}": lambda other=other: connect(other) for other in OTHERS})
tries["become another user"] = lambda: os.setresuid(1, 1, 0)
tries["leave for core-0's files"] = lambda: call("setns", os.open(f"/proc/{victim}/ns/mnt", os.O_RDONLY), 0)
tries["make a user namespace"] = lambda: call("unshare", 0x10000000)
write(state / name / "mine")
write(run / name / "mine")
done = []
for what, attempt in tries.items():
    try:
        attempt()
    except OSError as err:
        # Any other error comes from behind the wall: the kernel looked at what was asked.
        if err.errno not in (errno.EPERM, errno.EACCES, errno.ENOENT, errno.EROFS, errno.ENOSYS):
            done.append(what)
    else:
        done.append(what)
print(json.dumps([sorted(tries), done]))
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that users other than root may pass, as pytest's own are not."""
    folder = Path(tempfile.mkdtemp(prefix="zos-walls-", dir="/run"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@contextlib.contextmanager
def node(folder: Path, sibling: str) -> Iterator[int]:
    """The folders of a node with somebody on each socket; yields the pid of a sibling."""
    with contextlib.ExitStack() as stack:
        for name in NAMES:
            (folder / "state" / name).mkdir(parents=True)
            (folder / "run" / name).mkdir(parents=True)
            (folder / "state" / name / "record").write_text("a tenant's")
        hand_over_folders(folder / "state", folder / "run")
        for name in NAMES:
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(str(folder / "run" / name / "bus.sock"))
            (folder / "run" / name / "bus.sock").chmod(MODE)
            listener.listen()
        key = folder / "state/core0/key.json"
        key.write_text("secret")
        key.chmod(0o600)
        sleeper = (
            "import sys; from pathlib import Path; from zos.core0.units import UNITS; from zos.core0.zygote import *\n"
            "unit = next(unit for unit in UNITS if unit.name == sys.argv[3])\n"
            "confine(order(unit, Path(sys.argv[1]), Path(sys.argv[2])))\nprint(flush=True); sys.stdin.read()"
        )
        words = [sys.executable, "-c", sleeper, str(folder / "run"), str(folder / "state"), sibling]
        peer = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        with peer:
            assert peer.stdout is not None
            peer.stdout.readline()
            yield peer.pid


def attempt(unit: Unit, folder: Path, **environment: str) -> tuple[set[str], set[str]]:
    """What was tried as a unit, and what of it worked."""
    with node(folder, "chain" if unit.name != "chain" else "rmb") as peer:
        # What it mounts is gone with it.
        words = ["unshare", "--mount", sys.executable, "-c", PROBE, unit.name, str(folder), str(os.getpid()), str(peer)]
        said = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, env=os.environ | environment)
    assert said.returncode == 0, said.stderr
    assert "refuses" not in said.stderr
    tried, done = json.loads(said.stdout)
    return set(tried), set(done)


@pytest.mark.parametrize("unit", [unit for unit in UNITS if unit.walled], ids=lambda unit: unit.name)
def test_a_daemon_that_was_taken_over_can_do_nothing_but_its_work(place: Path, unit: Unit):
    tried, done = attempt(unit, place)
    assert len(tried) >= 34
    assert done == {f"call {other}" for other in (*unit.calls, unit.name)}


def test_code_below_a_home_that_is_shut_can_be_read_and_the_rest_of_the_home_is_not_there(place: Path):
    home = place / "home"
    code, python, secret = home / "zos", home / ".pyenv/versions/3", home / ".ssh/key"
    for file in (code / "deep/module", python / "bin/python", secret):
        file.parent.mkdir(parents=True)
        file.write_text("text")
    # A checkout that is shut itself, in a home that is shut.
    code.chmod(0o700)
    home.chmod(0o700)
    hand_over_folders(place / "state", place / "run")
    program = (
        "import os, sys; from pathlib import Path; from zos.runtime import walls\n"
        "home, place = Path(sys.argv[1]), Path(sys.argv[2])\n"
        "reach = (home / 'zos', home / '.pyenv/versions/3')\n"
        "walls.build('rmb', place / 'run', place / 'state', (), reach=reach)\n"
        "os.setgroups([]); os.setresgid(71009, 71009, 71009); os.setresuid(71009, 71009, 71009)\n"
        "print([os.path.exists(home / one) for one in sys.argv[3:]], (home / 'zos/deep/module').read_text())"
    )
    words = [sys.executable, "-c", program, str(home), str(place), "zos/deep/module", ".pyenv/versions/3/bin/python"]
    said = subprocess.run([*words, ".ssh/key", ".ssh"], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert said.stdout == "[True, True, False, False] text\n", said.stderr


def test_without_walls_all_of_it_works(place: Path):
    tried, done = attempt(UNITS[0], place, WITHOUT_WALLS="1")
    # The kernel may have no modules; a sibling has closed itself; one socket was taken before it was called; and in a
    # chroot nobody makes a user namespace or enters another's files.
    others = {"read the key through a sibling's root", "leave for core-0's files", "make a user namespace"}
    assert tried - done <= {"load a module", "call vmd", *others}
    assert {"read the node's key", "write below /etc", "take a sibling's socket", "trace core-0", "mount"} <= done


SIGNALS = {"signal core-0", "signal a sibling"}
POWERS = {
    "networkd": {"read core-0's memory", "read a sibling's memory", *SIGNALS},
    "storaged": set(),
    "mycelium": set(),
    "flistd": SIGNALS,
}
"""What a unit that administers mounts or networks may do of what the others of them may not (docs/security.md)."""


@pytest.mark.parametrize("name", POWERS)
def test_what_administers_the_machine_is_trusted_but_not_with_everything(place: Path, name: str):
    (unit,) = [unit for unit in UNITS if unit.name == name]
    _, done = attempt(unit, place)
    never = {"load a module", "load a program into the kernel", "trace core-0", "trace a sibling"}
    never |= {"change the kernel's settings"}
    assert not done & (never | set().union(*POWERS.values()) - POWERS[name])
    assert ("send raw packets" in done, "become another user" in done) == (
        "net_raw" in unit.capabilities,
        "setuid" in unit.capabilities,
    )


# It becomes the unit, or a stranger who is in every daemon's group, and calls every method that there is.
CALLER = r"""
import json, os, sys
from importlib import import_module
from pathlib import Path
from zos.core0.units import UNITS
from zos.core0.zygote import confine, order
import grpc

name, folder = sys.argv[1], Path(sys.argv[2])
names = ["core0", *(unit.name for unit in UNITS)]
methods = {"/grpc.health.v1.Health/Check": "vmd"}
for other in names:
    for service in import_module(f"zos.{other}.api.{other}_pb2").DESCRIPTOR.services_by_name.values():
        methods |= {f"/{service.full_name}/{method.name}": other for method in service.methods}
if name == "stranger":
    os.setgroups([unit.id for unit in UNITS])
    os.setresgid(12345, 12345, 12345)
    os.setresuid(12345, 12345, 12345)
elif name != "root":
    confine(order(next(unit for unit in UNITS if unit.name == name), folder / "run", folder / "state"))
said = {}
for method, other in methods.items():
    with grpc.insecure_channel(f"unix:{folder}/run/{other}/bus.sock", [("grpc.enable_http_proxy", 0)]) as channel:
        try:
            channel.unary_unary(method)(b"", timeout=10)
            said[method] = ["OK", ""]
        except grpc.RpcError as err:
            said[method] = [err.code().name, err.details()]
print(json.dumps(said))
"""


@dataclass(frozen=True, slots=True)
class NoConfig:
    pass


def stand(daemon: str) -> type[Daemon]:
    """A daemon that has the API of its name and fails on each call that it is asked to do."""
    api = import_module(f"zos.{daemon}.api.{daemon}_pb2_grpc")

    class Stand(Daemon):
        name = daemon
        config = NoConfig

        async def open(self, rt: Runtime) -> None:
            servicer = getattr(api, f"{daemon.capitalize()}Servicer")()
            rt.serve(servicer, getattr(api, f"add_{daemon.capitalize()}Servicer_to_server"))

    return Stand


async def calls_of(caller: str, folder: Path) -> dict[str, tuple[str, str]]:
    """What each method that there is answers to a caller: the status and its text."""
    hand_over_folders(folder / "state", folder / "run")
    async with contextlib.AsyncExitStack() as stack:
        for name in NAMES:
            await stack.enter_async_context(running(stand(name), folder))
        words = ["unshare", "--mount", sys.executable, "-c", CALLER, caller, str(folder)]
        said = await asyncio.to_thread(subprocess.run, words, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert said.returncode == 0, said.stderr
    return {method: (status, text) for method, (status, text) in json.loads(said.stdout).items()}


def served(said: dict[str, tuple[str, str]]) -> set[str]:
    """The methods that came through to their daemon."""
    assert {status for status, _ in said.values()} <= {"OK", "INTERNAL", "PERMISSION_DENIED", "UNAVAILABLE"}
    return {method for method, (status, _) in said.items() if status in ("OK", "INTERNAL")}


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
async def test_a_daemon_that_was_taken_over_calls_no_method_but_those_of_its_code(place: Path, unit: Unit):
    said = await calls_of(unit.name, place)
    assert len(said) >= 70
    assert served(said) == {
        f"/zos.{other}.v1.{other.capitalize()}/{method}" for other, methods in unit.calls.items() for method in methods
    }
    if unit.name == "rmb":
        # Whom it calls for other things says so himself.
        for method in ("vmd.v1.Vmd/EnsureMachine", "storaged.v1.Storaged/DropDisk", "chain.v1.Chain/ReportResources"):
            assert said[f"/zos.{method}"] == ("PERMISSION_DENIED", f"rmb may not call zos.{method}")


async def test_a_group_is_no_right_to_call_and_root_calls_all(place: Path):
    said = await calls_of("stranger", place)
    assert not served(said)
    assert said["/zos.vmd.v1.Vmd/ListMachines"] == (
        "PERMISSION_DENIED",
        "user-12345 may not call zos.vmd.v1.Vmd/ListMachines",
    )
    said = await calls_of("root", place)
    assert served(said) == set(said)
    assert said["/grpc.health.v1.Health/Check"][0] == "OK"


def test_a_unit_calls_whom_its_code_calls():
    clients = {f"{unit.name.capitalize()}Client": unit.name for unit in UNITS} | {"Core0Client": "core0"}
    for unit in UNITS:
        folders = [ROOT / "zos" / unit.name]
        if unit.name == "provisiond":
            folders += [ROOT / "zos/verbs", ROOT / "zos/primitives"]
        found = {name for folder in folders for path in folder.rglob("*.py") for name in _names(path)}
        assert {clients[name] for name in found & set(clients)} - {unit.name} == set(unit.calls), unit.name


def _names(path: Path) -> set[str]:
    if "tests" in path.parts[len(ROOT.parts) :]:
        return set()
    return {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
