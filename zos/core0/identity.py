"""The node's key: made once, kept in a 0600 file, never handed out, used by purpose.

An unreadable key stops the node. A new identity in its place would lose the node's twin, contracts and reputation,
which no restart brings back; a person can still restore the file.
"""

from __future__ import annotations

import re
from hashlib import blake2b, sha256
from pathlib import Path

import base58
import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from nacl.signing import SigningKey

from zos.core0.api.errors import BadE2eKey, BadPurpose, KeyUnreadable
from zos.core0.api.types import Identity, KeyUse, Purpose
from zos.model import chaincalls
from zos.runtime import secret
from zos.runtime.files import write_atomic

SS58_PREFIX = 42
HASH_ABOVE = 256
"""A payload for the chain that is longer is signed as its BLAKE2b-256, as Substrate does."""
LONGEST_CALL = 1 << 20
_CALL = 2
"""Bytes of the shortest call: a pallet's and a function's index."""
# The first part is the JSON header of a token, in base64.
_RELAY_TOKEN = re.compile(rb"eyJ[A-Za-z0-9_-]{1,4096}\.[A-Za-z0-9_-]{1,4096}")
_SHAPES = {
    Purpose.CHAIN: "the payload of an extrinsic that a node sends",
    Purpose.RMB: "an MD5 (16 bytes) or a relay token",
    Purpose.AGREE: "nothing",
}
_DERIVE = b"zos-derive:"


class _KeyFile(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    kind: str
    seed: str
    public_key: str
    """Proof that the seed was not damaged."""


def open_key(path: Path) -> SigningKey:
    """The key in the file; made when neither it nor the public half beside it was ever there."""
    witness = path.with_suffix(".pub")
    if not path.exists() and not path.is_symlink():
        if witness.exists():
            problem = f"it is missing, and this node had the key {witness.read_text().strip()} (noted in {witness})"
            raise KeyUnreadable(path=path, problem=problem)
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
    _bear_witness(witness, key)
    return key


def _bear_witness(witness: Path, key: SigningKey) -> None:
    """Note the public half once: a lost key file is then told from a node that never had one."""
    line = ss58(key.verify_key.encode()) + "\n"
    if not witness.exists() or witness.read_text() != line:
        write_atomic(witness, line.encode())


def identity_of(key: SigningKey) -> Identity:
    """The public half, its SS58 address, and the key that twins encrypt to."""
    public = key.verify_key.encode()
    return Identity(
        public, ss58(public), _e2e(key).public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    )


def _e2e(key: SigningKey) -> ec.EllipticCurvePrivateKey:
    # The grid's way: the seed of the ed25519 key is the secp256k1 key as well.
    return ec.derive_private_key(int.from_bytes(key.encode()), ec.SECP256K1())


def agree(key: SigningKey, e2e_key: bytes) -> bytes:
    """The AES-256 key shared with the holder of a secp256k1 key: SHA-256 of the common point's x coordinate."""
    try:
        other = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), e2e_key)
    except ValueError:
        raise BadE2eKey(size=len(e2e_key)) from None
    return sha256(_e2e(key).exchange(ec.ECDH(), other)).digest()


def derive(key: SigningKey, use: KeyUse) -> bytes:
    """The seed of the key for one use: BLAKE2b-256 of the use's name, keyed with the node's seed."""
    return blake2b(_DERIVE + use.encode(), key=key.encode(), digest_size=32).digest()


def ss58(public_key: bytes) -> str:
    """A 32-byte account key as Substrate's address text (prefix 42)."""
    body = bytes([SS58_PREFIX]) + public_key
    check = blake2b(b"SS58PRE" + body, digest_size=64).digest()[:2]
    return base58.b58encode(body + check).decode()


def sign(key: SigningKey, purpose: Purpose, payload: bytes) -> bytes:
    """Sign a payload of the shape that the purpose has. What one purpose signs, no other would.

    A message of RMB has 16 bytes or is the text of a token, which has no byte of zero and not 32 bytes. What is signed
    for the chain has bytes of zero within more than 72, or is a hash that core-0 made itself.
    """
    match purpose:
        case Purpose.CHAIN if _is_extrinsic(payload):
            message = blake2b(payload, digest_size=32).digest() if len(payload) > HASH_ABOVE else payload
        case Purpose.RMB if len(payload) == 16 or (len(payload) != 32 and _RELAY_TOKEN.fullmatch(payload)):
            message = payload
        case _:
            raise BadPurpose(purpose=purpose, wanted=_SHAPES[purpose], size=len(payload))
    return bytes(key.sign(message).signature)


def _is_extrinsic(payload: bytes) -> bool:
    """Whether it ends as Substrate's payloads do.

    After the call and at least 3 bytes (era, nonce, tip) come u32 spec and u32 transaction version, the genesis' and
    a block's hash, and with newer runtimes a 0 (no hash of metadata). The call is one that a node sends.
    """
    ends = [len(payload), *([len(payload) - 1] if payload.endswith(b"\0") else [])]
    versions = [payload[end - 72 : end - 64] for end in ends if end >= _CALL + 3 + 72]
    specs = [int.from_bytes(one[:4], "little") for one in versions if one[3:4] == b"\0" and one[6:] == b"\0\0"]
    # Whichever way the chain reads it, the call is one that a node sends: no broken sibling spends the node's money.
    is_ours = bool(specs) and all(chaincalls.is_nodes(spec, payload[0], payload[1]) for spec in specs)
    return len(payload) <= LONGEST_CALL and is_ours
