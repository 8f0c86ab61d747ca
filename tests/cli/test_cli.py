"""The user's command line, run as users run it: offline, and against a devchain."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from zos.cli import main as cli
from zos.cli.context import Context, NoKey
from zos.cli.out import Out
from zos.devchain.testing import devchain
from zos.lab.topology import Layout
from zos.model.deployment import decode
from zos.provisiond.tests import users as u
from zos.substrate import LocalKey

WORDS = "bottom drive obey lake curtain smoke basket hold race lonely fit walk"


class Run:
    """One run of a command, in this process."""

    def __init__(self, tmp_path: Path, chain: str = "") -> None:
        self.tmp_path = tmp_path
        self.chain = chain
        self.key = tmp_path / "user.key"
        self.key.write_text("//Alice\n")

    async def __call__(self, *argv: str, code: int = 0) -> Any:
        from io import StringIO

        out, err = StringIO(), StringIO()
        arguments: argparse.Namespace = cli.parser().parse_args([*argv])
        ctx = Context(
            out=Out(True, out, err),
            chain_url=self.chain,
            key_file=self.key,
            state_given=str(self.tmp_path / "state"),
            layout=Layout(self.tmp_path / "no-lab", self.tmp_path / "no-run"),
        )
        self.code = await cli.perform(arguments, ctx)
        self.error = err.getvalue()
        assert self.code == code, self.error
        text = out.getvalue()
        return json.loads(text) if text.strip() else None


def write(tmp_path: Path, body: Any) -> str:
    path = tmp_path / "deployment.json"
    path.write_bytes(body if isinstance(body, bytes) else json.dumps(body).encode())
    return str(path)


async def test_a_hash_is_told_offline(tmp_path: Path) -> None:
    body = u.document(5, u.zmount())
    assert (await Run(tmp_path)("deployment", "hash", write(tmp_path, body)))["hash"] == u.hash_of(body)


async def test_what_is_signed_is_verified_offline_and_what_was_changed_is_not(tmp_path: Path) -> None:
    run = Run(tmp_path)
    source = write(tmp_path, u.document(5, u.zmount()))
    signed = tmp_path / "signed.json"
    await run("deployment", "sign", source, "--out", str(signed))
    signer = f"{u.TWIN}=5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"
    assert await run("deployment", "verify", str(signed), "--signer", signer) == {"ok": True}
    changed = json.loads(signed.read_text())
    changed["workloads"][0]["data"]["size"] += 1
    await run("deployment", "verify", write(tmp_path, changed), "--signer", signer, code=5)
    assert "failed to verify signature of twin 26" in run.error


async def test_bad_input_names_its_path(tmp_path: Path) -> None:
    run = Run(tmp_path)
    body = u.document(5, u.workload("d", "zmount", {"size": "big"}))
    await run("deployment", "hash", write(tmp_path, body), code=1)
    assert "workloads[0].data.size: must be a whole number" in run.error
    await run("deployment", "hash", write(tmp_path, b"{"), code=1)
    assert "not valid JSON" in run.error
    await run("deployment", "hash", str(tmp_path / "missing.json"), code=3)
    assert "missing.json cannot be read" in run.error


async def test_without_a_chain_the_next_move_is_told(tmp_path: Path) -> None:
    run = Run(tmp_path)
    await run("node", "list", code=1)
    assert "zos lab up" in run.error
    run.chain = "ws://127.0.0.1:1"
    await run("node", "list", code=4)
    assert "cannot be reached" in run.error


async def test_a_new_key_is_for_its_owners_eyes_and_never_overwritten(tmp_path: Path) -> None:
    run, path = Run(tmp_path), tmp_path / "new.key"
    await run("key", "new", str(path))
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(path.read_text().split()) == 12
    await run("key", "new", str(path), code=1)
    assert "already exists" in run.error
    await run("key", "new", str(path / "below"), code=1)
    assert f"{path}: File exists" in run.error


async def test_twin_farm_and_contract_by_hand(tmp_path: Path) -> None:
    async with devchain(0.03) as dev:
        run = Run(tmp_path, dev.url)
        await run("farm", "create", "mine", code=1)
        assert "zos twin create" in run.error
        assert await run("twin", "create") == {"twin": 1}
        assert await run("farm", "create", "mine") == {"farm": 1}
        assert (await run("farm", "show", "1"))["name"] == "mine"
        assert [one["id"] for one in await run("twin", "list")] == [1]
        await run("node", "show", "7", code=3)
        await run("contract", "create", "7", "0" * 32, code=1)
        assert "SmartContractModule.NodeNotExists" in run.error
        assert await run("contract", "list") == []


async def test_a_contract_that_ended_before_is_forgotten_when_it_is_cancelled(tmp_path: Path) -> None:
    async with devchain(0.03) as dev:
        run = Run(tmp_path, dev.url)
        await run("cancel", "7", code=1)
        assert "ContractNotExists" in run.error
        (tmp_path / "state").mkdir()
        record = tmp_path / "state" / "vm.json"
        record.write_text(
            json.dumps({"version": 2, "name": "vm", "contracts": {"1": 7}, "deployments": {}, "networks": {}})
        )
        assert await run("cancel", "7") == {"cancelled": [7]}
        assert not record.exists()


def test_a_key_that_was_named_is_never_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = Layout(tmp_path / "lab", tmp_path / "run")
    for path, text in ((layout.record, '{"nodes": 1}'), (layout.user_key, "//Bob")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    missing = tmp_path / "mistyped.key"
    for given in (["--key", str(missing)], ["ZOS_KEY"]):
        monkeypatch.setenv("ZOS_KEY", str(missing) if given == ["ZOS_KEY"] else "")
        options = given if len(given) == 2 else []
        ctx = cli.context(cli.parser(["key"]).parse_args(["key", "show", *options]))
        ctx.layout = layout
        with pytest.raises(NoKey, match=r"mistyped\.key"):
            ctx.key()
    monkeypatch.delenv("ZOS_KEY")
    monkeypatch.setenv("HOME", str(tmp_path))
    ctx = cli.context(cli.parser(["key"]).parse_args(["key", "show"]))
    ctx.layout = layout
    assert ctx.key().public == LocalKey.of_text("//Bob").public


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("name: x", "names neither networks nor machines"),
        ("name: x\nmachines: {vm1: {flist: a}}", "machines.vm1.network"),
        ("name: x\nnetworks: {n: {}}\nmachines: {vm1: {flist: a, memory: 1MiB}}", "must be at least 250MiB"),
        ("name: x\nnetworks: {n: {rnage: 10.1.0.0/16}}", "networks.n.rnage"),
        ("name: [", "is not YAML"),
    ],
)
async def test_a_bad_file_is_told_by_its_path(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "vm.yaml"
    path.write_text(text)
    run = Run(tmp_path)
    await run("deploy", str(path), code=1)
    assert problem in run.error


def test_the_mnemonic_of_the_tests_is_the_development_one() -> None:
    assert LocalKey.of_text(WORDS + "//Alice").public == u.KEY.public
    assert decode(u.document(5, u.zmount())).contract_id == 5
