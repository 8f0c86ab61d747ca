"""Encryption between two identities: AES-256-GCM with the X25519 shared secret as key. Pure but for the nonces.

An encrypted payload is ciphertext, tag (16), nonce (12). The plain text begins with four bytes: version 1, its kind,
and two zeros. Source: threefoldtech/mycelium, crypto.rs, data.rs.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from typing import ClassVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

TAG, NONCE = 16, 12
VERSION = 1
L3, MESSAGE, ICMP = 0, 1, 2
"""An IPv6 packet; a message (not spoken here); an ICMP error of a router on the way."""
HEADER = 4
OVERHEAD = HEADER + TAG + NONCE
MAX_SECRETS = 1024
"""Ciphers that are cached per identity; the least recently used is dropped."""

_HEADERS = {kind: bytes((VERSION, kind, 0, 0)) for kind in (L3, MESSAGE, ICMP)}


class Keys:
    """One identity's secret, and its ciphers with others."""

    __slots__ = ("_ciphers", "_secret")
    agreements: ClassVar[int] = 0
    """Shared secrets that were computed, by all identities: what makes one packet dearer than others."""

    def __init__(self, secret: bytes) -> None:
        self._secret = X25519PrivateKey.from_private_bytes(secret)
        self._ciphers: OrderedDict[bytes, AESGCM] = OrderedDict()

    def seal(self, public: bytes, kind: int, content: bytes) -> bytes | None:
        """Encrypt for the owner of a public key; None when the key is not valid."""
        return next(iter(self.seal_all(public, kind, (content,))), None)

    def seal_all(self, public: bytes, kind: int, contents: Sequence[bytes]) -> list[bytes]:
        """Encrypt each for the owner of a public key; nothing when the key is not valid."""
        cipher = self._cipher(public)
        if cipher is None:
            return []
        head, random = _HEADERS[kind], os.urandom(NONCE * len(contents))
        nonces = (random[at : at + NONCE] for at in range(0, len(random), NONCE))
        return [cipher.encrypt(nonce, head + one, None) + nonce for one, nonce in zip(contents, nonces, strict=True)]

    def open(self, public: bytes, payload: bytes) -> tuple[int, bytes] | None:
        """Decrypt what the owner of a public key sent: kind and content. None when it is not authentic."""
        return next(((plain[1], plain[HEADER:]) for plain in self.open_all(public, (payload,))), None)

    def open_all(self, public: bytes, payloads: Sequence[bytes]) -> list[bytes]:
        """Decrypt what the owner of a public key sent, with the header before each; not what is not authentic."""
        # First what costs nothing: a key agreement takes ten times as long as a packet.
        sealed = [payload for payload in payloads if len(payload) >= OVERHEAD]
        cipher = self._cipher(public) if sealed else None
        if cipher is None:
            return []
        decrypt, found = cipher.decrypt, []
        for payload in sealed:
            try:
                plain = decrypt(payload[-NONCE:], payload[:-NONCE], None)
            except InvalidTag:
                continue
            if plain[0] == VERSION:
                found.append(plain)
        return found

    def _cipher(self, public: bytes) -> AESGCM | None:
        cipher = self._ciphers.get(public)
        if cipher is not None:
            self._ciphers.move_to_end(public)
            return cipher
        Keys.agreements += 1
        try:
            cipher = AESGCM(self._secret.exchange(X25519PublicKey.from_public_bytes(public)))
        except ValueError:  # a point of small order: the secret would be zero
            return None
        self._ciphers[public] = cipher
        if len(self._ciphers) > MAX_SECRETS:
            self._ciphers.popitem(last=False)
        return cipher
