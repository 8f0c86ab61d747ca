"""End-to-end encryption between two twins: one AES-256 key per pair, from secp256k1."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Protocol

from cachetools import TTLCache
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from zos.model.sealed import Sealed
from zos.rmb.errors import Undecipherable
from zos.runtime.clock import Clock

NONCE = 12
TAG = 16
CACHED_KEYS = 2048
"""Shared keys that are remembered."""
KEEP_KEYS = 3600.0
"""Seconds that one is."""


class Secret(Protocol):
    """A twin's encryption key, here or in another process."""

    async def shared(self, pk: bytes) -> bytes:
        """The AES-256 key shared with the twin of that secp256k1 key (33 bytes)."""
        ...


@dataclass(frozen=True, slots=True)
class LocalSecret:
    """A key in this process: the 32 bytes of a twin's (mini) seed are its secp256k1 key as well."""

    _seed: bytes = field(repr=False)

    def _key(self) -> ec.EllipticCurvePrivateKey:
        return ec.derive_private_key(int.from_bytes(self._seed), ec.SECP256K1())

    @property
    def public(self) -> bytes:
        """33 bytes, compressed: what the twin publishes as its `pk`."""
        return self._key().public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)

    async def shared(self, pk: bytes) -> bytes:
        return _agreed(self._key(), pk)


class KeyCache:
    """Caches shared keys: an agreement costs a millisecond, and a call of core-0 where the key is there."""

    def __init__(self, secret: Secret, clock: Clock, limit: int = CACHED_KEYS) -> None:
        self._secret = secret
        self._keys: TTLCache[bytes, bytes] = TTLCache(limit, KEEP_KEYS, clock.monotonic)

    def __len__(self) -> int:
        return len(self._keys)

    async def shared(self, pk: bytes) -> bytes:
        """As `Secret` has it."""
        key = self._keys.get(pk)
        if key is None:
            key = self._keys[pk] = await self._secret.shared(pk)
        return key


def seal(key: bytes, plain: bytes, nonce: bytes | None = None) -> bytes:
    """Encrypts with AES-256-GCM; answers nonce ‖ ciphertext ‖ tag."""
    nonce = os.urandom(NONCE) if nonce is None else nonce
    return nonce + AESGCM(key).encrypt(nonce, plain, None)


def unseal(key: bytes, cipher: bytes) -> bytes:
    """The text that was sealed with this key. Raises Undecipherable."""
    if len(cipher) < NONCE + TAG:
        raise Undecipherable()
    try:
        return AESGCM(key).decrypt(cipher[:NONCE], cipher[NONCE:], None)
    except InvalidTag:
        raise Undecipherable() from None


def seal_document(pk: bytes, document: bytes) -> Sealed:
    """A document for the twin of that key, by a key of its own, so that its sender cannot read it either."""
    own = ec.generate_private_key(ec.SECP256K1())
    public = own.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    return Sealed(public, seal(_document_key(_agreed(own, pk)), document))


def open_document(shared: bytes, cipher: bytes) -> bytes:
    """What was sealed; `shared` is the key that its reader shares with the document's."""
    return unseal(_document_key(shared), cipher)


def _document_key(shared: bytes) -> bytes:
    # Another key than messages have: opening documents for somebody opens no message.
    return sha256(b"zos-sealed:" + shared).digest()


def _agreed(key: ec.EllipticCurvePrivateKey, pk: bytes) -> bytes:
    try:
        other = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), pk)
    except ValueError:
        raise Undecipherable() from None
    return sha256(key.exchange(ec.ECDH(), other)).digest()
