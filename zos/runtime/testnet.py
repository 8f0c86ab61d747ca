"""A pytest plugin: what a test may touch, and what it must not leave behind.

- A test without a marker that starts a program or opens a netlink socket fails by name.
- A test must not leave a child process behind. With ZOS_TEST_ALONE=1 nothing else runs in the namespaces of these tests
  (tests/suite.py gives every piece of `make test` its own): then neither a link, a named network namespace, a mount nor
  a loop device of a file that these tests can have made.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from zos.runtime.depth import deep

# A property is wrong by what it finds, not by how long a busy machine takes for an example.
settings.register_profile("zos", deadline=None, max_examples=deep(100))
settings.load_profile("zos")

MARKED = ("root", "lab", "node", "net", "tools", "process")
SETTLE = 5.0
_LOOP_ROOT = Path("/sys/block")


class _Guard:
    """Counts every program start in this process (an audit hook cannot be removed, so there is one)."""

    def __init__(self) -> None:
        self.watching = False
        self.offences: list[str] = []

    def __call__(self, event: str, args: tuple[object, ...]) -> None:
        if not self.watching:
            return
        if event in ("subprocess.Popen", "os.posix_spawn", "os.exec", "os.fork"):
            self.offences.append(f"{event} {args[:2]}")
        elif event == "socket.__new__" and len(args) > 1 and args[1] == socket.AF_NETLINK:
            self.offences.append("a netlink socket")


_GUARD = _Guard()
sys.addaudithook(_GUARD)


@pytest.fixture(autouse=True)
def _touches_only_what_it_said(request: pytest.FixtureRequest) -> Iterator[None]:
    free = any(request.node.get_closest_marker(name) for name in MARKED)
    _GUARD.offences.clear()
    _GUARD.watching = not free
    yield
    _GUARD.watching = False
    if _GUARD.offences:
        pytest.fail(f"an unmarked test reached for {', '.join(_GUARD.offences)}; mark it `root` or use a fake")


@pytest.fixture(autouse=True)
def _leaves_nothing(request: pytest.FixtureRequest) -> Iterator[None]:
    before = _world()
    yield
    deadline = time.monotonic() + SETTLE
    while left := {key: text for key, text in _world().items() if key not in before}:
        if time.monotonic() > deadline:
            pytest.fail(f"left behind: {', '.join(sorted(left.values()))}")
        time.sleep(0.02)


def _world() -> dict[str, str]:
    """What a test could leave behind, in words, by what is its own for as long as it is there."""
    seen = {f"child {pid}": f"child process {pid} ({_name(pid)})" for pid in _children()}
    if os.environ.get("ZOS_TEST_ALONE") != "1":
        return seen
    # Not /sys/class/net: it shows the network namespace of whoever mounted /sys.
    names = [f"link {name}" for _, name in socket.if_nameindex()]
    for folder in (Path("/run/netns"), Path("/var/run/netns")):
        if folder.is_dir():
            names += [f"namespace {path.name}" for path in folder.iterdir()]
    names += [f"loop device of {path}" for path in _loops()]
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        # By its id: the folder of a mount that was there before may be renamed by others.
        id, _, _, _, target, *_ = line.split()
        seen[f"mount {id}"] = f"mount {target}"
    return seen | {name: name for name in names}


def _loops() -> Iterator[str]:
    """Files behind loop devices, which are the whole machine's: those below this run's temporary folder and lab."""
    own = (tempfile.gettempdir(), f"/var/lib/zos-lab-{os.environ.get('ZOS_LAB', '')}")
    for backing in _LOOP_ROOT.glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):  # it is released meanwhile
            path = backing.read_text().strip()
            if path.startswith(own):
                yield path


def _children() -> set[int]:
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        try:
            found |= {int(word) for word in (task / "children").read_text().split()}
        except (FileNotFoundError, ProcessLookupError):
            continue  # the thread ended meanwhile
    return found


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return "ended"
