"""What a release wrote, every later one reads: each ledger that a daemon opens has a recorded proof of each version."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import zos
from zos.runtime.ledger import Ledger, Upgrade
from zos.sim.daemons import SimRuntime
from zos.sim.node import SimNode

PACKAGES = Path(zos.__file__).parent


@dataclass(frozen=True)
class Opened:
    """A ledger as a daemon opens it."""

    body: type[Any]
    version: int
    upgrades: Mapping[int, Upgrade] | None


def proofs(daemon: str, ledger: str, version: int) -> list[dict[str, Any]]:
    """The records of a version that are kept for ever: in a file of the ledger's own, or in one of several ledgers."""
    folder = PACKAGES / daemon / "tests/ledger"
    if (own := folder / f"{ledger}-v{version}.json").exists():
        return [json.loads(own.read_text())]
    kept: list[dict[str, Any]] = []
    for path in sorted(folder.glob("v*.json")):
        whole = json.loads(path.read_text())
        # flistd's first one is the record of its only ledger.
        found = {"mounts": whole}.get(ledger, []) if "body" in whole else whole.get(ledger, [])
        kept += found if isinstance(found, list) else [found]
    return [record for record in kept if record["version"] == version]


@pytest.mark.virtual
async def test_every_ledger_of_a_node_reads_what_was_recorded_of_each_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: dict[tuple[str, str], Opened] = {}
    real = SimRuntime.ledger

    def ledger(
        rt: SimRuntime,
        name: str,
        body: type[Any],
        version: int = 1,
        upgrades: Mapping[int, Upgrade] | None = None,
        **how: bool,
    ) -> Ledger[Any]:
        opened[rt.name, name] = Opened(body, version, upgrades)
        return real(rt, name, body, version, upgrades, **how)

    monkeypatch.setattr(SimRuntime, "ledger", ledger)
    async with SimNode():
        assert len(opened) > 10
    for (daemon, name), now in opened.items():
        for version in range(1, now.version + 1):
            records = proofs(daemon, name, version)
            assert records, f"zos/{daemon}/tests/ledger/{name}-v{version}.json is missing"
            folder = tmp_path / daemon / name / str(version)
            folder.mkdir(parents=True)
            for number, record in enumerate(records):
                (folder / f"{number}.json").write_text(json.dumps(record))
            read = Ledger(folder, now.body, now.version, now.upgrades)
            assert not read.corrupt
            assert set(read.keys()) == {record["key"] for record in records}
