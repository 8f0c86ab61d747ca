"""Labs side by side: what happens to one is not seen by the other."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from labs import LAYOUT, NAME, command, environment, guests, web, zos

from zos.lab import record
from zos.lab.manager import Lab
from zos.lab.topology import Layout

pytestmark = [pytest.mark.lab, pytest.mark.timeout(400)]

OTHER = f"{NAME}-b"
NODES = ("node-1", "node-2")


def boxes(name: str, state: Path) -> list[dict[str, Any]]:
    """A lab's boxes with the processes in them; how long its daemons run is left out."""
    found = zos("lab", "status", "--name", name, state=state)
    for box in found:
        box["units"] = [(unit["name"], unit["pid"], unit["restarts"]) for unit in box["units"]]
    return list(found)


async def everything(state: Path) -> dict[str, Any]:
    """What could change in this lab when another one comes or goes."""
    lab = Lab(LAYOUT)
    inside = {
        name: [
            sorted(line.split()[1] for line in (await lab.run(name, ["cat", "/proc/mounts"])).splitlines()),
            await lab.run(name, ["ip", "-o", "-4", "address"]),
            await lab.run(name, ["ip", "route"]),
        ]
        for name in ("internet", *NODES)
    }
    observed = lab.host.observe()
    return {
        "boxes": boxes(NAME, state),
        "guests": [await guests(name) for name in NODES],
        "inside": inside,
        "loops": observed.loops,
        "pids": {name: box.pid for name, box in observed.boxes.items()},
        "folders": observed.folders,
        "record": lab.record(),
        "nodes": zos("node", "list", state=state),
    }


@pytest.fixture
def other(demo: dict[str, Any], state: Path) -> Iterator[str]:
    """The name of a second lab; it is gone afterwards."""
    yield OTHER
    zos("lab", "down", "--name", OTHER, state=state)


async def test_a_lab_that_comes_and_goes_is_not_noticed_by_the_one_beside_it(
    demo: dict[str, Any], state: Path, other: str
) -> None:
    zos("lab", "demo", state=state)
    before = await everything(state)
    told = zos("lab", "up", "--nodes", "1", "--name", other, state=state)
    assert told["nodes"] == {"node-1": 1}
    assert told["chain"] != Lab(LAYOUT).addresses.chain_url
    assert {one["name"]: one["nodes"] for one in zos("lab", "list", state=state)}.items() >= {NAME: 2, other: 1}.items()

    # Each has a chain, a hub and boxes of its own, and this machine reaches both.
    assert [one["id"] for one in zos("node", "list", "--chain", told["chain"], state=state)] == [1]
    theirs = Layout.of(other)
    (theirs.box_state("hub") / "data" / "only-here").write_text("theirs")
    with urllib.request.urlopen(f"{told['hub']}/only-here", timeout=5) as answer:
        assert answer.read() == b"theirs"
    with urllib.request.urlopen(web(), timeout=5) as answer:
        assert answer.status == 200
    assert {box["pid"] for box in boxes(other, state)}.isdisjoint(before["pids"].values())
    reached = ["curl", "-s", "--max-time", "2", "--noproxy", "*", f"{told['hub']}/only-here"]
    crossed = subprocess.run(Lab(LAYOUT).inside("user", reached), capture_output=True, timeout=30, check=False)
    assert crossed.returncode != 0, "a box of one lab reaches the other"

    zos("lab", "down", "--name", other, state=state)
    assert await everything(state) == before
    assert not any(folder.exists() for folder in (theirs.state, theirs.run))
    assert zos("lab", "demo", state=state)["proved"] == demo["proved"]


def test_daemons_of_a_node_are_told_by_zos_inside_its_box(demo: dict[str, Any], state: Path) -> None:
    done = subprocess.run(
        command("lab", "exec", "node-1", "--", "zos", "units"),
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(state),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert {"storaged", "networkd", "vmd"} <= {one["name"] for one in json.loads(done.stdout)}


def test_another_copy_of_the_program_uses_a_lab_and_neither_continues_nor_removes_it(
    demo: dict[str, Any], state: Path, tmp_path: Path
) -> None:
    here = Path(record.CODE)
    shutil.copytree(here / "zos", tmp_path / "zos", ignore=shutil.ignore_patterns("tests", "__pycache__"))

    def copy(*argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "zos.cli.main", *argv],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=tmp_path,
            env=environment(state),
            check=False,
        )

    before = boxes(NAME, state)
    assert len(json.loads(copy("lab", "status", "--json").stdout)) == len(before)
    for verb in ("up", "down", "demo"):
        refused = copy("lab", verb)
        assert refused.returncode == 1, refused.stderr
        assert f"the lab `{NAME}` was built by another copy of zos, in {here}" in refused.stderr
    assert boxes(NAME, state) == before
