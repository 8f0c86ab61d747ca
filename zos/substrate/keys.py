"""Users' and nodes' keys: ed25519 and sr25519, from a mnemonic, a hex seed or a development URI; SS58 addresses. Pure.

Derivation as Substrate does it: the mini secret of a mnemonic comes from its entropy (not from the BIP-39 seed);
`//Name` are hard junctions.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import base58
import bip39
import sr25519
from nacl.signing import SigningKey

from zos.errors import Status, ZosError
from zos.scale.reader import compact

SS58_PREFIX = 42
HASH_ABOVE = 256
"""A payload that is longer is hashed before it is signed."""
_NUMBER = re.compile(r"\+?0*([0-9]{1,20})")
"""As Rust reads one of 64 bits."""
DEVELOPMENT = "bottom drive obey lake curtain smoke basket hold race lonely fit walk"


class KeyKind(StrEnum):
    """Signature schemes; the order is MultiSignature's."""

    ED25519 = "ed25519"
    SR25519 = "sr25519"


class BadKey(ZosError):
    """Neither a mnemonic nor a seed."""

    reason = "substrate.bad_key"
    status = Status.INVALID_ARGUMENT
    text = "this is no key: {problem}"
    hint = "give a mnemonic of 12 or 24 words, or a seed of 64 hex characters (0x may stand before)"


class BadAddress(ZosError):
    """Not an SS58 address."""

    reason = "substrate.bad_address"
    status = Status.INVALID_ARGUMENT
    text = "`{text}` is no SS58 address: {problem}"


class Key(Protocol):
    """Something that signs for an account, here or in another process."""

    @property
    def public(self) -> bytes: ...

    @property
    def kind(self) -> KeyKind: ...

    async def sign_call(self, payload: bytes) -> bytes:
        """A signature of 64 bytes for a call's whole payload, which is hashed first when it is long."""
        ...


@dataclass(frozen=True, slots=True)
class LocalKey:
    """A key in this process."""

    kind: KeyKind
    public: bytes
    _secret: bytes = field(repr=False)
    _mini: bytes = field(default=b"", repr=False)
    """The seed that a mnemonic or hex text stands for; empty for a derived key."""
    _signing: SigningKey | None = field(default=None, repr=False, compare=False)
    """The key made of its secret, for ed25519."""

    @property
    def seed(self) -> bytes:
        """32 secret bytes: the mini secret, and for a derived sr25519 key a hash of its secret in that place."""
        return self._mini or hashlib.blake2b(self._secret, digest_size=32).digest()

    @staticmethod
    def of_seed(seed: bytes, kind: KeyKind = KeyKind.SR25519) -> LocalKey:
        """From a mini secret of 32 bytes."""
        if len(seed) != 32:
            raise BadKey(problem=f"a seed has 32 bytes, not {len(seed)}")
        if kind is KeyKind.ED25519:
            signing = SigningKey(seed)
            return LocalKey(kind, bytes(signing.verify_key), seed, seed, signing)
        public, secret = sr25519.pair_from_seed(seed)
        return LocalKey(kind, bytes(public), bytes(secret), seed)

    @staticmethod
    def of_text(text: str, kind: KeyKind = KeyKind.SR25519) -> LocalKey:
        """From `words… //Junction`, `0x…` or `//Alice` (a development account)."""
        secret, *junctions = (part.strip() for part in text.strip().split("//"))
        key_seed = _seed(secret or DEVELOPMENT)
        if kind is KeyKind.ED25519:
            for junction in junctions:
                salt = b"\x2cEd25519HDKD" + key_seed + _chain_code(junction)
                key_seed = hashlib.blake2b(salt, digest_size=32).digest()
            return LocalKey.of_seed(key_seed, kind)
        if not junctions:
            return LocalKey.of_seed(key_seed, kind)
        public, private = sr25519.pair_from_seed(key_seed)
        for junction in junctions:
            _, public, private = sr25519.hard_derive_keypair((_chain_code(junction), public, private), b"")
        return LocalKey(kind, bytes(public), bytes(private))

    async def sign(self, payload: bytes) -> bytes:
        return self.signed(payload)

    async def sign_call(self, payload: bytes) -> bytes:
        return self.signed(shortened(payload))

    def signed(self, payload: bytes) -> bytes:
        if self._signing is not None:
            return bytes(self._signing.sign(payload).signature)
        return bytes(sr25519.sign((self.public, self._secret), payload))


def shortened(payload: bytes) -> bytes:
    """What is signed for a call's payload: itself, or its BLAKE2b-256 when it is long."""
    return hashlib.blake2b(payload, digest_size=32).digest() if len(payload) > HASH_ABOVE else payload


def new_mnemonic() -> str:
    """Twelve new words of BIP-39."""
    return str(bip39.bip39_generate(12))


def address(public: bytes, prefix: int = SS58_PREFIX) -> str:
    """A public key as SS58 text."""
    body = bytes([prefix]) + public
    return base58.b58encode(body + _checksum(body)).decode()


def public_key(text: str) -> bytes:
    """The public key in an SS58 address, or in hex."""
    if text.startswith("0x"):
        text = text[2:]
    try:
        if len(text) == 64:
            return bytes.fromhex(text)
        raw = base58.b58decode(text)
    except ValueError as err:
        raise BadAddress(text=text, problem=err) from None
    if len(raw) != 35 or _checksum(raw[:-2]) != raw[-2:]:
        raise BadAddress(text=text, problem="its checksum is wrong")
    return bytes(raw[1:-2])


def _checksum(body: bytes) -> bytes:
    return hashlib.blake2b(b"SS58PRE" + body).digest()[:2]


def _seed(text: str) -> bytes:
    plain = text.removeprefix("0x")
    if len(plain) == 64:
        try:
            return bytes.fromhex(plain)
        except ValueError:
            raise BadKey(problem="it has the length of a seed and is not hexadecimal") from None
    words = " ".join(text.split())
    try:
        if not bip39.bip39_validate(words):
            raise ValueError
        # Substrate makes the seed of the words' entropy; BIP-39's own way gives another account.
        return bytes(bip39.bip39_to_mini_secret(words, ""))
    except ValueError:
        raise BadKey(problem="its words are no mnemonic, or its checksum is wrong") from None


def _chain_code(junction: str) -> bytes:
    if not junction or "/" in junction:
        # Of soft junctions and passwords other programs make another account.
        raise BadKey(problem="of what follows its words, only //Name is known here, no /name and no ///password")
    # Substrate reads a number of 64 bits as such, anything else as text with its compact length.
    number = _NUMBER.fullmatch(junction)
    if number is not None and int(number[1]) < 1 << 64:
        raw = int(number[1]).to_bytes(8, "little")
    else:
        text = junction.encode()
        raw = compact(len(text)) + text
    return raw.ljust(32, b"\0") if len(raw) <= 32 else hashlib.blake2b(raw, digest_size=32).digest()
