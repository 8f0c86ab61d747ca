"""Signing deployments and checking their signatures, ed25519 and sr25519."""

from __future__ import annotations

from collections.abc import Mapping

import sr25519
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from zos.errors import Status, ZosError
from zos.model.deployment import Deployment, Signature, SignatureRequest

POLKA_STYLE = "polka-wallet"
SR25519 = "sr25519"


class BadSignature(ZosError):
    """The signatures do not satisfy the deployment's own requirement."""

    reason = "model.bad_signature"
    status = Status.PERMISSION_DENIED
    text = "{problem}"
    hint = "sign the deployment's hash with the key of the twin, as the requirement lists it"


def message(digest: bytes, style: str) -> bytes:
    """The bytes that are signed for a deployment's hash (16 bytes)."""
    if style == POLKA_STYLE:
        return b"<Bytes>" + digest.hex().encode() + b"</Bytes>"
    return digest


def verify(public_key: bytes, signed: bytes, signature: bytes, kind: str) -> bool:
    """Whether a signature is the key's; `kind` as on the wire, anything but sr25519 means ed25519."""
    if len(signature) != 64 or len(public_key) != 32:
        return False
    if kind == SR25519:
        try:
            return bool(sr25519.verify(signature, signed, public_key))
        except (ValueError, TypeError):
            return False
    try:
        VerifyKey(public_key).verify(signed, signature)
    except (BadSignatureError, ValueError):
        return False
    return True


def signers(deployment: Deployment) -> tuple[int, ...]:
    """The twins whose keys are needed to check a deployment."""
    signed = {signature.twin_id for signature in deployment.signature_requirement.signatures}
    requests = deployment.signature_requirement.requests
    return tuple(dict.fromkeys(request.twin_id for request in requests if request.twin_id in signed))


def check(deployment: Deployment, digest: bytes, keys: Mapping[int, bytes]) -> None:
    """Refuse a deployment that is not signed as it says itself; `keys` are the signers' account keys by twin.

    Optional signers may be absent; a signature that is there must be right. Of several by one twin the first
    counts, and a twin is listed once.
    """
    requirement = deployment.signature_requirement
    by_twin = _by_twin(requirement.signatures)
    signed = message(digest, requirement.signature_style)
    weight = 0
    listed: set[int] = set()
    for request in requirement.requests:
        if request.twin_id in listed:
            raise BadSignature(problem=f"twin {request.twin_id} is listed twice in the signature requests")
        listed.add(request.twin_id)
        if _check_one(request, deployment.twin_id, by_twin, signed, keys):
            weight += request.weight
    if deployment.twin_id not in listed:
        raise BadSignature(problem="originator twin id must be in the signature requests")
    if weight < requirement.weight_required:
        problem = f"required signature weight is not reached: {weight} of {requirement.weight_required}"
        raise BadSignature(problem=problem)


def _by_twin(signatures: tuple[Signature, ...]) -> dict[int, Signature]:
    """The first of each twin: the TypeScript client sends its own twice when it updates."""
    found: dict[int, Signature] = {}
    for signature in signatures:
        found.setdefault(signature.twin_id, signature)
    return found


def _check_one(
    request: SignatureRequest, owner: int, by_twin: Mapping[int, Signature], signed: bytes, keys: Mapping[int, bytes]
) -> bool:
    one = by_twin.get(request.twin_id)
    if one is None:
        if request.required or request.twin_id == owner:
            raise BadSignature(problem=f"missing required signature for twin '{request.twin_id}'")
        return False
    try:
        raw = bytes.fromhex(one.signature)
    except ValueError:
        raise BadSignature(problem=f"the signature of twin {request.twin_id} is not hexadecimal") from None
    if not verify(keys.get(request.twin_id, b""), signed, raw, one.signature_type):
        raise BadSignature(problem=f"failed to verify signature of twin {request.twin_id}")
    return True
