"""Decides what is accepted: structure, owner, version, names, and whether contract and signatures carry it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from zos.chain.api.types import ContractState, NodeContract
from zos.model import signing
from zos.model.challenge import GRID_TYPES, Challenge, hashes
from zos.model.decode import Malformed
from zos.model.deployment import Deployment, ResultState, SignatureRequirement, check_structure, decode
from zos.model.signing import BadSignature
from zos.model.units import MiB
from zos.provisiond import pull, room
from zos.provisiond.api.errors import (
    BadUpdate,
    BadVersion,
    DeploymentExists,
    NameTaken,
    NotYet,
    TwinMismatch,
    Unproven,
    WrongContract,
)
from zos.provisiond.lifecycle import RUNNING
from zos.provisiond.model import Incoming, Phase, Record
from zos.provisiond.plan import Types
from zos.provisiond.specs import Specs
from zos.verbs.primitive import Facts, Sibling

MOST_BYTES = int(MiB(1))
"""Of a document: its record is written whole with each step that one of its workloads takes."""
MOST_WORKLOADS = 500
"""Of one deployment: its record is written whole with each step that one of them takes."""
MOST_SIGNERS = 64
"""Of one deployment: each is looked up on the chain, and each signature is checked."""
MOST_VALUES = 50_000
"""Of one document: its brackets and commas. An empty list costs thirty times as much memory as its two bytes."""


def challenges(types: Types) -> dict[str, Challenge]:
    """The signed text's piece of every type that is offered here or known to the grid."""
    return {**GRID_TYPES, **{name: one.challenge for name, one in types.items()}}


@dataclass(frozen=True)
class Document:
    """A deployment, with what its contract may say of it."""

    deployment: Deployment
    types: Types
    digests: tuple[str, ...] = ()
    """SHA-256 (hex) by which its contract may name it (`pull.digests`)."""
    satisfied: list[SignatureRequirement | None] = field(default_factory=list, compare=False)
    """The rules in force (None: no document was) under which its signatures were checked, and hold."""

    @cached_property
    def hashes(self) -> tuple[bytes, ...]:
        """The hash, then those that clients of other dialects take."""
        return tuple(hashes(self.deployment, challenges(self.types)))


def read(document: bytes, specs: Specs) -> Deployment:
    """A well-formed deployment of types that are offered here, or an error that names the path."""
    if len(document) > MOST_BYTES:
        raise Malformed(path="deployment", problem=f"has {len(document)} bytes; at most {MOST_BYTES} are taken")
    if sum(map(document.count, (b"[", b"{", b","))) > MOST_VALUES:
        raise Malformed(path="deployment", problem=f"has more than {MOST_VALUES} values")
    deployment, types = decode(document), specs.types
    if len(deployment.workloads) > MOST_WORKLOADS:
        raise Malformed(path="workloads", problem=f"a deployment has at most {MOST_WORKLOADS}")
    requirement = deployment.signature_requirement
    if max(len(requirement.requests), len(requirement.signatures)) > MOST_SIGNERS:
        raise Malformed(path="signature_requirement", problem=f"a deployment has at most {MOST_SIGNERS} signers")
    check_structure(deployment, types)
    siblings = {
        one.name: Sibling(types[one.type], specs.of(one.type, one.data, f"workloads[{index}].data"), ResultState.INIT)
        for index, one in enumerate(deployment.workloads)
    }
    for index, (name, one) in enumerate(siblings.items()):
        facts = Facts(deployment.twin_id, deployment.contract_id, name, siblings, processors=specs.processors)
        one.type.check(one.spec, f"workloads[{index}]", facts)
    return deployment


def is_owner(deployment: Deployment, sender: int | None) -> None:
    """Refuse a deployment in somebody else's name."""
    if sender is not None and deployment.twin_id != sender:
        raise TwinMismatch(deployment=deployment.twin_id, sender=sender)


def admit_new(
    deployment: Deployment, records: Iterable[Record], types: Types, *, carried: bool = False
) -> tuple[int, ...]:
    """Refuse what cannot be created; what its contract carries does not count as waiting.

    Returns the contracts whose documents give way to it: no contract carries them.
    """
    if deployment.version != 0:
        raise BadVersion()
    records = tuple(records)
    if any(record.contract == deployment.contract_id for record in records):
        raise DeploymentExists(contract=deployment.contract_id)
    room.keeps(deployment, records)
    _free_names(deployment, records, types)
    return () if carried else room.waits(deployment, records)


def admit_update(
    deployment: Deployment, record: Record, records: Iterable[Record], types: Types, *, carried: bool = False
) -> None:
    """Refuse what cannot follow on the stored deployment; one that its contract carries may have left versions out."""
    if (deployment.twin_id, deployment.contract_id) != (record.twin, record.contract):
        raise BadUpdate(problem="cannot change deployment or twin id")
    since, before = _before(deployment, record, carried=carried)
    for workload in deployment.workloads:
        type, item = before.get(workload.name), record.item(workload.name)
        if type is None:
            if workload.version <= since:
                raise BadUpdate(problem=f"new workload '{workload.name}' must have version {deployment.version}")
            if item is not None:
                raise NotYet(what=f"the removal of `{workload.name}` is not finalized yet")
            continue
        if type != workload.type and deployment.version == since + 1:
            raise BadUpdate(problem=f"cannot change workload type '{workload.name}'")
        if item is not None and (item.is_failed() or item.data == workload.data):
            continue  # there is nothing that would have to be changed in its place
        is_changed = workload.version > (record.version if item else since)
        if type == workload.type and is_changed and not types[workload.type].updatable:
            raise BadUpdate(problem=f"workload '{workload.type}' does not support upgrade")
    records = tuple(records)
    room.keeps(deployment, records, record)
    _free_names(deployment, tuple(one for one in records if one.contract != record.contract), types)


def _before(deployment: Deployment, record: Record, *, carried: bool) -> tuple[int, Mapping[str, str]]:
    """A version before, with the types of its workloads by name: one that waits for its contract's final block, or
    the one in force. Between that and this one may lie versions that the contract had left behind when they were
    compared: the newest that was taken in counts for the number of the next.
    """
    incoming = record.incoming.document if record.incoming is not None else None
    if incoming is not None and incoming["version"] == deployment.version - 1:
        return incoming["version"], {one["name"]: one["type"] for one in incoming["workloads"]}
    is_next = deployment.version in (record.version + 1, record.offered + 1)
    if deployment.version > record.version and (is_next or carried):
        return record.version, {name: item.type for name, item in record.siblings().items()}
    raise BadUpdate(problem=f"expecting deployment version {record.version + 1}, got {deployment.version}")


def _free_names(deployment: Deployment, others: tuple[Record, ...], types: Types) -> None:
    names = {workload.name for workload in deployment.workloads if types[workload.type].sharable}
    for other in others if names else ():
        if other.twin != deployment.twin_id or other.phase is Phase.ENDING:
            continue  # what is being removed is waited for
        if other.phase is Phase.REFUSED and other.incoming is None:
            continue  # nothing of it was made, and nothing will be
        for item in other.items:
            if not item.leaving and item.name in names and types[item.type].sharable:
                raise NameTaken(name=item.name, contract=other.contract)


def in_force(record: Record | None) -> SignatureRequirement | None:
    """The signature requirement that an update has to satisfy beside its own."""
    return record.deployment().signature_requirement if record is not None and record.block else None


def signed(document: Document, keys: Mapping[int, bytes], stored: SignatureRequirement | None = None) -> None:
    """Refuse a deployment whose signatures do not hold over any hash that its clients may have taken.

    `stored` is the requirement in force: who must agree to what runs must agree to its change, also to one of the rule.
    """
    problem: BadSignature | None = None
    for hash in document.hashes:
        try:
            signing.check(document.deployment, hash, keys, stored)
        except BadSignature as err:
            problem = problem or err
        else:
            document.satisfied.append(stored)
            return
    assert problem is not None
    raise problem


def carried(document: Document, contract: NodeContract, node: int) -> str:
    """The hash by which the contract carries the deployment, or why it does not."""
    deployment = document.deployment
    if contract.node != node:
        raise WrongContract(problem="invalid node address in contract")
    if contract.twin != deployment.twin_id:
        problem = f"contract {contract.id} belongs to twin {contract.twin}, not to twin {deployment.twin_id}"
        raise WrongContract(problem=problem)
    if contract.state not in (ContractState.CREATED, ContractState.GRACE):
        raise WrongContract(problem=f"contract {contract.id} is {contract.state.replace('_', ' ')}")
    if contract.deployment_hash in (hash.hex() for hash in document.hashes):
        return contract.deployment_hash
    raise WrongContract(problem="contract hash does not match deployment hash")


def is_named(incoming: Incoming, contract: NodeContract) -> bool:
    """Whether the contract names these very bytes; WrongContract when it names others.

    The hash and the signatures hold for other documents as well: the signed text has nothing between its fields.
    """
    wanted = pull.digest(contract.deployment_data)
    if wanted and incoming.digests and wanted not in incoming.digests:
        problem = f"contract {contract.id} names the document with sha256 {wanted:.64}, not {incoming.digests[0]}"
        raise WrongContract(problem=problem)
    return wanted in incoming.digests


def adds_only(deployment: Deployment, record: Record, specs: Specs) -> None:
    """Refuse a document that touches anything of what runs: a workload, who must sign, or a new user of its data."""
    if record.phase not in RUNNING:
        return
    stored = record.deployment().signature_requirement
    asked = deployment.signature_requirement
    if (asked.requests, asked.weight_required) != (stored.requests, stored.weight_required):
        raise Unproven(what="it changes who must sign")
    there = record.siblings()
    for name, item in there.items():
        new = deployment.workload(name)
        if new is None or new.type != item.type:
            raise Unproven(what=f"it removes `{name}`")
        if new.version > record.version:
            raise Unproven(what=f"it changes `{name}`")
    for workload in deployment.workloads:
        if workload.name in there:
            continue
        spec = specs.of(workload.type, workload.data, workload.name)
        for need in specs.types[workload.type].needs(spec):
            if need.name in there and not need.shared:
                raise Unproven(what=f"its `{workload.name}` uses `{need.name}`")


def not_final(problem: WrongContract, document: Document, best: NodeContract, node: int) -> None:
    """Raise NotYet when the best block carries what the finalized one does not; else the problem stands."""
    try:
        carried(document, best, node)
    except WrongContract:
        raise problem from None
    raise NotYet(what=f"the change of contract {best.id} is not finalized yet")
