"""What a contract carries: a deployment, its workloads, who must sign it, and what the node answered.

Field by field as in zosbase `pkg/gridtypes/deployment.go` and `workload.go`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from zos.model.decode import Fields, Malformed, parse

NAME = re.compile(r"[a-zA-Z0-9_]+")
NAME_LIMIT = 36
"""virtio-fs tags are at most this long."""
RESERVED = ("ygg",)


class ResultState(StrEnum):
    """The values in documents."""

    INIT = "init"
    OK = "ok"
    ERROR = "error"
    PAUSED = "paused"
    DELETED = "deleted"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Result:
    """What the node answered for one workload."""

    created: int = 0
    """Unix seconds of this transition."""
    state: ResultState = ResultState.INIT
    message: str = ""
    data: Any = None
    """Per type; None when there is nothing to tell."""


@dataclass(frozen=True, slots=True)
class Workload:
    """One named item of a deployment."""

    version: int
    name: str
    type: str
    data: Mapping[str, Any] = field(default_factory=dict)
    """As it came; each type parses its own."""
    metadata: str = ""
    description: str = ""
    result: Result = Result()


@dataclass(frozen=True, slots=True)
class SignatureRequest:
    """Who may or must sign."""

    twin_id: int
    required: bool = False
    weight: int = 0


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature, hex without prefix."""

    twin_id: int
    signature: str
    signature_type: str = ""
    """`sr25519`; anything else means ed25519."""


@dataclass(frozen=True, slots=True)
class SignatureRequirement:
    """Who must sign, who did, and how the message was dressed."""

    requests: tuple[SignatureRequest, ...] = ()
    weight_required: int = 0
    signatures: tuple[Signature, ...] = ()
    signature_style: str = ""


@dataclass(frozen=True, slots=True)
class Deployment:
    """A set of workloads, versioned together."""

    version: int
    twin_id: int
    contract_id: int
    metadata: str = ""
    description: str = ""
    expiration: int = 0
    signature_requirement: SignatureRequirement = SignatureRequirement()
    workloads: tuple[Workload, ...] = ()

    def workload(self, name: str) -> Workload | None:
        """The workload of this name."""
        return next((workload for workload in self.workloads if workload.name == name), None)

    def signed_by(self, *signatures: Signature) -> Deployment:
        """The same with these signatures."""
        return replace(self, signature_requirement=replace(self.signature_requirement, signatures=signatures))


def decode(document: bytes | Mapping[str, Any]) -> Deployment:
    """Parse a deployment; the client's own `result`s are dropped (they are neither signed nor its to say)."""
    top = Fields(parse(document) if isinstance(document, bytes) else document)
    return Deployment(
        version=top.uint("version", 32),
        twin_id=top.uint("twin_id", 32),
        contract_id=top.uint("contract_id", 64),
        metadata=top.text("metadata"),
        description=top.text("description"),
        expiration=top.timestamp("expiration"),
        signature_requirement=_requirement(top.object("signature_requirement")),
        workloads=tuple(_workload(fields) for fields in top.objects("workloads")),
    )


def _requirement(fields: Fields) -> SignatureRequirement:
    return SignatureRequirement(
        requests=tuple(
            SignatureRequest(entry.uint("twin_id", 32), entry.flag("required"), entry.uint("weight"))
            for entry in fields.objects("requests")
        ),
        weight_required=fields.uint("weight_required"),
        signatures=tuple(
            Signature(entry.uint("twin_id", 32), entry.text("signature"), entry.text("signature_type"))
            for entry in fields.objects("signatures")
        ),
        signature_style=fields.text("signature_style"),
    )


def _workload(fields: Fields) -> Workload:
    data = fields.raw("data")
    if data is not None and not isinstance(data, Mapping):
        fields.refuse("data", "must be an object")
    return Workload(
        version=fields.uint("version", 32),
        name=fields.text("name"),
        type=fields.text("type"),
        data=dict(data or {}),
        metadata=fields.text("metadata"),
        description=fields.text("description"),
    )


def encode(deployment: Deployment) -> dict[str, Any]:
    """A deployment as clients read it."""
    requirement = deployment.signature_requirement
    return {
        "version": deployment.version,
        "twin_id": deployment.twin_id,
        "contract_id": deployment.contract_id,
        "metadata": deployment.metadata,
        "description": deployment.description,
        "expiration": deployment.expiration,
        "signature_requirement": {
            "requests": [
                {"twin_id": request.twin_id, "required": request.required, "weight": request.weight}
                for request in requirement.requests
            ],
            "weight_required": requirement.weight_required,
            "signatures": [
                {"twin_id": one.twin_id, "signature": one.signature, "signature_type": one.signature_type}
                for one in requirement.signatures
            ],
            "signature_style": requirement.signature_style,
        },
        "workloads": [encode_workload(workload) for workload in deployment.workloads],
    }


def encode_workload(workload: Workload) -> dict[str, Any]:
    """A workload with its result, as clients read it."""
    return {
        "version": workload.version,
        "name": workload.name,
        "type": workload.type,
        "data": dict(workload.data),
        "metadata": workload.metadata,
        "description": workload.description,
        "result": {
            "created": workload.result.created,
            "state": workload.result.state.value,
            "message": workload.result.message,
            "data": workload.result.data,
        },
    }


def check_structure(deployment: Deployment, known: Iterable[str]) -> None:
    """Refuse what no node takes: versions, names, twice the same name, types that nobody knows."""
    types = frozenset(known)
    seen: set[str] = set()
    for index, workload in enumerate(deployment.workloads):
        path = f"workloads[{index}]"
        if workload.version > deployment.version:
            problem = f"{workload.version} is above the deployment's version {deployment.version}"
            raise Malformed(path=f"{path}.version", problem=problem)
        if problem := _name_problem(workload.name):
            raise Malformed(path=f"{path}.name", problem=problem)
        if workload.name in seen:
            raise Malformed(path=f"{path}.name", problem=f"multiple workloads with the same name '{workload.name}'")
        seen.add(workload.name)
        if workload.type not in types:
            offered = ", ".join(sorted(types))
            raise Malformed(path=f"{path}.type", problem=f"unknown type '{workload.type}'; known are {offered}")


def _name_problem(name: str) -> str:
    if not 1 <= len(name.encode()) <= NAME_LIMIT:
        return f"must have 1 to {NAME_LIMIT} characters"
    if not NAME.fullmatch(name):
        return f"'{name}' may only have letters, digits and underscores"
    return f"'{name}' is a reserved name" if name in RESERVED else ""
