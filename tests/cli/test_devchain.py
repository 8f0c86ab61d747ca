"""`zos devchain` against a devchain: time, money, moods, farmers' pay."""

from __future__ import annotations

import argparse
import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from zos.cli import main as cli
from zos.cli.commands.devchain import NoSuchMonth, period
from zos.cli.context import Context
from zos.cli.out import Out
from zos.devchain.minting import FIRST, LENGTH, Period
from zos.devchain.testing import devchain
from zos.lab.topology import Layout
from zos.runtime.depth import deep
from zos.substrate import Chain, LocalKey

ALICE = LocalKey.of_text("//Alice")
NODE = LocalKey.of_text("//Bob")
C = "TfgridModule"
DAYS = min(31, deep(4))
"""With `make deep` a whole period; a period of so many days is paid by the same rules."""
PERIOD = min(LENGTH, DAYS * 86_400)


async def run(tmp_path: Path, url: str, *argv: str, as_json: bool = True, code: int = 0) -> Any:
    out, err = StringIO(), StringIO()
    arguments: argparse.Namespace = cli.parser().parse_args(["devchain", *argv])
    ctx = Context(
        out=Out(as_json, out, err),
        chain_url=url,
        key_file=tmp_path / "user.key",
        state_given=str(tmp_path / "state"),
        layout=Layout(tmp_path / "no-lab", tmp_path / "no-run"),
    )
    assert await cli.perform(arguments, ctx) == code, err.getvalue()
    return json.loads(out.getvalue()) if as_json and code == 0 else out.getvalue() + err.getvalue()


async def a_node(url: str) -> None:
    terms = {"document_link": "l", "document_hash": "h"}
    async with Chain([url]) as chain:
        for key in (ALICE, NODE):
            await chain.submit(C, "user_accept_tc", terms, key)
            await chain.submit(C, "create_twin", {"relay": "relay.example", "pk": None}, key)
        await chain.submit(C, "create_farm", {"name": "farm", "public_ips": []}, ALICE)
        node = {
            "farm_id": 1,
            "resources": {"hru": 0, "sru": 2**39, "cru": 8, "mru": 2**35},
            "location": {"city": "Ghent", "country": "BE", "latitude": "51", "longitude": "3"},
            "interfaces": [],
            "secure_boot": False,
            "virtualized": False,
            "serial_number": None,
        }
        await chain.submit(C, "create_node", node, NODE)


def days(month: str, now: int) -> Period:
    return Period(now - PERIOD, PERIOD) if month == "now" else period(month, now)


async def test_a_farmer_earns_in_virtual_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zos.cli.commands.devchain.period", days)
    async with devchain(0.02) as dev:
        await a_node(dev.url)
        passed = await run(tmp_path, dev.url, "advance", "--days", str(DAYS), "--heartbeats")
        assert passed["seconds"] >= DAYS * 86_400
        assert passed["blocks"] >= DAYS * 14_400
        found = await run(tmp_path, dev.url, "mint")
        (paid,) = found["nodes"]
        # CU = min(16, 31 / 4, 512 / 50) = 7.75, SU = 512 / 250 = 2.048.
        assert (paid["cu"], paid["su"], paid["violation"]) == (7_750_000, 2_048_000, "")
        assert paid["units"] == (7_750_000 * 2400 + 2_048_000 * 1000) // 10**6 * paid["permille"] // 1000 * 125_000
        assert paid["units"] > 2 * 10**9
        # They rarely end with a report: up to forty minutes are not told yet.
        assert (PERIOD - 2400) * 1000 // PERIOD - 2 <= paid["permille"] <= 1000
        text = await run(tmp_path, dev.url, "mint", "--csv", as_json=False)
        head, line = text.strip().splitlines()
        assert dict(zip(head.split(","), line.split(","), strict=True))["units"] == str(paid["units"])
        assert "TFT in all" in await run(tmp_path, dev.url, "mint", "--month", "last", as_json=False)


async def test_an_account_is_funded(tmp_path: Path) -> None:
    async with devchain(0.02) as dev:
        await run(tmp_path, dev.url, "fund", "0x" + "11" * 32, "2.5")
        assert dev.node.typed().get("System.Account", b"\x11" * 32)["data"]["free"] == 25_000_000


async def test_the_chain_misbehaves_and_behaves_again(tmp_path: Path) -> None:
    async with devchain(0) as dev:
        dev.node.make_block()
        assert (await run(tmp_path, dev.url, "misbehave", "unfinal"))["unfinal"] is True
        dev.node.make_block()
        assert await run(tmp_path, dev.url, "misbehave", "fork", "3") == {"taken_back": 1}
        assert (await run(tmp_path, dev.url, "misbehave", "delay", "0.01"))["delay"] == 0.01
        assert (await run(tmp_path, dev.url, "misbehave", "stall"))["stalled"] is True
        assert (await run(tmp_path, dev.url, "misbehave", "lag", "2"))["lag"] == 2
        assert (await run(tmp_path, dev.url, "misbehave", "genesis"))["wrong_genesis"] is True
        now = await run(tmp_path, dev.url, "misbehave", "behave")
        assert now == {
            "stalled": False,
            "unfinal": False,
            "empty": False,
            "delay": 0.0,
            "lag": 0,
            "wrong_genesis": False,
        }


async def test_a_wrong_month_is_a_sentence(tmp_path: Path) -> None:
    async with devchain(0) as dev:
        assert "YYYY-MM" in await run(tmp_path, dev.url, "mint", "--month", "2025-13", code=1)


def test_months_are_periods() -> None:
    now = FIRST + 90 * LENGTH + 5
    assert period("now", now).end == now
    assert period("last", now).number == 89
    assert period("12", now).start == FIRST + 12 * LENGTH
    assert period("2025-02", now).start < 1_739_577_600 < period("2025-02", now).end
    for wrong in ("", "x", "0000-01", "2025-00", "-1", "123456"):
        with pytest.raises(NoSuchMonth):
            period(wrong, now)
