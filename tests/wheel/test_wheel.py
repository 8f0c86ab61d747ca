"""The wheel as a user gets it: what is in it, and that it works where nothing else of this repository is."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import grimp
import pytest

from zos.devchain.testing import devchain

ROOT = Path(__file__).resolve().parents[2]
TEST_ONLY = ("tests", "fake", "fakes", "testing", "testnet", "sim", "generate")
pytestmark = [pytest.mark.tools, pytest.mark.timeout(600)]


def run(argv: Sequence[str | Path], cwd: Path, code: int = 0) -> str:
    """What a program prints, without anything of this checkout in its environment."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(cwd)}
    environ |= {name: value for name, value in os.environ.items() if name.startswith("PIP_") or "CERT" in name}
    done = subprocess.run(
        [str(word) for word in argv], cwd=cwd, env=environ, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == code, f"{argv}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def clean(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of a virtual environment that has the wheel, and what it names, and nothing that must be compiled."""
    folder = tmp_path_factory.mktemp("clean")
    run([sys.executable, "-m", "venv", folder / "venv"], folder)
    run([folder / "venv/bin/pip", "install", "-q", "--only-binary", ":all:", wheel], folder)
    return folder / "venv" / "bin"


def names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_the_programs_and_their_data_are_in_it(wheel: Path) -> None:
    found = set(names(wheel))
    # What builds a node's image is no part of the image, which is made of the wheel.
    assert [name for name in found if name.startswith(("zos/images/node/", "zos/data/images/node/"))] == []
    for folder in ("examples", "images/guest", "systemd"):
        for path in (ROOT / folder).rglob("*"):
            assert path.is_dir() or f"zos/data/{path.relative_to(ROOT)}" in found
    assert {"zos/flist/archive.capnp", "zos/substrate/compat/tfchain.json", "zos/core0/__main__.py"} <= found


def test_nothing_that_only_tests_use_is_in_it(wheel: Path) -> None:
    assert [name for name in names(wheel) if {*Path(name).with_suffix("").parts} & {*TEST_ONLY}] == []


def test_what_is_in_it_imports_nothing_that_is_not(wheel: Path) -> None:
    shipped = {name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in names(wheel)}
    graph = grimp.build_graph("zos", cache_dir=None)
    dangling = {
        f"{module} imports {imported}"
        for module in graph.modules & shipped
        for imported in graph.find_modules_directly_imported_by(module)
        if imported not in shipped
    }
    assert dangling == set()


@pytest.mark.net
async def test_a_user_makes_a_twin_signs_and_packs(clean: Path, tmp_path: Path) -> None:
    zos = clean / "zos"
    address = json.loads(run([zos, "key", "new", "user.key", "--json"], tmp_path))["address"]
    async with devchain(0.2) as dev:
        options = ["--chain", dev.url, "--key", "user.key", "--json"]
        await asyncio.to_thread(run, [zos, "devchain", "fund", address, "10", *options], tmp_path)
        made = await asyncio.to_thread(run, [zos, "twin", "create", *options], tmp_path)
        assert json.loads(made)["twin"] == 1
        example = next(clean.parent.glob("lib/python3*/site-packages/zos/data/examples/vm.yaml"))
        told = await asyncio.to_thread(run, [zos, "deploy", example, "--no-wait", *options], tmp_path, 1)
        assert "--vault" in told
    document = {"version": 0, "twin_id": 1, "contract_id": 0, "metadata": "", "description": "", "expiration": 0}
    document |= {"signature_requirement": {"requests": [], "weight_required": 0, "signatures": []}, "workloads": []}
    (tmp_path / "deployment.json").write_text(json.dumps(document))
    assert len(run([zos, "deployment", "hash", "deployment.json"], tmp_path).strip()) == 32
    assert json.loads(run([zos, "vault", "list", "--key", "user.key", "--json"], tmp_path)) == []
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "hello").write_text("hello")
    packing = ["--out", "hub/me/tree.fl", "--root", "hub", "--url", "http://192.0.2.1"]
    (tmp_path / "hub" / "me").mkdir(parents=True)
    run([zos, "flist", "create", "tree", *packing], tmp_path)
    assert (tmp_path / "hub/me/tree.fl").stat().st_size > 0


@pytest.mark.net
def test_the_guest_builder_finds_its_recipe(clean: Path, tmp_path: Path) -> None:
    out = tmp_path / "guest"
    run([clean / "python", "-m", "zos.images.guest", "--out", out], tmp_path)
    assert (out / "vmlinux").read_bytes().startswith(b"\x7fELF")
    assert (out / "initramfs").stat().st_size > 1_000_000


@pytest.mark.net
def test_the_overview_and_the_help_of_every_command(clean: Path, tmp_path: Path) -> None:
    assert "zos deploy" in run([clean / "zos", "--help"], tmp_path)
    for name in ("key", "twin", "deploy", "flist", "lab", "gridproxy", "relay", "vault", "why", "pools", "devchain"):
        assert f"usage: zos {name}" in run([clean / "zos", name, "--help"], tmp_path)
    for shell in ("bash", "zsh", "fish"):
        assert "deploy" in run([clean / "zos", "completion", shell], tmp_path)


@pytest.mark.net
def test_a_command_that_takes_more_says_what_to_install(clean: Path, tmp_path: Path) -> None:
    told = run([clean / "zos", "gridproxy", "--chain", "ws://192.0.2.1:1", "--listen", "127.0.0.1:0"], tmp_path, 1)
    assert "pip install 'zos[service]'" in told
