"""A user for tests: signs deployments, and puts contracts on a fake chain."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from zos.chain.api import Block, ContractState, EventKind, NodeContract, Twin
from zos.chain.api.types import ContractEvent
from zos.model.challenge import deployment_hash
from zos.model.deployment import Signature, decode, encode
from zos.provisiond.tests.host import FakeHost
from zos.substrate import KeyKind, LocalKey

GiB = 1024**3
MiB = 1024**2
KEY = LocalKey.of_text("//Alice", KeyKind.SR25519)
TWIN = 26
WG = "qMmzVNYmnzRBZTRY8aO3RZjoLtVDnJzJH9HlDKmDrXc="


def network(name: str = "net1", **data: Any) -> dict[str, Any]:
    body = {
        "ip_range": "10.20.0.0/16",
        "subnet": "10.20.2.0/24",
        "wireguard_private_key": WG,
        "wireguard_listen_port": 3011,
        "peers": [],
    }
    return workload(name, "network", {**body, **data})


def zmount(name: str = "disk1", size: int = GiB) -> dict[str, Any]:
    return workload(name, "zmount", {"size": size})


def volume(name: str = "vol1", size: int = GiB) -> dict[str, Any]:
    return workload(name, "volume", {"size": size})


def zmachine(name: str = "vm1", mounts: Sequence[tuple[str, str]] = (), **data: Any) -> dict[str, Any]:
    body = {
        "flist": "http://hub/vm.fl",
        "network": {"public_ip": "", "planetary": False, "interfaces": [{"network": "net1", "ip": "10.20.2.5"}]},
        "size": 0,
        "compute_capacity": {"cpu": 1, "memory": 512 * MiB},
        "mounts": [{"name": one, "mountpoint": where} for one, where in mounts],
        "entrypoint": "/sbin/init",
        "env": {"SSH_KEY": "ssh-ed25519 AAAA"},
    }
    return workload(name, "zmachine", {**body, **data})


def workload(name: str, kind: str, data: Mapping[str, Any], version: int = 0) -> dict[str, Any]:
    return {
        "version": version,
        "name": name,
        "type": kind,
        "data": dict(data),
        "metadata": "",
        "description": "",
        "result": {"created": 1, "state": "ok", "message": "forged", "data": {"ip": "8.8.8.8/24"}},
    }


def document(contract: int, *workloads: Mapping[str, Any], version: int = 0, **extra: Any) -> dict[str, Any]:
    return {
        "version": version,
        "twin_id": TWIN,
        "contract_id": contract,
        "metadata": "",
        "description": f"contract {contract}",
        "expiration": 0,
        "signature_requirement": {
            "requests": [{"twin_id": TWIN, "required": False, "weight": 1}],
            "weight_required": 1,
            "signatures": [],
            "signature_style": "",
        },
        "workloads": [dict(one) for one in workloads],
        **extra,
    }


def hash_of(body: Mapping[str, Any]) -> str:
    return deployment_hash(decode(body)).hex()


def signed(body: Mapping[str, Any], key: LocalKey = KEY, twin: int = TWIN) -> bytes:
    """The document with one signature; results stay in, as a hostile client would have it."""
    deployment = decode(body)
    one = Signature(twin, key.signed(deployment_hash(deployment)).hex(), key.kind)
    requirement = encode(deployment.signed_by(one))["signature_requirement"]
    return json.dumps({**body, "signature_requirement": requirement}).encode()


def contract(host: FakeHost, id: int, body: Mapping[str, Any], **changes: Any) -> NodeContract:
    """Put a contract for a document on the chain."""
    made = NodeContract(
        id=id,
        twin=TWIN,
        node=host.chain.node,
        state=ContractState.CREATED,
        grace_block=0,
        deployment_hash=hash_of(body),
        deployment_data=b"",
        public_ips=(),
        at=host.chain.block,
    )
    made = dataclasses.replace(made, **changes)
    host.chain.contracts[id] = made
    host.chain.counter = max(host.chain.counter, id)
    host.chain.twins[TWIN] = Twin(TWIN, KEY.public)
    return made


def cancel(host: FakeHost, id: int) -> None:
    """The contract is over, and the node is told."""
    host.chain.contracts.pop(id)
    host.chain.block = Block(host.chain.block.number + 1, "0x" + "0b" * 32)
    host.chain.emit(ContractEvent(EventKind.CANCELED, id, host.chain.block))


def happened(host: FakeHost, kind: EventKind, id: int) -> None:
    host.chain.emit(ContractEvent(kind, id, host.chain.block))
