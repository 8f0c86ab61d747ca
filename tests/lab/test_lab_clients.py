"""The grid's public TypeScript clients, as their users install them, against a lab."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from labs import LAYOUT, box_of, eventually, guests, kill, unit_pid, zos

from tests.clients.cache import CACHE, installed
from zos import __version__ as release
from zos.bus.client import Bus
from zos.cli.client import demo as demos
from zos.lab.manager import Lab
from zos.provisiond.api import ProvisiondClient

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


@pytest.fixture(scope="session")
def client_environment(demo: dict[str, Any], state: Path) -> dict[str, str]:
    """What the lab tells public clients."""
    told = dict(zos("lab", "up", "--clients", state=state)["clients"])
    assert zos("lab", "env", state=state) == told
    return told


@dataclass(frozen=True, slots=True)
class User:
    """A user of his own: twelve words, some TFT, a twin."""

    words: str
    address: str
    twin: int


def user(state: Path, folder: Path, environment: dict[str, str], name: str = "user") -> User:
    """A new one, as the readme makes it."""
    key = folder / f"{name}.key"
    address = zos("key", "new", str(key), state=state)["address"]
    told = ("--relay", environment["RELAY_URL"].removeprefix("wss://"), "--activation", environment["ACTIVATION_URL"])
    twin = zos("twin", "create", *told, "--key", str(key), state=state)["twin"]
    return User(key.read_text().strip(), address, twin)


class Program:
    """One of the programs in tests/clients/grid, and what it says."""

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
        """It waits for this."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"go\n")
        await self._process.stdin.drain()

    async def end(self) -> int:
        """Waits at most 60 seconds for the program; answers its exit code."""
        return await asyncio.wait_for(self._process.wait(), 60)

    async def kill(self) -> None:
        """When the test is over."""
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


@contextlib.asynccontextmanager
async def program(name: str, modules: Path, environment: dict[str, str], **more: str) -> AsyncIterator[Program]:
    """Run one; it must end well."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        "node",
        str(HERE / f"{name}.cjs"),
        env={**kept, **environment, "NODE_PATH": str(modules), **more},
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        limit=2**20,
    )
    running = Program(process)
    try:
        yield running
        assert await running.end() == 0
    finally:
        await running.kill()


async def test_the_public_grid_client_deploys_adds_and_deletes(
    client_environment: dict[str, str], state: Path, tmp_path: Path, modules: Path
) -> None:
    words = user(state, tmp_path, client_environment).words
    async with program("flow", modules, client_environment, MNEMONIC=words) as flow:
        assert await flow.said("twin") > 0
        nodes = await flow.said("nodes")
        assert set(nodes) == {1, 2}
        boxes = [box_of(node, state) for node in nodes]
        before = [await guests(box) for box in boxes]
        deployed = await flow.said("deployed")
        read = await flow.said("read")
        assert {(one["name"], one["node"], one["status"], one["mounts"]) for one in read} == {
            ("vm1", nodes[0], "ok", 1),
            ("vm2", nodes[1], "ok", 0),
        }
        network = await flow.said("network")
        assert network | {"ways": len(network["ways"])} == {
            "machines": ["labvm"],
            "networks": ["labnet"],
            "ways": 1,
            "far": True,
        }
        lab = Lab(LAYOUT)
        first, second = sorted(read, key=lambda one: str(one["name"]))
        over = ["curl", "-gsf", "--max-time", "8", f"http://[{first['planetary']}]/"]

        async def answers_over_the_planetary_network() -> bool:
            return (await lab.run(boxes[1], over, deadline=12)).strip() == "hello from vm1"

        await eventually(answers_over_the_planetary_network, 60)
        await demos.connect(lab, deployed["wireguard"])

        async def answer(name: str, ip: str) -> bool:
            ask = ["curl", "-sf", "--noproxy", "*", "--max-time", "8", f"http://{ip}/"]
            return (await lab.run("user", ask, deadline=12)).strip() == f"hello from {name}"

        async def all_answer() -> bool:
            return all([await answer(one["name"], one["ip"]) for one in read])

        await eventually(all_answer, 60)
        assert second["mycelium"].split(":")[4] == "ff0f"
        # The first machine asks the second, on the other node, by its address in the Mycelium overlay.
        across = f"http://{first['ip']}/cgi-bin/peer?{second['mycelium']}"

        async def meet() -> bool:
            said = await lab.run("user", ["curl", "-sf", "--noproxy", "*", "--max-time", "8", across], deadline=12)
            return said.strip() == "hello from vm2"

        await eventually(meet, 60)
        await flow.go_on()
        added = await flow.said("added")
        assert {(one["name"], one["node"], one["status"]) for one in added} == {
            ("vm1", nodes[0], "ok"),
            ("vm2", nodes[1], "ok"),
            ("vm3", nodes[0], "ok"),
        }
        assert len({one["ip"] for one in added}) == 3
        kept = {one["name"]: one["mycelium"] for one in added}
        assert (kept["vm1"], kept["vm2"]) == (first["mycelium"], second["mycelium"])
        taken = await flow.said("taken")
        assert {(one["name"], one["status"]) for one in taken} == {("vm1", "ok"), ("vm3", "ok")}
        # The machines' contract; the one on the other node went with its machine.
        assert {*deployed["contracts"]} & {*await flow.said("deleted")}

        async def gone() -> bool:
            return [await guests(box) for box in boxes] == before

        await eventually(gone, 60)


async def test_what_cannot_be_deployed_is_told_and_leaves_nothing(
    client_environment: dict[str, str], state: Path, tmp_path: Path, modules: Path
) -> None:
    me = user(state, tmp_path, client_environment)
    async with program("refusals", modules, client_environment, MNEMONIC=me.words) as asked:
        node, twin = await asked.said("node")
        assert twin == me.twin
        flist = await asked.said("flist")
        assert "there is no flist at" in flist["message"]
        assert "404" in flist["message"]
        memory = await asked.said("memory")
        assert "enough resources" in memory["message"]
        types = await asked.said("types")
        assert [one["left"] for one in (flist, memory, *types.values())] == [[]] * (2 + len(types))
        for name, one in types.items():
            assert f"unknown type '{name}'" in one["message"]
        try:
            zos("lab", "kyc", "REJECTED", state=state)
            await asked.go_on()
            client = await asked.said("client")
            assert "not verified" in client["refused"]["message"]
            assert (client["refused"]["left"], client["reads"]) == ([], [1, True, 0])
            # The client asks by address, and is told yes; the node by twin.
            zos("lab", "kyc", "VERIFIED", state=state)
            zos("lab", "kyc", "REJECTED", str(me.twin), state=state)
            async with asking_kyc(box_of(node, state), client_environment["KYC_URL"]):
                await asked.go_on()
                by_node = await asked.said("by node")
                assert f"user with twin id {me.twin} is not verified" in by_node["refused"]["message"]
                assert (by_node["refused"]["left"], by_node["reads"]) == ([], [1, True, 0])
        finally:
            zos("lab", "kyc", "VERIFIED", state=state)


@contextlib.asynccontextmanager
async def asking_kyc(box: str, url: str) -> AsyncIterator[None]:
    """A node whose farmer demands that users are verified."""
    path = LAYOUT.box_state(box) / "etc-zos" / "zos.toml"
    text = path.read_text()
    try:
        path.write_text(text.replace("[provisiond]\n", f'[provisiond]\nkyc = ["{url}"]\n'))
        await again(box, "provisiond")
        yield
    finally:
        path.write_text(text)
        await again(box, "provisiond")


async def again(box: str, unit: str) -> None:
    """End a daemon, and wait until it answers again."""
    before = await unit_pid(box, unit)
    await kill(box, before)

    async def is_new() -> bool:
        async with Bus(LAYOUT.sockets(box)) as bus:
            await ProvisiondClient(bus).list()
        return await unit_pid(box, unit) != before

    await eventually(is_new)


async def test_the_public_rmb_client_by_itself(
    client_environment: dict[str, str], state: Path, tmp_path: Path, modules: Path
) -> None:
    me, other = (user(state, tmp_path, client_environment, name) for name in ("one", "other"))
    node = zos("node", "show", "1", state=state)
    farmer = zos("farm", "show", str(node["farm"]), state=state)["twin"]
    who = {"MNEMONIC": me.words, "OTHER": other.words, "NODE_TWIN": str(node["twin"]), "FARMER_TWIN": str(farmer)}
    async with program("direct", modules, client_environment, **who) as direct:
        empty = await direct.said("empty")
        version = {"zos": release, "zinit": f"v{release}"}
        assert empty["zos.system.version"] == version
        assert empty["zos.deployment.list"] == []
        assert empty["zos.statistics.get"]["total"]["cru"] == node["cru"]
        assert {"zmachine", "network"} <= {*empty["zos.system.node_features_get"]}
        assert empty["zos.network.public_config_get"]["domain"].endswith(".lab")
        assert empty["zos.system.diagnostics"]["healthy"] is True
        encrypted = await direct.said("encrypted")
        assert encrypted.keys() == empty.keys()
        assert encrypted["zos.system.node_features_get"] == empty["zos.system.node_features_get"]
        refused = await direct.said("refused")
        mismatch = f"255 twin id mismatch (deployment: 0, message: {me.twin})"
        assert refused == {
            "zos.nothing": "255 function is not found",
            "zos.deployment.get": "255 deployment not found",
            "zos.deployment.changes": "255 deployment not found",
            "zos.deployment.delete": "255 deletion over the api is disabled, please cancel your contract instead",
            "zos.deployment.deploy": mismatch,
            "zos.deployment.update": mismatch,
            "zos.admin.interfaces": "255 unauthorized",
            "zos.debug.deployment.list": "255 unauthorized",
            "zos.perf.get": "255 result not found",
        }
        assert (await direct.said("plain"))["name"] == "healthcheck"
        assert await direct.said("two") == [version, version]
        # It came to the other one, and nobody could read it on the way; nobody answered.
        assert await direct.said("heard") == [False, "Didn't get a response after 3 seconds"]
        assert "relay info is not set" in await direct.said("nobody")


async def test_the_public_grid_proxy_client_sees_what_the_chain_says(
    client_environment: dict[str, str], state: Path, tmp_path: Path, modules: Path
) -> None:
    words = user(state, tmp_path, client_environment).words
    async with program("proxy", modules, client_environment, MNEMONIC=words) as proxy:
        assert await proxy.said("checked") == [1, 2]
