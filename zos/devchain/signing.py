"""Owns the check of a signature by an account, whichever of the two schemes it uses. Pure."""

from __future__ import annotations

import sr25519
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey


def is_signed(scheme: str, account: bytes, signature: bytes, payload: bytes) -> bool:
    """Whether the signature is the account's; `scheme` is Ed25519 or Sr25519, others never are."""
    try:
        if scheme == "Sr25519":
            return bool(sr25519.verify(signature, payload, account))
        if scheme == "Ed25519":
            VerifyKey(account).verify(payload, signature)
            return True
    except (BadSignatureError, ValueError, TypeError):
        return False
    return False
