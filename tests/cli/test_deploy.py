"""`zos deploy` against a devchain without nodes: what is on the chain, and what the user's record says of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_cli import Run
from tests.cli.test_devchain import a_node
from zos.cli.client import deploy, spec
from zos.cli.client.vault import VaultStore
from zos.cli.context import Context
from zos.cli.out import Out
from zos.devchain.testing import Devchain, devchain
from zos.lab.topology import Layout
from zos.substrate import Chain

SPEC = spec.parse("name: mine\nnetworks: {net: {}}\nmachines: {vm1: {flist: a.flist, node: 1}}\n")


def context(tmp_path: Path, dev: Devchain, key: str = "//Alice") -> Context:
    (tmp_path / "user.key").write_text(key)
    state = str(tmp_path / "state")
    return Context(
        Out(), dev.url, tmp_path / "user.key", state_given=state, layout=Layout(tmp_path / "no", tmp_path / "no-run")
    )


async def deployed(tmp_path: Path, dev: Devchain, key: str = "//Alice") -> deploy.Deployed:
    async with context(tmp_path, dev, key) as ctx:
        return await deploy.deploy(ctx, SPEC, VaultStore(tmp_path / "vault"))


async def contracts(dev: Devchain) -> list[Any]:
    async with Chain([dev.url]) as chain:
        return await chain.entries("SmartContractModule", "Contracts")


async def test_who_is_cut_off_after_the_contract_was_made_finds_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with devchain(0.02) as dev:
        await a_node(dev.url)
        keep, written = Context.remember, 0

        def cut(self: Context, record: dict[str, Any]) -> None:
            nonlocal written
            written += 1
            if written == 2:
                raise KeyboardInterrupt
            keep(self, record)

        monkeypatch.setattr(Context, "remember", cut)
        with pytest.raises(KeyboardInterrupt):
            await deployed(tmp_path, dev)
        monkeypatch.setattr(Context, "remember", keep)
        assert len(await contracts(dev)) == 1
        found = await deployed(tmp_path, dev)
        assert found.contracts == {1: 1}
        assert found.deployments[1].version == 0
        assert len(await contracts(dev)) == 1


async def test_another_key_in_the_same_folder_has_records_of_its_own(tmp_path: Path) -> None:
    async with devchain(0.02) as dev:
        await a_node(dev.url)
        first = await deployed(tmp_path, dev)
        second = await deployed(tmp_path, dev, "//Bob")  # the node's own twin
        keys = {one.networks[0].member(1).private_key for one in (first, second)}
        assert len(keys) == 2
        async with context(tmp_path, dev) as ctx:
            assert sorted(one["twin"] for one in ctx.records()) == [1, 2]


@pytest.mark.parametrize("generation", ["spec145", "spec61", "spec49"])
async def test_a_twin_is_made_on_every_runtime(tmp_path: Path, generation: str) -> None:
    async with devchain(0.02, generation=generation) as dev:
        run = Run(tmp_path, dev.url)
        assert await run("twin", "create") == {"twin": 1}
        assert await run("twin", "create") == {"twin": 1}
        assert [one["id"] for one in await run("twin", "list")] == [1]
        run.key.write_text("//Nobody")
        await run("twin", "create", code=1)
        assert "zos devchain fund 5" in run.error


async def test_one_contract_that_cannot_be_cancelled_keeps_none_of_the_others(tmp_path: Path) -> None:
    async with devchain(0.02) as dev:
        await a_node(dev.url)
        await deployed(tmp_path, dev)
        run = Run(tmp_path, dev.url)
        told = await run("ps")
        assert [(one["name"], one["workload"], one["contract"]) for one in told] == [
            ("mine", "net", 1),
            ("mine", "vm1", 1),
        ]
        told = await run("cancel", "99", "1", code=1)
        assert told["cancelled"] == [1]
        assert "ContractNotExists" in told["failed"]["99"]
        assert await run("ps") == []
