"""The grid's public TypeScript client, as its users install it, against a lab: from its filter to its delete."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from labs import LAYOUT, box_of, eventually, guests, zos

from tests.clients.cache import CACHE, installed
from zos.cli.client import demo as demos
from zos.lab.keeper import Lab
from zos.lab.topology import HUB_URL, RELAY_DOMAIN

pytestmark = [pytest.mark.lab, pytest.mark.net, pytest.mark.timeout(600)]

HERE = Path(__file__).resolve().parents[1] / "clients" / "grid"


@pytest.fixture(scope="session")
def modules() -> Path:
    """The pinned packages, in the cache."""
    lock = (HERE / "package-lock.json").read_bytes()
    folder = CACHE / f"grid-{hashlib.sha256(lock).hexdigest()[:16]}"

    def install(fresh: Path) -> None:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, fresh)
        installed(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], fresh)

    return CACHE.keep(folder, install) / "node_modules"


def account(state: Path, folder: Path, activation: str) -> Path:
    """A user of his own: twelve words, some TFT, a twin."""
    key = folder / "user.key"
    address = zos("key", "new", str(key), state=state)["address"]
    body = json.dumps({"substrateAccountID": address}).encode()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(activation, body), timeout=30) as answer:
        assert answer.status == 200
    zos("twin", "create", "--relay", RELAY_DOMAIN, "--key", str(key), state=state)
    return key


class Flow:
    """The client's process, and what it has said."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def said(self, step: str) -> Any:
        """The value of the next step."""
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), 180)
        if not line:
            raise AssertionError((await self._process.stderr.read()).decode()[-4000:])
        found = json.loads(line)
        assert found["step"] == step
        return found["value"]

    async def go_on(self) -> None:
        """Let it add a machine and delete everything."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"go\n")
        await self._process.stdin.drain()

    async def end(self) -> int:
        """Its exit code."""
        return await asyncio.wait_for(self._process.wait(), 60)

    async def kill(self) -> None:
        """When the test is over."""
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


async def test_the_public_grid_client_deploys_adds_and_deletes(
    demo: dict[str, Any], state: Path, tmp_path: Path, modules: Path
) -> None:
    environment = zos("lab", "up", "--clients", state=state)["clients"]
    key = account(state, tmp_path, environment["ACTIVATION_URL"])
    demos.publish_guest(LAYOUT.box_state("hub") / "data")
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    flow = Flow(
        await asyncio.create_subprocess_exec(
            "node",
            str(HERE / "flow.cjs"),
            env={
                **kept,
                **environment,
                "NODE_PATH": str(modules),
                "MNEMONIC": key.read_text().strip(),
                "FLIST": f"{HUB_URL}/{demos.FLIST}",
            },
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=2**20,
        )
    )
    try:
        assert await flow.said("twin") > 0
        nodes = await flow.said("nodes")
        assert set(nodes) == {1, 2}
        box = box_of(nodes[0], state)
        other = box_of(nodes[1], state)
        before = await guests(box), await guests(other)
        deployed = await flow.said("deployed")
        (read,) = await flow.said("read")
        planetary, overlay = read.pop("planetary"), read.pop("mycelium")
        assert read == {"name": "vm1", "status": "ok", "ip": "10.249.2.2", "mounts": 1}
        lab = Lab(LAYOUT)
        over = ["curl", "-gsf", "--max-time", "8", f"http://[{planetary}]/"]

        async def answers_over_the_planetary_network() -> bool:
            return (await lab.run(other, over, deadline=12)).strip() == "hello from vm1"

        await eventually(answers_over_the_planetary_network, 60)
        await demos.connect(lab, deployed["wireguard"])
        ask = ["curl", "-sf", "--noproxy", "*", "--max-time", "8", "http://10.249.2.2/"]

        async def answers() -> bool:
            return (await lab.run("user", ask, deadline=12)).strip() == "hello from vm1"

        await eventually(answers, 60)
        await flow.go_on()
        first, second = await flow.said("added")
        assert (first["name"], first["status"], first["mycelium"]) == ("vm1", "ok", overlay)
        assert (second["name"], second["status"]) == ("vm2", "ok")
        assert second["mycelium"].split(":")[4] == "ff0f"
        # The first machine asks the second, on the other node, by its address in the Mycelium overlay.
        across = f"http://10.249.2.2/cgi-bin/peer?{second['mycelium']}"

        async def meet() -> bool:
            said = await lab.run("user", ["curl", "-sf", "--noproxy", "*", "--max-time", "8", across], deadline=12)
            return said.strip() == "hello from vm2"

        await eventually(meet, 60)
        # The network's contract, and the machines'.
        assert {*deployed["contracts"]} < {*await flow.said("deleted")}

        async def gone() -> bool:
            return (await guests(box), await guests(other)) == before

        await eventually(gone, 60)
        assert await flow.end() == 0
    finally:
        await flow.kill()
