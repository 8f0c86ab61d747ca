"""Signing deployments and checking their signatures, ed25519 and sr25519."""

from __future__ import annotations

import re
from collections.abc import Mapping

import sr25519
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from zos.errors import Status, ZosError
from zos.model.deployment import Deployment, Signature, SignatureRequest, SignatureRequirement

POLKA_STYLE = "polka-wallet"
SR25519 = "sr25519"
_HEX = re.compile("[0-9a-fA-F]*")
MOST_EACH = 16
"""Signatures of one twin that are looked at."""


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


def signers(deployment: Deployment, stored: SignatureRequirement | None = None) -> tuple[int, ...]:
    """The twins whose keys are needed to check a deployment, also against the requirement in force."""
    signed = {signature.twin_id for signature in deployment.signature_requirement.signatures}
    requests = (*deployment.signature_requirement.requests, *(stored.requests if stored is not None else ()))
    return tuple(dict.fromkeys(request.twin_id for request in requests if request.twin_id in signed))


def check(
    deployment: Deployment,
    digest: bytes,
    keys: Mapping[int, bytes],
    stored: SignatureRequirement | None = None,
) -> None:
    """Refuse a deployment that is not signed as it says itself; `keys` are the signers' account keys by twin.

    An update has to be signed as the requirement in force (`stored`) says, too: by signatures of its own.
    Optional signers may be absent; who signed must have signed this. Of several signatures by one twin one must be
    right, and a twin is listed once.
    """
    own = deployment.signature_requirement
    _check_rule(own, deployment, digest, keys)
    if stored is None or (stored.requests, stored.weight_required) == (own.requests, own.weight_required):
        return
    try:
        _check_rule(stored, deployment, digest, keys)
    except BadSignature as err:
        raise BadSignature(problem=f"{err}, by the signature requirement that is in force") from None


def _check_rule(
    requirement: SignatureRequirement, deployment: Deployment, digest: bytes, keys: Mapping[int, bytes]
) -> None:
    given = deployment.signature_requirement
    by_twin = _by_twin(given.signatures)
    signed = message(digest, given.signature_style)
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


def _by_twin(signatures: tuple[Signature, ...]) -> dict[int, list[Signature]]:
    """Of each twin in their order. Clients that update what they read from a node send several: the TypeScript one
    its new signature twice, Go's the old one and behind it the new one (when it takes a failed update back).
    """
    found: dict[int, list[Signature]] = {}
    for signature in signatures:
        of_twin = found.setdefault(signature.twin_id, [])
        if len(of_twin) < MOST_EACH:
            of_twin.append(signature)
    return found


def _check_one(
    request: SignatureRequest,
    owner: int,
    by_twin: Mapping[int, list[Signature]],
    signed: bytes,
    keys: Mapping[int, bytes],
) -> bool:
    given = by_twin.get(request.twin_id)
    if given is None:
        if request.required or request.twin_id == owner:
            raise BadSignature(problem=f"missing required signature for twin '{request.twin_id}'")
        return False
    key = keys.get(request.twin_id, b"")
    if not any(verify(key, signed, _raw(one), one.signature_type) for one in given):
        raise BadSignature(problem=f"failed to verify signature of twin {request.twin_id}")
    return True


def _raw(one: Signature) -> bytes:
    # bytes.fromhex takes white space between bytes, which the grid's nodes refuse.
    if len(one.signature) % 2 or not _HEX.fullmatch(one.signature):
        raise BadSignature(problem=f"the signature of twin {one.twin_id} is not hexadecimal")
    return bytes.fromhex(one.signature)
