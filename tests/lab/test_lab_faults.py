"""What goes wrong in the middle of a deployment, in a whole lab: kills, hostile flists, sizes that nobody has."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from labs import (
    HUB,
    UNITS,
    addresses,
    box_of,
    command,
    contracts,
    core0_pid,
    environment,
    eventually,
    kill,
    spec,
    states,
    unit_pid,
    zos,
)

from zos import hub

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]


def workloads(contract: int, state: Path) -> list[dict[str, Any]]:
    """As `zos status` shows them; its exit code says whether all is well, so it is not looked at."""
    found = json.loads(zos("status", str(contract), state=state, check=False).stdout)
    return list(found["deployment"]["workloads"])


@pytest.fixture
def deployed(state: Path) -> Iterator[list[str]]:
    """Names of deployments that are cancelled afterwards."""
    names: list[str] = []
    yield names
    for contract in [id for name in names for id in contracts(name, state)]:
        zos("cancel", str(contract), state=state)


@pytest.mark.parametrize("victim", ["core0", *UNITS])
async def test_a_deployment_completes_whoever_is_killed_in_the_middle_of_it(
    demo: dict[str, Any], state: Path, tmp_path: Path, deployed: list[str], victim: str
) -> None:
    name = f"mid{victim}"
    deployed.append(name)
    box = box_of(1, state)
    pid = core0_pid(box) if victim == "core0" else await unit_pid(box, victim)
    user = subprocess.Popen(
        command("deploy", str(spec(tmp_path, name)), "--no-wait"),
        env=environment(state),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        while not contracts(name, state):
            assert user.poll() in (None, 0), user.stderr and user.stderr.read()
            await asyncio.sleep(0.005)
        (contract,) = contracts(name, state)
        seen: dict[str, str] = {}
        while not seen:
            seen = await states(box, contract)
        assert set(seen.values()) != {"ok"}, "too late to be in the middle"
        if victim == "core0":
            os.kill(pid, signal.SIGKILL)
        else:
            await kill(box, pid)
    finally:
        await asyncio.to_thread(user.wait, 60)
        assert user.stderr is not None
        user.stderr.close()

    async def all_ok() -> bool:
        return set((await states(box, contract)).values()) == {"ok"}

    await eventually(all_ok, 60)

    async def serves() -> bool:
        return "web: serving" in zos("logs", str(contract), f"{name}vm", state=state)["console"]

    await eventually(serves, 60)


def hostile(folder: Path) -> dict[str, tuple[bytes, str]]:
    """Flists that nobody should mount, each with what is said of it."""
    tree = folder / "tree"
    (tree / "sbin").mkdir(parents=True)
    (tree / "sbin" / "web").write_text("#!/bin/sh\n")
    built = hub.build(tree, HUB / "hostile-whole.fl", root=HUB, url=addresses().hub_url)
    whole = built.path.read_bytes()
    link = folder / "link"
    link.mkdir()
    (link / "image.raw").symlink_to("/etc/shadow")
    image = hub.build(link, HUB / "hostile-link.fl", root=HUB, url=addresses().hub_url).path.read_bytes()
    climbing = folder / "climbing.fl"
    climbing.write_bytes(whole)
    with sqlite3.connect(climbing) as base:
        base.execute("UPDATE inode SET name = '..' WHERE name = 'web'")
    base.close()
    return {
        "torn": (whole[: len(whole) // 2], ""),
        "page": (b"<html>not a flist</html>", "another kind of file"),
        "imglink": (image, "leads to no file inside the flist"),
        "climb": (climbing.read_bytes(), ".."),
    }


def test_hostile_flists_are_errors_of_their_machine_and_disks_stay(
    demo: dict[str, Any], state: Path, tmp_path: Path, deployed: list[str]
) -> None:
    for name, (data, text) in hostile(tmp_path).items():
        (HUB / f"hostile-{name}.fl").write_bytes(data)
        deployed.append(name)
        refused = zos(
            "deploy", str(spec(tmp_path, name, f"{addresses().hub_url}/hostile-{name}.fl")), state=state, check=False
        )
        assert refused.returncode == 1, refused.stderr
        assert f"{name}vm" in refused.stderr
        assert text in refused.stderr
        (contract,) = contracts(name, state)
        assert f"zos why {contract}" in refused.stderr
        found = workloads(contract, state)
        assert {one["type"]: one["result"]["state"] for one in found} == {
            "network": "ok",
            "zmount": "ok",
            "zmachine": "error",
        }


def test_a_disk_that_no_pool_has_room_for_is_an_error_and_others_live(
    demo: dict[str, Any], state: Path, tmp_path: Path, deployed: list[str]
) -> None:
    deployed.append("huge")
    refused = zos("deploy", str(spec(tmp_path, "huge", size="900TiB")), state=state, check=False)
    assert refused.returncode == 1
    assert "hugedisk" in refused.stderr
    (contract,) = contracts("huge", state)
    found = workloads(contract, state)
    by_type = {one["type"]: one["result"]["state"] for one in found}
    assert by_type["zmount"] == "error"
    assert by_type["network"] == "ok"
    theirs = workloads(demo["contracts"]["2"], state)
    assert {one["result"]["state"] for one in theirs} == {"ok"}
