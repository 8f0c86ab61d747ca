"""The node's key: made once, kept in a 0600 file, never handed out, used by purpose.

An unreadable key stops the node. A new identity in its place would lose the node's twin, contracts and reputation,
which no restart brings back; a person can still restore the file.
"""

from __future__ import annotations

import re
from pathlib import Path

import base58
import msgspec
from nacl.signing import SigningKey

from zos.core0.api.errors import BadPurpose, KeyUnreadable
from zos.core0.api.types import Identity, Purpose
from zos.runtime import secret

SS58_PREFIX = 42
_RELAY_TOKEN = re.compile(rb"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_ATTEST = b"zos-attest:"


class _KeyFile(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    kind: str
    seed: str
    public_key: str
    """Proof that the seed was not damaged."""


def open_key(path: Path) -> SigningKey:
    """The key in the file; made when there is no file at all."""
    if not path.exists() and not path.is_symlink():
        key = SigningKey.generate()
        made = _KeyFile(1, "ed25519", key.encode().hex(), key.verify_key.encode().hex())
        secret.write(path, msgspec.json.format(msgspec.json.encode(made)) + b"\n")
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=_KeyFile)
        key = SigningKey(bytes.fromhex(kept.seed))
    except OSError as err:
        raise KeyUnreadable(path=path, problem=err.strerror or err) from None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        # The decoder's own words may quote the seed.
        raise KeyUnreadable(path=path, problem="it is not a key file (damaged or cut short)") from None
    except (ValueError, TypeError):
        raise KeyUnreadable(path=path, problem="its seed is damaged") from None
    if (kept.version, kept.kind) != (1, "ed25519"):
        raise KeyUnreadable(path=path, problem=f"it is of kind {kept.kind} version {kept.version}")
    if key.verify_key.encode().hex() != kept.public_key:
        raise KeyUnreadable(path=path, problem="seed and public key do not belong together")
    path.chmod(0o600)
    return key


def identity_of(key: SigningKey) -> Identity:
    """The public half, and its SS58 address."""
    public = key.verify_key.encode()
    return Identity(public, ss58(public))


def ss58(public_key: bytes) -> str:
    """A 32-byte account key as Substrate's address text (prefix 42)."""
    from hashlib import blake2b

    body = bytes([SS58_PREFIX]) + public_key
    check = blake2b(b"SS58PRE" + body, digest_size=64).digest()[:2]
    return base58.b58encode(body + check).decode()


def sign(key: SigningKey, purpose: Purpose, payload: bytes) -> bytes:
    """Sign a payload of the shape that the purpose has; the shapes do not overlap."""
    match purpose:
        case Purpose.CHAIN:
            # Substrate signs the payload, or its blake2b-256 once it is longer than 256 bytes.
            if not 32 <= len(payload) <= 256:
                raise BadPurpose(purpose=purpose, wanted="32 to 256 bytes", size=len(payload))
            message = payload
        case Purpose.RMB:
            if len(payload) != 16 and not _RELAY_TOKEN.fullmatch(payload):
                raise BadPurpose(purpose=purpose, wanted="an MD5 (16 bytes) or a relay token", size=len(payload))
            message = payload
        case Purpose.ATTEST:
            message = _ATTEST + payload
    return bytes(key.sign(message).signature)
