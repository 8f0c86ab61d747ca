"""`make test` that is ended in the middle leaves nothing on the machine."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SUITE = ROOT / "tests/suite.py"

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

HEAD = """
import os, signal, subprocess, sys, time
from pathlib import Path
import pytest
"""
TIDY = (
    HEAD
    + """
@pytest.fixture
def loop():
    disk = Path(os.environ["TMPDIR"], "disk")
    disk.write_bytes(bytes(1 << 20))
    device = subprocess.check_output(["losetup", "-f", "--show", disk], text=True).strip()
    yield
    subprocess.run(["losetup", "-d", device], check=True)
    Path("{folder}/tidied").touch()

@pytest.mark.lab
def test_waits(loop):
    Path("{folder}/began").touch()
    time.sleep(200)
"""
)
DEAF = (
    HEAD
    + """
@pytest.mark.lab
def test_waits():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    disk = Path(os.environ["TMPDIR"], "disk")
    disk.write_bytes(bytes(1 << 20))
    subprocess.run(["losetup", "-f", disk], check=True)
    subprocess.run([sys.executable, "-m", "zos.cli.main", "lab", "up", "--nodes", "1"], check=True)
    Path("{folder}/began").touch()
    time.sleep(200)
"""
)


def ended(folder: Path, test: str, number: signal.Signals, *options: str) -> tuple[int, str]:
    """The pid of the suite that ran this test and was sent a signal in the middle of it, and what it said."""
    path = folder / "test_it.py"
    path.write_text(test.replace("{folder}", str(folder)))
    argv = [sys.executable, str(SUITE), *options, str(path)]
    with subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as suite:
        deadline = time.monotonic() + 200
        try:
            while not (folder / "began").exists():
                assert suite.poll() is None, suite.communicate()[0]
                assert time.monotonic() < deadline, "the test did not begin"
                time.sleep(0.05)
            suite.send_signal(number)
            said, _ = suite.communicate(timeout=100)
        finally:
            suite.kill()
    assert suite.returncode == 130, said
    return suite.pid, said


def left(pid: int) -> list[str]:
    """Labs, loop devices and folders of the suite that had this pid."""
    argv = [sys.executable, "-m", "zos.cli.main", "lab", "list", "--json"]
    labs = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout
    loops = subprocess.run(["losetup", "-n", "-O", "BACK-FILE"], capture_output=True, text=True, check=True).stdout
    found = [line for line in loops.splitlines() if "/zt-" in line and "/test-it/disk" in line]
    found += [str(path) for path in Path("/var/lib").glob(f"zos-lab-t{pid}-*")]
    return found + [line for line in (labs + loops).splitlines() if f"t{pid}-" in line]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_tests_built_they_take_down_when_the_suite_is_ended(tmp_path: Path, number: signal.Signals) -> None:
    pid, _ = ended(tmp_path, TIDY, number)
    assert (tmp_path / "tidied").exists()
    assert left(pid) == []


def test_what_tests_do_not_take_down_the_suite_removes(tmp_path: Path) -> None:
    pid, said = ended(tmp_path, DEAF, signal.SIGTERM, "--patience", "1")
    assert f"the lab t{pid}-test-it was left on; removed" in said
    assert left(pid) == []
