"""What users write: workloads and documents as grid clients send them, signed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from zos.model.challenge import deployment_hash
from zos.model.deployment import Signature, decode, encode
from zos.model.units import GiB, MiB
from zos.substrate import LocalKey

WG = "qMmzVNYmnzRBZTRY8aO3RZjoLtVDnJzJH9HlDKmDrXc="


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


def network(name: str = "net1", number: int = 20, **data: Any) -> dict[str, Any]:
    """A user network 10.NUMBER.0.0/16."""
    body = {
        "ip_range": f"10.{number}.0.0/16",
        "subnet": f"10.{number}.2.0/24",
        "wireguard_private_key": WG,
        "wireguard_listen_port": 3000 + number,
        "peers": [],
    }
    return workload(name, "network", {**body, **data})


def zmount(name: str = "disk1", size: int = int(GiB(1))) -> dict[str, Any]:
    return workload(name, "zmount", {"size": size})


def volume(name: str = "vol1", size: int = int(GiB(1))) -> dict[str, Any]:
    return workload(name, "volume", {"size": size})


def zdb(name: str = "db1", size: int = int(GiB(1)), mode: str = "user") -> dict[str, Any]:
    return workload(name, "zdb", {"size": size, "mode": mode, "password": "secret", "public": False})


def zmachine(
    name: str = "vm1",
    mounts: Sequence[tuple[str, str]] = (),
    net: str = "net1",
    ip: str = "10.20.2.5",
    planetary: bool = False,
    memory: int = int(MiB(512)),
    **data: Any,
) -> dict[str, Any]:
    """A machine; `mounts` are (name, target)."""
    body = {
        "flist": "http://hub/vm.fl",
        "network": {"public_ip": "", "planetary": planetary, "interfaces": [{"network": net, "ip": ip}]},
        "size": 0,
        "compute_capacity": {"cpu": 1, "memory": memory},
        "mounts": [{"name": one, "mountpoint": where} for one, where in mounts],
        "entrypoint": "/sbin/init",
        "env": {"SSH_KEY": "ssh-ed25519 AAAA"},
    }
    return workload(name, "zmachine", {**body, **data})


def document(
    twin: int,
    contract: int,
    workloads: Sequence[Mapping[str, Any]],
    version: int = 0,
    required: bool = True,
    **extra: Any,
) -> dict[str, Any]:
    """A deployment of one twin, who signs for himself; his weight alone would do where it is not `required`."""
    return {
        "version": version,
        "twin_id": twin,
        "contract_id": contract,
        "metadata": "",
        "description": "",
        "expiration": 0,
        "signature_requirement": {
            "requests": [{"twin_id": twin, "required": required, "weight": 1}],
            "weight_required": 1,
            "signatures": [],
            "signature_style": "",
        },
        "workloads": [dict(one) for one in workloads],
        **extra,
    }


def hash_of(body: Mapping[str, Any]) -> str:
    """What the contract says of a document."""
    return deployment_hash(decode(body)).hex()


def signed(body: Mapping[str, Any], key: LocalKey, twin: int) -> bytes:
    """The document with one signature; results stay in, as a hostile client would have it."""
    deployment = decode(body)
    one = Signature(twin, key.signed(deployment_hash(deployment)).hex(), key.kind)
    requirement = encode(deployment.signed_by(one))["signature_requirement"]
    return json.dumps({**body, "signature_requirement": requirement}).encode()
