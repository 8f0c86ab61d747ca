"""Nothing goes without evidence that the chain confirms."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from zos.bus import Unreachable
from zos.chain.api import ChainBehind
from zos.errors import Kind as ErrorKind
from zos.model.units import GiB
from zos.runtime.testing import running
from zos.storaged.api import (
    Disk,
    DiskId,
    Evidence,
    EvidenceKind,
    NoEvidence,
    StoragedClient,
)
from zos.storaged.api import storaged_pb2 as pb
from zos.storaged.api.types import Kind
from zos.storaged.daemon import Config, Storaged
from zos.storaged.fake import FakeHost
from zos.storaged.model import ObservedPool
from zos.storaged.tests.world import CANCELLED, DISK, storaged


@pytest.mark.parametrize(
    ("evidence", "problem"),
    [
        (pb.Evidence(kind="contract_cancelled", contract=0, block=5), "names no contract"),
        (pb.Evidence(kind="contract_cancelled", contract=7, block=0), "names no finalized block"),
        (pb.Evidence(kind="because", contract=7, block=5), "`because` is no evidence"),
        (None, "no evidence was given"),
    ],
)
async def test_nothing_goes_without_evidence(tmp_path: Path, evidence: pb.Evidence | None, problem: str):
    async with storaged(tmp_path, FakeHost()) as client:
        await client.ensure_disk(Disk(DISK, GiB(1)))
        for call in ("DropDisk", "DropVolume"):
            with pytest.raises(NoEvidence, match=re.escape(problem)):
                await client.call(call, pb.DropRequest(id=DISK, evidence=evidence))
        assert len(await client.list_disks()) == 1


@pytest.mark.parametrize(
    ("id", "evidence", "problem"),
    [
        ("26-8-data", Evidence(EvidenceKind.CONTRACT_CANCELLED, 7, 1234), "it is not of contract 7"),
        ("26-8-data", Evidence(EvidenceKind.SIGNED_UPDATE, 7, 1234), "it is not of contract 7"),
        ("26-8-data", Evidence(EvidenceKind.CONTRACT_CANCELLED, 8, 1234), "contract 8 is created at block 2000"),
        ("rootfs-26-8-vm", Evidence(EvidenceKind.CONTRACT_CANCELLED, 8, 1234), "contract 8 is created at block 2000"),
        ("nobodys", Evidence(EvidenceKind.CONTRACT_CANCELLED, 7, 1234), "it is not of contract 7"),
    ],
)
async def test_no_callers_word_is_believed_about_another_contract_or_one_that_lives(
    tmp_path: Path, id: str, evidence: Evidence, problem: str
):
    async with storaged(tmp_path, FakeHost()) as client:
        await client.ensure_disk(Disk(DiskId(id), GiB(1)))
        with pytest.raises(NoEvidence, match=problem):
            await client.drop_disk(DiskId(id), evidence)
        assert len(await client.list_disks()) == 1


async def test_a_chain_that_stands_before_the_evidence_is_asked_again(tmp_path: Path):
    async with storaged(tmp_path, FakeHost()) as client:
        for id, contract in (("26-7-data", 7), ("26-8-data", 8)):
            await client.ensure_disk(Disk(DiskId(id), GiB(1)))
            with pytest.raises(ChainBehind):
                await client.drop_disk(DiskId(id), Evidence(EvidenceKind.CONTRACT_CANCELLED, contract, 2001))
        assert len(await client.list_disks()) == 2


async def test_without_the_chains_word_a_cancelled_contract_keeps_its_data(tmp_path: Path):
    async with running(Storaged, tmp_path, host=FakeHost(), config=Config()) as rt:
        client = StoragedClient(rt.bus)
        await client.ensure_disk(Disk(DISK, GiB(1)))
        with pytest.raises(Unreachable) as caught:
            await client.drop_disk(DISK, CANCELLED)
        assert caught.value.kind is ErrorKind.NOT_NOW
        assert len(await client.list_disks()) == 1


async def test_the_chain_confirms_what_ran_out_of_funds(tmp_path: Path):
    async with storaged(tmp_path, FakeHost()) as client:
        await client.ensure_disk(Disk(DiskId("26-9-data"), GiB(1)))
        await client.drop_disk(DiskId("26-9-data"), Evidence(EvidenceKind.CONTRACT_CANCELLED, 9, 1234))
        assert await client.list_disks() == ()


async def test_what_was_there_before_it_was_asked_for_is_not_given_back(tmp_path: Path):
    """Its record was lost, or is again after an undelete: nobody knows who wrote to it."""
    host = FakeHost()
    never = Evidence(EvidenceKind.NEVER_MADE, 8, 1234, "its flist is not there")
    disk = Disk(DiskId("26-8-data"), GiB(1))
    async with storaged(tmp_path, host) as client:
        await client.ensure_disk(disk)
    shutil.rmtree(tmp_path / "state/storaged/wishes")
    async with storaged(tmp_path, host) as client:
        for _ in range(2):
            with pytest.raises(NoEvidence, match="it was there before it was asked for"):
                await client.drop_disk(disk.id, never)
            await client.ensure_disk(disk)
        await client.drop_disk(disk.id, Evidence(EvidenceKind.SIGNED_UPDATE, 8, 1234))
        await client.ensure_disk(Disk(disk.id, GiB(2)))
        await client.drop_disk(disk.id, never)
        assert await client.list_disks() == ()
        await client.undelete(disk.id)
        with pytest.raises(NoEvidence):
            await client.drop_disk(disk.id, never)


async def test_no_pool_is_looked_at_for_what_nobody_asked_for(tmp_path: Path):
    host = FakeHost()
    async with storaged(tmp_path, host) as client:
        await client.ensure_disk(Disk(DISK, GiB(1)))
        looked: list[str] = []
        real = host.observe

        async def observe(label: str, *which: tuple[Kind, str]) -> ObservedPool:
            looked.append(label)
            return await real(label, *which)

        host.observe = observe  # type: ignore[method-assign,assignment]
        assert await client.list_disks(DiskId("26-8-data")) == ()
        assert not looked
        assert len(await client.list_disks(DISK)) == 1
        assert looked
