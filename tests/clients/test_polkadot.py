"""polkadot.js, as it comes from the registry, against the devchain in each of its generations."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from tests.clients.cache import CACHE, installed
from tests.clients.process import told_by
from tests.clients.registry import for_polkadot_js
from zos.devchain import legacy
from zos.devchain.testing import devchain

HERE = Path(__file__).parent / "polkadot"
pytestmark = [
    pytest.mark.net,
    pytest.mark.timeout(600),
    pytest.mark.skipif(shutil.which("npm") is None, reason="there is no npm here"),
]


@pytest.fixture(scope="session")
def modules() -> Path:
    """The pinned packages, in the cache."""
    lock = (HERE / "package-lock.json").read_bytes()
    folder = CACHE / f"polkadot-{hashlib.sha256(lock).hexdigest()[:16]}"

    def install(fresh: Path) -> None:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, fresh)
        installed(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], fresh)

    return CACHE.keep(folder, install) / "node_modules"


@pytest.mark.parametrize("generation", legacy.NAMES)
async def test_polkadot_js_does_its_whole_work(modules: Path, generation: str) -> None:
    played = legacy.generation(generation)
    types = {} if played.spec > 61 else for_polkadot_js(played.spec)
    async with devchain(0.2, generation=generation) as dev:
        told = await told_by(
            "node", str(HERE / "scenario.mjs"), dev.url, json.dumps(types), env={"NODE_PATH": str(modules)}
        )
        assert told["genesis"] == "0x" + dev.node.genesis_hash.hex()
    assert told["spec"] == told["subscribedSpec"] == played.spec
    assert told["deposit"] == "500"
    assert told["hashed"]
    assert told["block"]
    for numbers in (told["heads"], told["finals"], told["numbers"]):
        assert numbers == sorted(set(numbers))
    assert (told["twin"], told["farm"], told["node"], told["contract"]) == (1, "pjs_farm", 1, 1)
    assert told["hash"] == "1fcdb75ce0bccc19c57a0011c5193616"
    assert told["uptime"] == [1, 3600]
    assert told["fee"] > 10_000
    assert (told["used"], told["active"], told["past"], told["gone"]) == (2, [1], 1, True)
    assert told["errors"]["terms"] == "tfgridModule.UserDidNotSignTermsAndConditions"
    assert told["errors"]["farm"] == "tfgridModule.FarmExists"
    assert told["farms"] == [[1, "pjs_farm"]]
    assert told["keys"] == 2
    assert "outdated" in told["pool"].lower()
    assert told["statuses"][-1] == "Finalized"
    assert told["sections"]["smartContractModule.NodeContractCanceled"] >= 1
    if generation == "spec145":
        assert told["batch"] == 2
        assert told["errors"]["unique"] == "smartContractModule.ContractIsNotUnique"
    else:
        assert told["errors"]["unique"] == "12.13"
