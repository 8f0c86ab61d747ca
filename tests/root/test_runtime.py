"""Programs, and core-0 with real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from zos.bus import Bus, Unreachable
from zos.core0.api import Core0Client, KeyUse, NotYours, Purpose, UnitInfo, UnitState
from zos.runtime import cgroup, linux, proc

pytestmark = pytest.mark.root


async def test_a_failed_program_says_its_name_code_and_last_words():
    with pytest.raises(proc.ProgramFailed, match=r"`sh -c echo oops >&2; exit 3` ended with status 3: oops"):
        await proc.run(["sh", "-c", "echo oops >&2; exit 3"])


async def test_a_program_is_stopped_at_its_deadline_with_its_children():
    with pytest.raises(proc.ProgramTooSlow):
        await proc.run(["sh", "-c", "sleep 61 & sleep 61"], deadline=0.2)
    assert not [p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == ["sleep", "61"]]


async def test_a_missing_program_says_what_to_install():
    with pytest.raises(proc.ProgramMissing, match="no-such-program"):
        await proc.run(["no-such-program"])


async def test_a_spawned_program_is_nobodys_child_and_keeps_its_pid(tmp_path: Path):
    pid = await proc.spawn(["sh", "-c", "echo here; exec sleep 62"], log=tmp_path / "log")
    try:
        process = psutil.Process(pid)
        assert process.ppid() != os.getpid()
        assert os.getsid(pid) == pid
        async with asyncio.timeout(5):
            while (tmp_path / "log").read_text() != "here\n":
                await asyncio.sleep(0.01)
        assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600
    finally:
        os.kill(pid, signal.SIGKILL)


class Supervisor:
    """core-0 as a process of its own, with the daemons that need no machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Daemons are users of their own, and pytest's folders are shut to others.
        for shut in (folder, *folder.parents):
            shut.chmod(shut.stat().st_mode | 0o111)
        config = folder / "zos.toml"
        config.write_text(
            f'[node]\nrun_dir = "{folder}/run"\nstate_dir = "{folder}/state"\n[core0]\nunits = ["chain", "capacityd"]\n'
        )
        self.environment = os.environ | {"ZOS_CONFIG": str(config)}
        self.bus = Bus(folder / "run")

    async def __aenter__(self) -> Supervisor:
        await self.start()
        return self

    async def start(self) -> None:
        with (self.folder / "core0.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "zos.core0", env=self.environment, stdout=log, stderr=log, start_new_session=True
            )

    async def __aexit__(self, *_: object) -> None:
        await self.bus.close()
        if self.process.returncode is None:
            self.process.terminate()
        async with asyncio.timeout(30):
            await self.process.wait()

    async def running(self, name: str, other_than: int = 0) -> UnitInfo:
        """Wait until a unit runs, with another pid than before."""
        async with asyncio.timeout(60):
            while True:
                try:
                    units = {unit.name: unit for unit in await Core0Client(self.bus).units()}
                except Unreachable:
                    units = {}
                unit = units.get(name)
                if unit and unit.state is UnitState.RUNNING and unit.pid != other_than:
                    return unit
                await asyncio.sleep(0.02)


async def test_a_killed_daemon_is_back_with_under_a_second_of_delay(tmp_path: Path):
    async with Supervisor(tmp_path) as core0:
        before = await core0.running("chain")
        os.kill(before.pid, signal.SIGKILL)
        after = await core0.running("chain", other_than=before.pid)
        assert after.restarts == 1
        assert psutil.Process(after.pid).create_time() - before.since < 60
        log = (tmp_path / "core0.log").read_text()
        assert "was killed by signal 9" in log


async def test_the_key_outlives_core0_and_its_daemons_do_not(tmp_path: Path):
    async with Supervisor(tmp_path) as core0:
        unit = await core0.running("chain")
        identity = await Core0Client(core0.bus).identity()
        core0.process.kill()
        await core0.process.wait()
        async with asyncio.timeout(10):
            while psutil.pid_exists(unit.pid):
                await asyncio.sleep(0.01)
        await core0.start()
        await core0.running("chain", other_than=unit.pid)
        assert await Core0Client(core0.bus).identity() == identity


async def test_root_alone_gets_no_signature_of_the_node(tmp_path: Path):
    async with Supervisor(tmp_path) as core0:
        await core0.running("chain")
        client = Core0Client(core0.bus)
        for asked in (client.sign(Purpose.RMB, bytes(16)), client.derive(KeyUse.MYCELIUM), client.agree(bytes(33))):
            with pytest.raises(NotYours, match="on behalf of root"):
                await asked
        assert not (tmp_path / "run" / "core0" / ".bus" / "grpc").exists()


async def test_an_orderly_end_takes_every_daemon_along(tmp_path: Path):
    async with Supervisor(tmp_path) as core0:
        pids = [(await core0.running(name)).pid for name in ("chain", "capacityd")]
    assert core0.process.returncode == 0
    # Their parent has ended too: the machine's init buries them when it gets to it.
    async with asyncio.timeout(10):
        while [pid for pid in pids if psutil.pid_exists(pid)]:
            await asyncio.sleep(0.01)


async def test_a_daemon_keeps_only_the_capabilities_of_its_unit(tmp_path: Path):
    async with Supervisor(tmp_path) as core0:
        unit = await core0.running("chain")
        status = Path(f"/proc/{unit.pid}/status").read_text()
        masks = dict(line.split(":\t") for line in status.splitlines() if line.startswith("Cap"))
        assert int(masks["CapEff"], 16) == int(masks["CapBnd"], 16) == 0


async def test_an_unreadable_key_stops_the_node_with_a_message(tmp_path: Path):
    supervisor = Supervisor(tmp_path)
    key = tmp_path / "state" / "core0" / "key.json"
    key.parent.mkdir(parents=True)
    key.write_text("torn")
    async with supervisor:
        async with asyncio.timeout(30):
            assert await supervisor.process.wait() == 1
    assert f"the node's key {key} cannot be used" in (tmp_path / "core0.log").read_text()
    assert key.read_text() == "torn"


def test_a_control_group_is_made_while_other_nodes_of_the_machine_sweep_theirs():
    trees = cgroup.find(linux.mounts())
    if trees.missing:
        pytest.skip(f"this machine has no control groups for {', '.join(trees.missing)}")
    done = threading.Event()

    def sweep() -> None:
        while not done.is_set():
            cgroup.sweep(trees)

    sweeper = threading.Thread(target=sweep)
    sweeper.start()
    try:
        for number in range(50):
            with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as guest:
                name = cgroup.name_of(f"test-{number}")
                cgroup.place(trees, name, cgroup.Limits(1 << 26, 50, 1), [guest.pid])
                placed = Path(f"/proc/{guest.pid}/cgroup").read_text()
                assert placed.count(f"/{cgroup.PARENT}/{name}\n") == len(set(trees.roots.values()))
    finally:
        done.set()
        sweeper.join()
        cgroup.sweep(trees)
