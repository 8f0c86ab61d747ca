"""What is let in: whatever is wrong with a document is refused with its path, and makes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from zos.errors import ZosError
from zos.model.decode import Malformed
from zos.model.signing import BadSignature
from zos.provisiond.admission import MOST_BYTES, MOST_SIGNERS, MOST_WORKLOADS
from zos.provisiond.api import NoSuchDeployment, TwinMismatch
from zos.provisiond.tests import users as u
from zos.provisiond.tests.asked import becomes
from zos.provisiond.tests.host import FakeHost, node
from zos.substrate import KeyKind, LocalKey

pytestmark = pytest.mark.virtual


async def refused(
    tmp_path: Path, body: dict[str, Any], document: bytes | None = None, sender: int = u.TWIN
) -> ZosError:
    host = FakeHost()
    u.contract(host, 5, u.document(5, u.zmount()))
    async with node(tmp_path, host) as client:
        with pytest.raises(ZosError) as caught:
            await client.deploy(document or u.signed(body), sender)
        with pytest.raises(NoSuchDeployment):
            await client.get(5)
    assert not host.storaged.calls
    return caught.value


async def test_a_deployment_in_another_twins_name_is_refused(tmp_path: Path) -> None:
    assert isinstance(await refused(tmp_path, u.document(5, u.zmount()), sender=27), TwinMismatch)


async def test_an_unknown_type_is_refused_with_its_path(tmp_path: Path) -> None:
    body = u.document(5, u.zmount(), u.workload("x", "zteapot", {}))
    document = json.dumps(body).encode()
    err = await refused(tmp_path, body, document)
    assert isinstance(err, Malformed)
    assert "workloads[1].type" in str(err)


@pytest.mark.parametrize(
    ("workload", "path"),
    [
        (u.workload("d", "zmount", {"size": -1}), "workloads[0].data.size"),
        (u.workload("d", "zmount", {"size": 2**64}), "workloads[0].data.size"),
        (u.workload("d", "zmount", {"size": 1.5}), "workloads[0].data.size"),
        (u.workload("d", "zmount", {"size": 0}), "workloads[0].data.size"),
        (u.workload("a b", "zmount", {"size": 1}), "workloads[0].name"),
        (u.workload("ygg", "zmount", {"size": 1}), "workloads[0].name"),
        (u.zmachine(compute_capacity={"cpu": 256, "memory": u.GiB}), "workloads[0].data.compute_capacity.cpu"),
        (u.zmachine(compute_capacity={"cpu": 1, "memory": 1}), "workloads[0].data.compute_capacity.memory"),
        (u.zmachine(mounts=[("nodisk", "/data")]), "workloads[0].data.mounts[0].name"),
        (u.zmachine(network={"interfaces": []}), "workloads[0].data.network.interfaces"),
        (u.network(ip_range=""), "workloads[0].data.ip_range"),
        (u.network(subnet="10.20.2.0"), "workloads[0].data.subnet"),
    ],
)
async def test_bad_input_names_its_path(tmp_path: Path, workload: dict[str, Any], path: str) -> None:
    body = u.document(5, workload)
    assert path in str(await refused(tmp_path, body, json.dumps(body).encode()))


async def test_a_network_with_more_prefixes_than_one_can_have_is_refused_before_they_are_read(tmp_path: Path) -> None:
    network = u.network()
    peer = {"subnet": "10.20.3.0/24", "wireguard_public_key": "x", "endpoint": "", "allowed_ips": ["no prefix"] * 1025}
    network["data"] = {**network["data"], "peers": [peer, peer]}
    body = u.document(5, network)
    assert "data.peers: have more than 2048 allowed_ips" in str(
        await refused(tmp_path, body, json.dumps(body).encode())
    )


async def test_twice_the_same_name_is_refused(tmp_path: Path) -> None:
    err = await refused(tmp_path, u.document(5, u.zmount(), u.zmount()))
    assert "multiple workloads with the same name 'disk1'" in str(err)


async def test_a_deployment_of_too_many_workloads_is_refused(tmp_path: Path) -> None:
    body = u.document(5, *(u.zmount(f"d{number}") for number in range(MOST_WORKLOADS + 1)))
    assert "workloads: a deployment has at most 500" in str(await refused(tmp_path, body))


async def test_a_deployment_of_too_many_signers_is_refused_before_any_of_them_is_looked_up(tmp_path: Path) -> None:
    body = u.document(5, u.zmount())
    document = json.loads(u.signed(body))
    document["signature_requirement"]["requests"] = [
        {"twin_id": twin, "required": False, "weight": 1} for twin in range(100, 100 + MOST_SIGNERS + 1)
    ]
    text = str(await refused(tmp_path, body, json.dumps(document).encode()))
    assert "signature_requirement: a deployment has at most 64 signers" in text


async def test_a_signature_of_somebody_else_is_refused(tmp_path: Path) -> None:
    body = u.document(5, u.zmount())
    err = await refused(tmp_path, body, u.signed(body, LocalKey.of_text("//Mallory", KeyKind.SR25519)))
    assert isinstance(err, BadSignature)


async def test_a_missing_signature_is_refused_and_one_sent_twice_is_taken(tmp_path: Path) -> None:
    body = u.document(5, u.zmount())
    assert "missing required signature" in str(await refused(tmp_path, body, json.dumps(body).encode()))
    twice = json.loads(u.signed(body))
    twice["signature_requirement"]["signatures"] *= 2
    host = FakeHost()
    u.contract(host, 5, body)
    async with node(tmp_path / "2", host) as client:
        await client.deploy(json.dumps(twice).encode(), u.TWIN)
        await becomes(client, 5, "disk1", "ok")


async def test_weights_that_are_not_reached_are_refused(tmp_path: Path) -> None:
    body = u.document(5, u.zmount())
    body["signature_requirement"]["weight_required"] = 2
    assert "weight is not reached: 1 of 2" in str(await refused(tmp_path, body))


async def test_a_document_is_bounded_in_bytes(tmp_path: Path) -> None:
    body = u.document(5, u.zmount(), metadata="x" * MOST_BYTES)
    assert "at most 1048576 are taken" in str(await refused(tmp_path, body))
