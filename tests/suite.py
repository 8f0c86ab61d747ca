"""Runs all tests: in pieces, side by side, each in namespaces of its own.

    python tests/suite.py [--list] [--repeat N] [AREA...]

An area is a piece (`--list` shows them), a package below zos/ (its own tests and those of tests/root and tests/lab that
are named after it), or a path. A piece in namespaces of its own sees no other piece's links, mounts and processes: so
what a test leaves behind is found although others run beside it, and ending the piece ends all that it started.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as xml
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SLOWEST = 10
DEADLINE = 1500.0
"""Seconds for everything, or for each repetition."""
SHOWN = 400
"""Lines of a failed piece's output."""
PATIENCE = 60.0
"""Seconds in which a piece that is interrupted takes down what its tests built."""
STATES = Path("/var/lib")
LOOPS = Path("/sys/block")
NAMESPACES = ("unshare", "--mount", "--pid", "--ipc", "--fork", "--kill-child", "--mount-proc")
ONLINE = '"$@"; exit'
"""The first process of a piece's namespaces: a shell that stays, since it reaps what is left to it."""
ALONE = f"mount -t tmpfs -o mode=755 tmpfs /run && mkdir /run/lock && ip link set lo up || exit; {ONLINE}"


@dataclass(frozen=True)
class Piece:
    """What one pytest runs."""

    name: str
    paths: tuple[str, ...]
    workers: int = 0
    """Processes that share it (pytest-xdist)."""
    is_online: bool = False
    """It installs packages from a registry, and so stays in the machine's network."""
    select: str = ""
    """Only the tests of this name (pytest -k)."""
    is_patient: bool = False
    """It only computes: whatever waits for a clock goes first."""


def lab(name: str, *tests: str, is_online: bool = False) -> Piece:
    """A piece with a lab of its own."""
    return Piece(f"lab-{name}", tuple(f"tests/lab/test_{test}.py" for test in tests), is_online=is_online)


def root(name: str, *tests: str) -> Piece:
    """A piece that needs root and a kernel."""
    return Piece(f"root-{name}", tuple(f"tests/root/test_{test}.py" for test in tests))


PIECES = (
    Piece("pure", ("zos", "tests/contract", "tests/bus", "tests/cli", "tests/chaos"), workers=2, is_patient=True),
    lab("clients", "lab_clients", is_online=True),
    lab("faults", "lab_faults"),
    lab("main", "lab", "lab_chain", "lab_readme"),
    root(
        "network",
        "networkd",
        "shared",
        "networkd_heals",
        "libnftables",
        "networkd_contract",
        "planetary",
        "planetary_walls",
    ),
    root("machines", "vmd", "vmd_contract", "guest_kernel", "runtime"),
    root("walls", "leaks", "walls", "guest_walls", "confined"),
    root("mycelium", "mycelium", "mycelium_guests", "mycelium_offload"),
    root(
        "storage",
        "storaged",
        "storaged_kept",
        "storaged_space",
        "storaged_state",
        "storaged_contract",
        "zdbd",
        "flistd",
        "flistd_cache",
        "flistd_contract",
        "flistd_guest",
    ),
    lab("overlays", "lab_planetary", "lab_mycelium", "lab_zdb", "labs", "suite_ends"),
    Piece("clients", ("tests/clients",), is_online=True),
    Piece("wheel", ("tests/wheel",), is_online=True),
)
SPECIAL = (
    Piece("kills", ("tests/lab/test_lab_faults.py",), select="killed_in_the_middle"),
    Piece("node", ("tests/node",), is_online=True),
)
"""Not among all: what the first claims is claimed once there, and the second takes an image (`make test-node`)."""


@dataclass
class Run:
    """A piece that runs or has run."""

    piece: Piece
    folder: Path
    process: subprocess.Popen[bytes]
    began: float = field(default_factory=time.monotonic)
    took: float = 0.0
    cpu: float = 0.0
    """Seconds of processor that it and all that it waited for took."""

    def is_over(self) -> bool:
        """Whether it has ended; notes what it cost."""
        before = _cpu()
        if self.process.poll() is None:
            return False
        self.took, self.cpu = time.monotonic() - self.began, _cpu() - before
        return True

    @property
    def log(self) -> Path:
        """File with the output of the piece's pytest."""
        return self.folder / "log"

    @property
    def summary(self) -> str:
        """The last line that pytest wrote, without its frame."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1].strip("= ") if lines else "it said nothing"

    def slowest(self) -> list[tuple[float, str]]:
        """Seconds and name of each of its tests."""
        found = []
        with contextlib.suppress(OSError, xml.ParseError):
            for case in xml.parse(self.folder / "tests.xml").iter("testcase"):
                name = f"{case.get('classname', '').rpartition('.')[2]}::{case.get('name')}"
                found.append((float(case.get("time", "0")), name))
        return found

    def interrupt(self) -> None:
        """Ask it to end as Ctrl-C does: the first process of its namespaces does not hear it, and its pytest does."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGINT)

    def end(self) -> None:
        """Kill it; its namespaces end with it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def start(piece: Piece, folder: Path, more: Sequence[str]) -> Run:
    """Starts the piece in namespaces of its own and does not wait for it; `more` goes to pytest."""
    here = folder / piece.name
    here.mkdir()
    options = ["-q", "--tb=short", "-p", "no:cacheprovider", *more]
    options += [f"--junit-xml={here}/tests.xml", f"--basetemp={here}/t"]
    if piece.select:
        options += ["-k", piece.select]
    if piece.workers:
        options += ["-n", str(piece.workers), "--dist", "worksteal"]
    argv = [sys.executable, "-m", "pytest", *options, *piece.paths]
    if piece.is_patient:
        argv = ["nice", "-n", "10", *argv]
    more_namespaces, first = ([], ONLINE) if piece.is_online else (["--net"], ALONE)
    argv = [*NAMESPACES, *more_namespaces, "sh", "-c", first, "piece", *argv]
    environ = {**os.environ, "ZOS_TEST_ALONE": "1", "TMPDIR": str(here), "ZOS_LAB": f"t{os.getpid()}-{piece.name}"}
    # Without compiled files each of the hundreds of programs that tests start would compile zos again.
    for name in ("ZOS_CHAIN", "ZOS_KEY", "ZOS_HUB", "ZOS_STATE", "PYTHONDONTWRITEBYTECODE"):
        environ.pop(name, None)
    with (here / "log").open("wb") as log:
        process = subprocess.Popen(
            argv, cwd=ROOT, env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    return Run(piece, here, process)


def area(word: str) -> list[Piece]:
    """The pieces that an area's word means."""
    if found := [piece for piece in (*PIECES, *SPECIAL) if piece.name == word or piece.name.startswith(f"{word}-")]:
        return found
    if (ROOT / "zos" / word).is_dir():
        found = [Piece(f"zos-{word}", (f"zos/{word}",))]
        for kind in ("root", "lab"):
            tests = sorted((ROOT / "tests" / kind).glob(f"test_*{word}*.py"))
            if tests:
                found.append(Piece(f"{kind}-{word}", tuple(str(test.relative_to(ROOT)) for test in tests)))
        return found
    if Path(ROOT, word.partition("::")[0]).exists():
        # A piece's lab is called after it.
        return [Piece(re.sub(r"[^a-z0-9]+", "-", Path(word.partition("::")[0]).stem)[:20], (word,))]
    raise SystemExit(f"there is no area {word}: see --list, or name a package below zos/ or a path")


def run(
    pieces: Sequence[Piece], slots: int, seconds: float, folder: Path, more: Sequence[str], patience: float = PATIENCE
) -> list[Run]:
    """Run them, at most `slots` at once; whatever happens, nothing of them goes on after so many seconds."""
    waiting, running, done = list(pieces), list[Run](), list[Run]()
    deadline = time.monotonic() + seconds
    try:
        while waiting or running:
            while waiting and len(running) < slots:
                running.append(start(waiting.pop(0), folder, more))
            for one in [one for one in running if one.is_over()]:
                running.remove(one)
                done.append(one)
                word = "ok    " if one.process.returncode == 0 else "FAILED"
                print(f"{word} {one.piece.name:14} {one.took:6.0f} s {one.cpu:6.0f} CPU s   {one.summary}", flush=True)
            if time.monotonic() > deadline:
                print(f"not done after {seconds:.0f} s: {', '.join(one.piece.name for one in running)}", flush=True)
                done += running
                break
            time.sleep(0.1)
    finally:
        stop(running, folder, patience)
    return done


def stop(running: Sequence[Run], folder: Path, patience: float) -> None:
    """End them, by force when they do not in time, or when a second signal comes; nothing that they built stays."""
    deadline = time.monotonic() + patience
    try:
        for one in running:
            one.interrupt()
        while time.monotonic() < deadline and any(one.process.poll() is None for one in running):
            time.sleep(0.1)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        for one in running:
            one.end()
        remove_leftovers(folder)


def remove_leftovers(folder: Path) -> None:
    """Labs of pieces that ended and left them on, and loop devices of files in the tests' folder."""
    for lab_folder in sorted(STATES.glob(f"zos-lab-t{os.getpid()}-*")):
        name = lab_folder.name.removeprefix("zos-lab-")
        argv = [sys.executable, "-m", "zos.cli.main", "lab", "down", "--name", name]
        done = subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
        print(f"the lab {name} was left on; removed" if done.returncode == 0 else done.stderr.strip(), flush=True)
    for backing in LOOPS.glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):
            # The mounts of the piece are gone, and what is left of a path may begin below them.
            if f"/{folder.name}/" in backing.read_text():
                device = f"/dev/{backing.parents[1].name}"
                subprocess.run(["losetup", "--detach", device], stdin=subprocess.DEVNULL, timeout=30)
                print(f"{device} was left; detached", flush=True)


def report(done: Sequence[Run], seconds: float) -> bool:
    """Print what failed and what was slow; whether all is well."""
    failed = [one for one in done if one.process.returncode != 0]
    for one in failed:
        lines = one.log.read_text(errors="replace").splitlines()
        print(f"\n===== {one.piece.name}: {' '.join(one.piece.paths)}")
        print("\n".join(lines[-SHOWN:]))
    slowest = sorted((test for one in done for test in one.slowest()), reverse=True)[:SLOWEST]
    print(f"\nThe slowest {len(slowest)}:")
    for took, name in slowest:
        print(f"{took:7.1f} s  {name}")
    print(
        f"\n{seconds:.0f} s. " + (f"Failed: {', '.join(one.piece.name for one in failed)}" if failed else "All passed.")
    )
    return not failed


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("areas", nargs="*", metavar="AREA")
    parser.add_argument("--list", action="store_true", help="show the pieces")
    parser.add_argument("--repeat", type=int, help="every test so many times, on one lab")
    parser.add_argument("--patience", type=float, default=PATIENCE, help="seconds to end in when interrupted")
    parser.add_argument("--slots", type=int, default=2 + (os.cpu_count() or 2), help="pieces at once")
    arguments, more = parser.parse_known_args()
    if arguments.list:
        for piece in (*PIECES, *SPECIAL):
            print(f"{piece.name:14} {' '.join(piece.paths)}")
        return 0
    if arguments.repeat:
        more += ["--repeat", str(arguments.repeat)]
    chosen = {piece.name: piece for word in arguments.areas for piece in area(word)}
    pieces = list(chosen.values() if chosen else PIECES)
    began = time.monotonic()
    # A TERM ends the pieces as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="zt-"))
    # A node's daemons and guests are users of their own.
    folder.chmod(0o711)
    try:
        seconds = DEADLINE * (arguments.repeat or 1)
        done = run(pieces, arguments.slots, seconds, folder, more, arguments.patience)
        well = report(done, time.monotonic() - began)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        return 130
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
