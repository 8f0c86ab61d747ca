"""Documents that no contract carries: how many a node keeps, and for how long."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from zos.chain.api import EventKind, NodeContract, NotANodeContract
from zos.model.decode import Malformed
from zos.provisiond import room
from zos.provisiond.api import ProvisiondClient
from zos.provisiond.api.errors import NodeHasTooManyWaiting, NoSuchDeployment, TooManyWaiting
from zos.provisiond.contracts import STRANGE
from zos.provisiond.room import MOST_WAITING_BYTES
from zos.provisiond.tests import users as u
from zos.provisiond.tests.asked import becomes, squat
from zos.provisiond.tests.host import FakeHost, node

pytestmark = pytest.mark.virtual


async def test_the_documents_of_all_twins_that_no_contract_carries_are_bounded_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "ALL_WAITING_BYTES", 4_000_000)
    host, sent = FakeHost(), dict[int, int]()
    async with node(tmp_path, host, every=60.0) as client:
        for twin in (27, 28, 29):
            with contextlib.suppress(NodeHasTooManyWaiting):
                for count in range(20):
                    await client.deploy(squat(host, 100 * twin + count, twin, description="x" * 500_000), twin)
                    sent[twin] = count + 1
        body = u.document(5, u.zmount())
        u.contract(host, 5, body, deployment_data=b'{"pull": {"url": "http://hub/x"}}')
        host.documents["http://hub/x"] = u.signed(body)
        u.happened(host, EventKind.CREATED, 5)
        await becomes(client, 5, "disk1", "ok")
    assert sent[27] > sent[28] >= sent[29] >= 1, "who comes later finds less, and something"


async def test_documents_that_no_contract_carries_are_bounded_in_bytes(tmp_path: Path) -> None:
    host = FakeHost()

    async def send_many(client: ProvisiondClient) -> int:
        for count in range(20):
            try:
                await client.deploy(squat(host, count + 1, description="x" * 900_000), 27)
            except TooManyWaiting:
                return count
        return 20

    async with node(tmp_path, host, every=60.0) as client:
        sent = await send_many(client)
    assert sent * 900_000 <= MOST_WAITING_BYTES + 900_000


async def test_a_document_of_many_values_is_refused_before_it_is_read(tmp_path: Path) -> None:
    host = FakeHost()
    many = u.signed(u.document(5, {**u.zmount(), "data": {"size": 1, "more": [[]] * 60_000}}))
    async with node(tmp_path, host) as client:
        with pytest.raises(Malformed, match="has more than 50000 values"):
            await client.deploy(many, u.TWIN)


async def test_a_document_for_a_name_contract_is_refused_and_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = FakeHost()
    real = host.chain.contract

    async def contract(id: int, *, best: bool = False) -> NodeContract:
        if id != 5:
            return await real(id, best=best)
        raise NotANodeContract(contract=5, kind="NameContract")

    monkeypatch.setattr(host.chain, "contract", contract)
    async with node(tmp_path, host, every=20.0) as client:
        await client.deploy(squat(host, 5), 27)
        await becomes(client, 5, "mine", "error")
        assert "is a NameContract, not a node contract" in (await client.why(5)).sentence
        await asyncio.sleep(2 * STRANGE)
        with pytest.raises(NoSuchDeployment):
            await client.get(5)
