"""A whole lab: the main job, what survives which kill, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from zos.bus.client import Bus
from zos.core0.api import Core0Client
from zos.lab.keeper import Lab
from zos.lab.topology import Layout
from zos.provisiond.api import ProvisiondClient
from zos.vmd.api import VmdClient

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

LAYOUT = Layout()


def zos(*argv: str, state: Path, check: bool = True) -> Any:
    """Run the user's command line; its JSON answer."""
    environ = {**os.environ, "ZOS_STATE": str(state)}
    for name in ("ZOS_CHAIN", "ZOS_KEY", "ZOS_HUB"):
        environ.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-m", "zos.cli.main", *argv, "--json"],
        capture_output=True,
        text=True,
        timeout=280,
        env=environ,
        check=False,
    )
    if check:
        assert done.returncode == 0, f"zos {' '.join(argv)}: {done.stderr[-2000:]}"
        return json.loads(done.stdout) if done.stdout.strip() else None
    return done


def world() -> dict[str, list[str]]:
    """What a lab could leave on this machine."""

    def lines(*argv: str) -> list[str]:
        return sorted(subprocess.run(argv, capture_output=True, text=True, timeout=30, check=True).stdout.splitlines())

    links = [line.split(":")[1].strip() for line in lines("ip", "-o", "link")]
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    processes = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = path.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if "zos-lab" in text or "zos.core0" in text or "/zos/lab/init.py" in text:
            processes.append(text.replace("\0", " "))
    return {
        "links": links,
        "mounts": sorted(mounts),
        "loops": lines("losetup", "-n", "-O", "NAME,BACK-FILE"),
        "nft": lines("nft", "list", "tables"),
        "namespaces": lines("ip", "netns", "list"),
        "processes": sorted(processes),
        "folders": sorted(str(path) for path in (LAYOUT.state, LAYOUT.run) if path.exists()),
    }


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("user")


@pytest.fixture(scope="module")
def demo(state: Path) -> Iterator[dict[str, Any]]:
    """A lab in which the demo has run; gone afterwards, with nothing left."""
    zos("lab", "down", state=state)
    before = world()
    try:
        yield zos("lab", "demo", state=state)
    finally:
        zos("lab", "down", state=state)
    assert world() == before


def box_pid(name: str) -> int:
    return Lab(LAYOUT).pid(name)


async def unit_pid(node: str, unit: str) -> int:
    async with Bus(LAYOUT.sockets(node)) as bus:
        return next(one.pid for one in await Core0Client(bus).units() if one.name == unit)


async def kill(node: str, pid: int) -> None:
    """kill -9 by the process id that the node itself sees."""
    await Lab(LAYOUT).run(node, ["kill", "-KILL", str(pid)])


async def eventually(what: Any, seconds: float = 30.0) -> None:
    """Until an async question is answered with yes."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                if await what():
                    return
            except Exception:  # noqa: BLE001 - what is being restarted answers with all kinds of errors
                pass
            await asyncio.sleep(0.05)


async def guests(node: str) -> dict[str, int]:
    async with Bus(LAYOUT.sockets(node)) as bus:
        return {str(one.id): one.pid for one in await VmdClient(bus).list_machines() if one.state == "running"}


def test_a_signed_contract_becomes_machines_that_answer(demo: dict[str, Any]) -> None:
    assert demo["proved"] == {
        "user → vm1": "hello from vm1",
        "user → vm2": "hello from vm2",
        "vm1 → vm2": "hello from vm2",
        "vm2 → vm1": "hello from vm1",
    }


def test_the_users_commands_tell_what_is(demo: dict[str, Any], state: Path) -> None:
    contract = demo["contracts"]["1"]
    assert [one["id"] for one in zos("node", "list", state=state)] == [1, 2]
    assert zos("farm", "list", state=state)[0]["name"] == "lab"
    assert zos("contract", "show", str(contract), state=state)["state"] == "Created"
    workloads = zos("status", str(contract), state=state)["deployment"]["workloads"]
    assert {one["result"]["state"] for one in workloads} == {"ok"}
    machine = next(one["name"] for one in workloads if one["type"] == "zmachine")
    assert "web: serving" in zos("logs", str(contract), machine, state=state)["console"]
    why = zos("why", machine, state=state)
    words = [link["what"].split()[0] for link in why["links"]]
    assert words.index("chain") < words.index("fetch") < words.index("admission") < words.index("machine")
    assert words[-1] == "console"
    assert "[Interface]" in zos("wg", str(contract), state=state)["configuration"]
    missing = zos("status", "999", state=state, check=False)
    assert missing.returncode == 3
    assert "deployment not found" in missing.stderr


def test_running_it_again_changes_nothing(demo: dict[str, Any], state: Path) -> None:
    again = zos("lab", "demo", state=state)
    assert again["contracts"] == demo["contracts"]
    assert again["proved"] == demo["proved"]


@pytest.mark.parametrize("unit", ["storaged", "networkd", "chain", "flistd", "vmd", "provisiond", "capacityd"])
async def test_a_killed_daemon_is_back_and_guests_do_not_notice(demo: dict[str, Any], unit: str) -> None:
    before = await guests("node-1")
    old = await unit_pid("node-1", unit)
    await kill("node-1", old)

    async def is_back() -> bool:
        async with Bus(LAYOUT.sockets("node-1")) as bus:
            found = next(one for one in await Core0Client(bus).units() if one.name == unit)
            return found.state == "running" and found.pid not in (0, old)

    await eventually(is_back)

    async def same() -> bool:
        return await guests("node-1") == before

    await eventually(same)
    assert before


async def test_a_killed_core0_is_back_and_guests_do_not_notice(demo: dict[str, Any]) -> None:
    before = await guests("node-2")
    pids = [
        int(pid) for pid in Path(f"/proc/{box_pid('node-2')}/task/{box_pid('node-2')}/children").read_text().split()
    ]
    core0 = next(pid for pid in pids if b"zos.core0" in Path(f"/proc/{pid}/cmdline").read_bytes())
    os.kill(core0, signal.SIGKILL)

    async def same() -> bool:
        async with Bus(LAYOUT.sockets("node-2")) as bus:
            units = await Core0Client(bus).units()
            return all(one.state == "running" for one in units) and await guests("node-2") == before

    await eventually(same)
    assert before


async def test_the_chain_and_the_hub_may_go_and_guests_run(demo: dict[str, Any], state: Path) -> None:
    before = await guests("node-1")
    for name in ("chain", "hub"):
        os.kill(box_pid(name), signal.SIGKILL)
    await kill("node-1", await unit_pid("node-1", "provisiond"))

    async def still_ok() -> bool:
        async with Bus(LAYOUT.sockets("node-1")) as bus:
            (one,) = await ProvisiondClient(bus).list()
            return {workload["result"]["state"] for workload in one["workloads"]} == {"ok"}

    await eventually(still_ok)
    assert await guests("node-1") == before
    zos("lab", "up", state=state)


def test_a_cancelled_contract_takes_its_machine_and_keeps_its_data(demo: dict[str, Any], state: Path) -> None:
    contract = demo["contracts"]["1"]
    zos("cancel", str(contract), state=state)

    async def gone() -> bool:
        return not await guests("node-1")

    asyncio.run(eventually(gone))

    async def buried() -> bool:
        found = zos("tombstones", "1", state=state)
        return {one["kind"] for one in found} == {"disk", "volume"}

    asyncio.run(eventually(buried))


def test_a_lab_comes_back_after_everything_was_killed(demo: dict[str, Any], state: Path) -> None:
    for pid in [seen.pid for seen in Lab(LAYOUT).host.observe().boxes.values()]:
        os.kill(pid, signal.SIGKILL)
    again = zos("lab", "demo", state=state)
    assert again["proved"] == demo["proved"]
