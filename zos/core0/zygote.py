"""The parent that all daemons are forked from: it has imported what they share, so they share its pages.

It is single-threaded and never starts gRPC (whose threads do not survive a fork). core-0 asks it over a socket pair;
when core-0 is gone it ends, and the kernel ends its daemons (guests, mounts and tunnels are nobody's children).
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zos.core0.units import UNITS, Unit, groups_of
from zos.runtime import linux, privileges, walls

# By name: core-0 knows no sibling. All of them, because a page that one process wrote while it imported is its own:
# what each daemon imported for itself took half of the memory of an idle node.
SHARED = (
    "zos.core0.daemon",
    *(f"zos.{unit.name}.daemon" for unit in UNITS),
    # What they import when they first use it.
    "zos.fetch.aio",
    "cryptography.hazmat.backends.openssl",
    # Packages of which they take every module that is there.
    "zos.networkd.places.*",
    "zos.primitives.*",
    "zos.primitives.zmachine.attachments.*",
    "zos.rmb.commands.*",
)
LIMIT = 4096


def spawn(modules: Sequence[str] = SHARED) -> tuple[int, socket.socket]:
    """Import, fork the zygote, and return its pid and our end of the socket pair. Call before any thread exists."""
    linux.keep_one_heap()
    gc.disable()
    for name in modules:
        try:
            _import(name)
        except Exception as err:  # noqa: BLE001 - a daemon that cannot be imported is no reason not to boot the others
            sys.stderr.write(f"core0: {name} is not shared between daemons: {type(err).__name__}: {err}\n")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    # A collection would write to every object, and so copy what is shared.
    gc.freeze()
    gc.enable()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        ours.close()
        os._exit(_serve(theirs))
    theirs.close()
    return pid, ours


def _import(name: str) -> None:
    package = importlib.import_module(name.removesuffix(".*"))
    if name.endswith(".*"):
        for one in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            if not one.name.endswith(".tests"):
                importlib.import_module(one.name)


def _serve(control: socket.socket) -> int:
    privileges.die_with_parent(signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    watched: list[socket.socket | int] = [control, reader]
    while True:
        ready, _, _ = select.select(watched, [], [])
        if reader in ready:
            os.read(reader, LIMIT)
            _reap(control)
        if control in ready:
            message = control.recv(LIMIT)
            if not message:
                return 0
            request = json.loads(message)
            parent = os.getpid()
            begin, known = os.pipe2(os.O_CLOEXEC)
            pid = os.fork()
            if pid == 0:
                for descriptor in (control.detach(), reader, writer, known):
                    os.close(descriptor)
                # core-0 knows its callers by their pids, so it is told of this one before it can call.
                os.read(begin, 1)
                os.close(begin)
                _become(request, parent)
            _tell(control, {"name": request["name"], "pid": pid})
            os.close(begin)
            os.close(known)


def _reap(control: socket.socket) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        _tell(control, {"ended": pid, "status": os.waitstatus_to_exitcode(status)})


def _tell(control: socket.socket, message: dict[str, object]) -> None:
    try:
        control.send(json.dumps(message).encode())
    except OSError:
        # core-0 is gone; the next recv says so and ends us.
        return


def _become(request: dict[str, Any], parent: int) -> None:
    """In the fork: turn into the daemon and never return."""
    name = str(request["name"])
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    status = 1
    try:
        os.setsid()
        for variable in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
            os.environ.pop(variable, None)
        if os.geteuid() == 0:
            confine(request)
        # Now, since the kernel forgets it when a process becomes somebody else.
        privileges.die_with_parent(signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)  # it ended before the kernel knew of the call above
        sys.argv = [f"zos-{name}"]
        runpy.run_module(f"zos.{name}", run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:  # noqa: BLE001 - the last line of this process; nothing above would print it
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def order(unit: Unit, run_dir: Path, state_dir: Path) -> dict[str, Any]:
    """What the zygote is sent to start a unit."""
    return {
        "name": unit.name,
        "user": unit.id,
        "groups": groups_of(unit),
        "capabilities": unit.capabilities,
        "walled": unit.walled,
        "calls": tuple(unit.calls),
        "run_dir": str(run_dir),
        "state_dir": str(state_dir),
    }


def confine(request: dict[str, Any]) -> None:
    """Leave this process, which is root's, what the ordered unit may have."""
    name, run_dir, state_dir = request["name"], Path(request["run_dir"]), Path(request["state_dir"])
    code = walls.program()
    if request["walled"]:
        try:
            walls.build(name, run_dir, state_dir, request["calls"], reach=code)
        except OSError as err:
            sys.stderr.write(f"zos-{name}: the kernel refuses it a view of files of its own: {err}\n")
    os.environ["HOME"] = str(state_dir / name)
    privileges.become(request["user"], request["groups"], request["capabilities"])
    for folder in code:
        if not os.access(folder, os.R_OK | os.X_OK, effective_ids=True):
            sys.stderr.write(
                f"zos-{name}: its user {request['user']} cannot read {folder}; open it: chmod -R o+rX {folder}\n"
            )
    walls.close_up(walls.FORBIDDEN if request["walled"] else walls.NEVER)
