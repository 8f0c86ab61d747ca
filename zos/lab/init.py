"""A box's PID 1, in the place of a node's systemd: reaps orphans, starts units and restarts them.

    python -I -S init.py BOX RUN-FOLDER --python PATH --units FOLDER...

It reads the same unit files as systemd does, of them ExecStart, Environment, Restart, RestartSec and After. Only a
unit's main process is its concern (KillMode=process): what a unit has detached goes on living when the unit ends,
as guests, mounts and tunnels must. It imports little of the standard library, so that a lab of many boxes stays small.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
import time

SIGNALS = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT}
METAL_PYTHON = "/opt/zos/bin/python"
"""The interpreter in a node's image; in a lab it is replaced by the one that runs the lab."""
STOP_GRACE = 10.0
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
}
"""Nothing of the caller's, so that its proxies do not reach the units."""


class Unit:
    """A service, as its file describes it, and its process."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.argv: list[str] = []
        self.environment: dict[str, str] = {}
        self.restart = "no"
        self.pause = 0.1
        self.after: list[str] = []
        self.pid = 0
        self.due = 0.0
        for key, value in settings(text):
            self._set(key, value)

    def _set(self, key: str, value: str) -> None:
        if key == "ExecStart":
            self.argv = shlex.split(value.lstrip("-@:+!"))
        elif key == "Environment":
            for word in shlex.split(value):
                name, _, text = word.partition("=")
                self.environment[name] = text
        elif key == "Restart":
            self.restart = value
        elif key == "RestartSec":
            self.pause = seconds(value)
        elif key == "After":
            self.after += value.split()

    def restarts_after(self, status: int) -> bool:
        """Whether the unit is started again when it ends with this status."""
        return self.restart == "always" or (self.restart.startswith("on-") and status != 0)


def settings(text: str) -> list[tuple[str, str]]:
    """The `Key=value` lines of a unit file; continued lines joined."""
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        line = line.strip()
        key, equals, value = line.partition("=")
        if equals and not line.startswith(("#", ";")):
            found.append((key.strip(), value.strip()))
    return found


def seconds(text: str) -> float:
    """systemd's time span, as far as units use it: `200ms`, `1s`, `2`, `1min`."""
    for suffix, scale in (("ms", 0.001), ("min", 60.0), ("s", 1.0)):
        if text.endswith(suffix):
            return float(text[: -len(suffix)]) * scale
    return float(text)


def in_order(units: list[Unit]) -> list[Unit]:
    """Sorted so that each unit comes after those that its After names; a cycle is cut where it is found."""
    by_name = {unit.name: unit for unit in units}
    done: dict[str, Unit] = {}

    def visit(unit: Unit, above: frozenset[str]) -> None:
        if unit.name in done or unit.name in above:
            return
        for name in unit.after:
            if name in by_name:
                visit(by_name[name], above | {unit.name})
        done[unit.name] = unit

    for unit in sorted(units, key=lambda unit: unit.name):
        visit(unit, frozenset())
    return list(done.values())


def read_units(folders: list[str]) -> list[Unit]:
    """Every service below the folders; a later folder's overrides one of the same name."""
    texts: dict[str, str] = {}
    for folder in folders:
        for name in sorted(os.listdir(folder)):
            if name.endswith(".service"):
                with open(os.path.join(folder, name), encoding="utf-8") as file:
                    texts[name] = file.read()
    return in_order([unit for unit in (Unit(name, text) for name, text in texts.items()) if unit.argv])


class Init:
    """The units of one box."""

    def __init__(self, units: list[Unit], python: str, run: str) -> None:
        self.units = units
        self.python = python
        self.run = run

    def start(self, unit: Unit) -> None:
        """Fork and execute the unit."""
        unit.due = 0.0
        pid = os.fork()
        if pid:
            unit.pid = pid
            return
        try:
            argv = [self.python if unit.argv[0] == METAL_PYTHON else unit.argv[0], *unit.argv[1:]]
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            os.setsid()
            os.chdir("/")
            log = os.open(
                f"{self.run}/log/{unit.name.removesuffix('.service')}.log",
                os.O_WRONLY | os.O_CREAT | os.O_APPEND,
                0o600,
            )
            os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.closerange(3, 64)
            os.execvpe(argv[0], argv, {**ENVIRONMENT, **unit.environment})  # noqa: S606 - units name programs
        except OSError as err:
            os.write(2, f"init: {unit.name} cannot be started: {err}\n".encode())
        finally:
            os._exit(127)

    def reap(self) -> None:
        """Collect the status of ended children, orphans included; set the time of a unit's next start."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            for unit in self.units:
                if unit.pid == pid:
                    unit.pid = 0
                    if unit.restarts_after(os.waitstatus_to_exitcode(status)):
                        unit.due = time.monotonic() + unit.pause

    def start_due(self) -> None:
        """Start every unit whose time of start has passed."""
        for unit in self.units:
            if unit.due and not unit.pid and unit.due <= time.monotonic():
                self.start(unit)

    def pause(self) -> float:
        """Seconds until a unit is due."""
        due = [unit.due for unit in self.units if unit.due and not unit.pid]
        return max(0.0, min(due) - time.monotonic()) if due else 3600.0

    def stop(self) -> None:
        """End the units, last started first; the kernel ends whatever else is in the box."""
        deadline = time.monotonic() + STOP_GRACE
        for unit in reversed(self.units):
            unit.restart, unit.due = "no", 0.0
            if unit.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(unit.pid, signal.SIGTERM)
            while unit.pid and time.monotonic() < deadline:
                signal.sigtimedwait(SIGNALS, 0.2)
                self.reap()

    def run_units(self) -> None:
        """Run the units until SIGTERM."""
        for unit in self.units:
            unit.due = time.monotonic()
        while True:
            self.start_due()
            received = signal.sigtimedwait(SIGNALS, self.pause())
            self.reap()
            if received is not None and received.si_signo in (signal.SIGTERM, signal.SIGINT):
                self.stop()
                return


def main(argv: list[str]) -> None:
    """`BOX RUN-FOLDER --python PATH --units FOLDER...`"""
    python, folders = argv[argv.index("--python") + 1], argv[argv.index("--units") + 1 :]
    run = "/run"
    os.umask(0o022)
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    os.makedirs(f"{run}/log", exist_ok=True)
    init = Init(read_units(folders), python, run)
    with open(f"{run}/ready", "w", encoding="utf-8"):
        pass
    init.run_units()


if __name__ == "__main__":
    main(sys.argv[1:])
