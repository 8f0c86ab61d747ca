"""Which document a contract carries: its hash holds for many, its sha256 for one. And who must agree to a change."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from zos.chain.api import Block, EventKind, Twin
from zos.model.challenge import GRID_TYPES, deployment_hash, workload_challenge
from zos.model.deployment import Signature, decode, encode
from zos.model.signing import BadSignature
from zos.provisiond import pull
from zos.provisiond.api import ProvisiondClient
from zos.provisiond.api.errors import NoSuchDeployment
from zos.provisiond.tests import users as u
from zos.provisiond.tests.asked import becomes, state
from zos.provisiond.tests.host import FakeHost, node
from zos.rmb.cipher import seal_document
from zos.substrate import KeyKind, LocalKey

pytestmark = pytest.mark.virtual

URL = "http://hub/deployments/x"
PARTNER, PARTNERS_KEY = 27, LocalKey.of_text("//Bob", KeyKind.SR25519)


def sha256(document: bytes) -> str:
    return hashlib.sha256(document).hexdigest()


def offered(host: FakeHost, body: Mapping[str, Any], document: bytes, *, named: bytes | None = None) -> None:
    """The contract carries `body` and names the digest of `named`; at its URL lies `document`."""
    digest = {} if named is None else {"sha256": sha256(named)}
    host.chain.block = Block(host.chain.block.number + 1, "0x" + "0d" * 32)
    host.documents[URL] = document
    data = json.dumps({"version": 3, "pull": {"url": URL, **digest}}).encode()
    u.contract(host, 7, body, deployment_data=data)
    u.happened(host, EventKind.UPDATED, 7)


def without_workloads(body: Mapping[str, Any]) -> dict[str, Any]:
    """Another document with the same hash and signature: the workloads are part of its description.

    The text that is signed has nothing between its fields; the last digit of a size becomes the expiration.
    """
    text = "".join(workload_challenge(one, GRID_TYPES) for one in decode(body).workloads)
    forged = {
        **body,
        "description": body["description"] + "0" + text[:-1],
        "expiration": int(text[-1]),
        "workloads": [],
    }
    assert deployment_hash(decode(forged)) == deployment_hash(decode(body))
    return forged


async def told(client: ProvisiondClient, words: str) -> None:
    async with asyncio.timeout(5):
        while True:
            with contextlib.suppress(NoSuchDeployment):
                seen = await client.why(7)
                if words in f"{seen.sentence} {[one.detail for one in seen.history]}":
                    return
            await asyncio.sleep(0.01)


FIRST = u.document(0, u.volume("vol1"))
NEXT = u.document(0, u.volume("vol1"), u.workload("vol2", "volume", {"size": u.GiB}, 1), version=1)


async def test_a_hub_cannot_serve_another_document_of_the_same_hash(tmp_path: Path) -> None:
    host, first, true = FakeHost(), u.signed(FIRST), u.signed(NEXT)
    async with node(tmp_path, host) as client:
        offered(host, FIRST, first, named=first)
        await becomes(client, 7, "vol1", "ok")
        offered(host, NEXT, u.signed(without_workloads(NEXT)), named=true)
        await told(client, f"contract 7 names {sha256(true)}")
        host.documents[URL] = true
        await becomes(client, 7, "vol2", "ok")
        assert await state(client, 7, "vol1") == "ok"
    assert not host.storaged.dropped


async def test_a_document_that_its_contract_does_not_name_removes_nothing(tmp_path: Path) -> None:
    """Those of earlier clients have no digest in the contract: they deploy as ever, and add."""
    host = FakeHost()
    async with node(tmp_path, host) as client:
        offered(host, FIRST, u.signed(FIRST))
        await becomes(client, 7, "vol1", "ok")
        offered(host, NEXT, u.signed(without_workloads(NEXT)))
        await told(client, "it removes `vol1`")
        offered(host, NEXT, u.signed(NEXT))
        await becomes(client, 7, "vol2", "ok")
        last = u.document(0, u.workload("vol2", "volume", {"size": u.GiB}, 1), version=2)
        offered(host, last, u.signed(last))
        await told(client, "it removes `vol1`")
        assert (await state(client, 7, "vol1"), host.storaged.dropped) == ("ok", [])
        document = u.signed(last)
        offered(host, last, document, named=document)
        async with asyncio.timeout(5):
            while not host.storaged.dropped:
                await asyncio.sleep(0.01)
    assert [id for id, _ in host.storaged.dropped] == ["26-7-vol1"]


async def test_the_digest_is_of_the_sealed_document(tmp_path: Path) -> None:
    host, document = FakeHost(), u.signed(FIRST)
    first, second = (seal_document(host.secret.public, document).encode() for _ in range(2))
    async with node(tmp_path, host) as client:
        offered(host, FIRST, second, named=first)
        await told(client, f"contract 7 names {sha256(first)}")
        host.documents[URL] = first
        await becomes(client, 7, "vol1", "ok")


VM = (u.network(), u.zmount(), u.zmachine(mounts=[("disk1", "/data")]))
WIPES = u.zmachine("vm2", mounts=[("disk1", "/data")], ip="10.20.2.6", entrypoint="/bin/wipe")


@pytest.mark.parametrize(
    ("workloads", "more", "words"),
    [
        ([VM[0], u.workload("disk1", "zmount", {"size": 2 * u.GiB}, 1), VM[2]], {}, "it changes `disk1`"),
        ([*VM, {**WIPES, "version": 1}], {}, "its `vm2` uses `disk1`"),
        (VM[:2], {}, "it removes `vm1`"),
        (VM, {"requests": [{"twin_id": u.TWIN, "required": True, "weight": 1}]}, "it changes who must sign"),
        (VM, {"weight_required": 0}, "it changes who must sign"),
    ],
)
async def test_a_document_that_its_contract_does_not_name_touches_nothing(
    tmp_path: Path, workloads: Sequence[dict[str, Any]], more: dict[str, Any], words: str
) -> None:
    host, first = FakeHost(), u.document(0, *VM)
    second = u.document(0, *workloads, version=1)
    second["signature_requirement"] |= more
    async with node(tmp_path, host) as client:
        offered(host, first, u.signed(first))
        await becomes(client, 7, "vm1", "ok")
        machine = host.vmd.machines["26-7-vm1"]
        offered(host, second, u.signed(second))
        await told(client, words)
        assert host.vmd.machines == {"26-7-vm1": machine}
        assert await state(client, 7, "disk1") == "ok"


async def test_a_contract_may_name_the_bytes_of_what_will_be_pushed(tmp_path: Path) -> None:
    host = FakeHost()
    unnumbered = u.signed(u.document(0, u.zmount(), description="mine"))
    document = unnumbered.replace(b'"contract_id": 0', b'"contract_id": 5')
    u.contract(host, 5, json.loads(document), deployment_data=json.dumps({"sha256": sha256(unnumbered)}).encode())
    async with node(tmp_path, host) as client:
        forged = without_workloads(json.loads(document))
        forged["signature_requirement"] = json.loads(document)["signature_requirement"]
        await client.deploy(json.dumps(forged).encode(), u.TWIN)
        async with asyncio.timeout(5):
            while "names the document with sha256" not in (await client.why(5)).sentence:
                await asyncio.sleep(0.01)
    host = FakeHost()
    u.contract(host, 5, json.loads(document), deployment_data=json.dumps({"sha256": sha256(unnumbered)}).encode())
    async with node(tmp_path / "second", host) as client:
        await client.deploy(document, u.TWIN)
        await becomes(client, 5, "disk1", "ok")


def test_a_digest_is_of_the_bytes_or_of_them_without_the_contracts_number() -> None:
    plain, numbered = b'{"contract_id": 0, "metadata": ""}', b'{"contract_id": 12, "metadata": ""}'
    assert pull.digests(plain, 0) == (sha256(plain),)
    assert pull.digests(numbered, 12) == (sha256(numbered), sha256(plain))
    for other in (b'{"contract_id": 123}', b'{"contract_id": 12.0}', b'[{"contract_id":12},{"contract_id":12}]'):
        assert pull.digests(other, 12) == (sha256(other),)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ({"pull": {"url": "http://hub/1", "sha256": "AB" * 32}}, "ab" * 32),
        ({"pull": {"rmb": "vault"}, "sha256": "cd" * 32}, "cd" * 32),
        ({"sha256": "cd" * 32}, "cd" * 32),
        ({"pull": "http://hub/1", "sha256": "no digest"}, "no digest"),
        ({"pull": {"url": "http://hub/1", "sha256": ""}}, ""),
        ({"pull": {"url": "http://hub/1", "sha256": 5}}, ""),
        (["sha256"], ""),
    ],
)
def test_where_a_contract_names_the_digest(value: object, wanted: str) -> None:
    assert pull.digest(json.dumps(value).encode()) == wanted


def agreed(body: Mapping[str, Any], *signers: tuple[int, LocalKey]) -> bytes:
    deployment = decode(body)
    digest = deployment_hash(deployment)
    signatures = [Signature(twin, key.signed(digest).hex(), key.kind) for twin, key in signers]
    return json.dumps(encode(deployment.signed_by(*signatures))).encode()


def ruled(contract: int, *workloads: dict[str, Any], version: int, twins: Sequence[int]) -> dict[str, Any]:
    """A document that all of these twins must sign."""
    body = u.document(contract, *workloads, version=version)
    requests = [{"twin_id": twin, "required": True, "weight": 1} for twin in twins]
    body["signature_requirement"] |= {"requests": requests, "weight_required": len(requests)}
    return body


OWNER, BOTH = (u.TWIN, u.KEY), ((u.TWIN, u.KEY), (PARTNER, PARTNERS_KEY))


@pytest.mark.parametrize("is_pushed", [True, False])
async def test_who_must_agree_to_what_runs_must_agree_to_its_change(tmp_path: Path, is_pushed: bool) -> None:
    host = FakeHost()
    host.chain.twins[PARTNER] = Twin(PARTNER, PARTNERS_KEY.public)
    contract = 7 if is_pushed else 0

    async def brought(body: dict[str, Any], document: bytes) -> None:
        offered(host, body, document, named=document)
        if is_pushed:
            u.contract(host, 7, body)
            await (client.update if body["version"] else client.deploy)(document, u.TWIN)

    first = ruled(contract, u.zmount(), version=0, twins=(u.TWIN, PARTNER))
    alone = ruled(contract, version=1, twins=(u.TWIN,))
    async with node(tmp_path, host) as client:
        await brought(first, agreed(first, *BOTH))
        await becomes(client, 7, "disk1", "ok")
        if is_pushed:
            with pytest.raises(BadSignature, match="twin '27', by the signature requirement that is in force"):
                await brought(alone, agreed(alone, OWNER))
        else:
            await brought(alone, agreed(alone, OWNER))
            await told(client, "by the signature requirement that is in force")
        assert await state(client, 7, "disk1") == "ok"
        assert not host.storaged.dropped
        await brought(alone, agreed(alone, *BOTH))
        async with asyncio.timeout(5):
            while not host.storaged.dropped:
                await asyncio.sleep(0.01)
        # From now on the owner's word is enough.
        last = ruled(contract, {**u.zmount("disk2"), "version": 2}, version=2, twins=(u.TWIN,))
        await brought(last, agreed(last, OWNER))
        await becomes(client, 7, "disk2", "ok")
