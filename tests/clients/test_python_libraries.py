"""substrate-interface and async-substrate-interface, as they come from the registry, against the devchain."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.clients.cache import CACHE, installed
from tests.clients.process import told_by
from tests.clients.registry import for_python
from zos.devchain import legacy
from zos.devchain.testing import devchain

HERE = Path(__file__).parent / "python"
pytestmark = [pytest.mark.net, pytest.mark.timeout(600)]


def interpreter(library: str) -> str:
    """The python of a virtual environment with the library's pinned packages: codecs of one name exclude each other."""
    wanted = HERE / f"{library}.txt"
    folder = CACHE / f"{library}-{hashlib.sha256(wanted.read_bytes()).hexdigest()[:16]}"

    def install(fresh: Path) -> None:
        installed([sys.executable, "-m", "venv", "--copies", str(fresh / "venv")], fresh)
        shutil.copy(wanted, fresh / "requirements.txt")
        pip = [str(fresh / "venv" / "bin" / "python"), "-m", "pip", "install", "--no-deps", "-r", "requirements.txt"]
        installed([*pip, "--disable-pip-version-check", "-q"], fresh)

    return str(CACHE.keep(folder, install) / "venv" / "bin" / "python")


def check(told: dict[str, Any], farm: str, spec: int) -> None:
    """What both libraries must have seen."""
    assert (told["chain"], told["spec"], told["deposit"]) == ("Development", spec, 500)
    assert told["heads"] == sorted(set(told["heads"]))
    assert told["errors"]["terms"] == "UserDidNotSignTermsAndConditions"
    assert (told["farm"], told["farms"]) == (farm, [[1, farm]])
    assert told["fee"] > 10_000
    assert told["node"][:2] == [1, 2]
    assert (told["gone"], told["past"]) == (True, 1)
    assert "outdated" in told["pool"]
    for name in ("TwinStored", "NodeStored", "NodeUptimeReported", "FarmStored"):
        assert f"TfgridModule.{name}" in told["events"]
    for name in ("ContractCreated", "NodeContractCanceled", "UpdatedUsedResources"):
        assert f"SmartContractModule.{name}" in told["events"]
    assert told["events"]["System.ExtrinsicSuccess"] >= told["blocks"]


@pytest.mark.parametrize("generation", legacy.NAMES)
async def test_substrate_interface_does_its_whole_work(generation: str) -> None:
    played = legacy.generation(generation)
    types = {} if played.spec > 61 else for_python(played.spec)
    async with devchain(0.2, generation=generation) as dev:
        python = interpreter("substrate-interface")
        told = await told_by(python, str(HERE / "sync_scenario.py"), dev.url, json.dumps(types))
        assert told["genesis"] == "0x" + dev.node.genesis_hash.hex()
    check(told, "si_farm", played.spec)
    assert told["numbers"] == sorted(set(told["numbers"]))


async def test_async_substrate_interface_does_its_whole_work() -> None:
    async with devchain(0.2) as dev:
        python = interpreter("async-substrate-interface")
        told = await told_by(python, str(HERE / "async_scenario.py"), dev.url, "{}")
        assert told["genesis"] == "0x" + dev.node.genesis_hash.hex()
    check(told, "asi_farm", 145)
