"""Blocks: a piece of a file, compressed, encrypted with its own hash and named by its hash. Pure.

As rfs does it, which is what we write:

key    = blake2b-256(plain)
blob   = AES-256-GCM(key, nonce = key[:12], snappy(plain))      no associated data, the tag at the end
id     = blake2b-256(blob)                                       the name in the stores

As 0-fs did it, which is only read (`layout.is_old` tells them apart):

key    = blake2b-128(plain)
blob   = XXTEA(key, snappy(plain), zeros up to whole words, its length)      little-endian words of 32 bits
id     = blake2b-128(blob)
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import cramjam
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from zos.flist.errors import BlockCorrupt
from zos.flist.layout import BLOCK_SIZE, DIGEST, OLD_DIGEST, is_old, stored_as

NONCE = 12
TAG = 16
MAX_BLOB = 32 + BLOCK_SIZE + BLOCK_SIZE // 6 + TAG
"""Snappy's own bound for a full block, and the tag."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A block as a store keeps it."""

    id: bytes
    key: bytes
    blob: bytes


def digest(data: bytes) -> bytes:
    """blake2b with 32 bytes, the hash of everything here."""
    return hashlib.blake2b(data, digest_size=DIGEST).digest()


def matches(plain: bytes | memoryview, key: bytes) -> bool:
    """Whether a key is the hash of these bytes."""
    size = OLD_DIGEST if is_old(key) else DIGEST
    return hashlib.blake2b(plain, digest_size=size).digest() == key[:size]


def seal(plain: bytes) -> Sealed:
    """The stored form of up to 512 KiB of a file."""
    if not 0 < len(plain) <= BLOCK_SIZE:
        raise ValueError(f"a block has 1 to {BLOCK_SIZE} bytes, not {len(plain)}")
    key = digest(plain)
    compressed = bytes(cramjam.snappy.compress_raw(plain))
    blob = AESGCM(key).encrypt(key[:NONCE], compressed, None)
    return Sealed(digest(blob), key, blob)


def unseal(blob: bytes, id: bytes, key: bytes, size: int) -> bytes:
    """The plain bytes of a blob, which are exactly `size` and hash to `key`; else BlockCorrupt.

    The plain's hash says all: a blob that decrypts to it is the right one, whatever its own name. It must be looked
    at, since anybody can seal other bytes under a known key, and blocks are kept and shared by their key.
    """
    if len(blob) > MAX_BLOB:
        raise _corrupt(id, f"{len(blob)} bytes are too many")
    compressed = _decipher_old(blob, id, key) if is_old(key) else _decipher(blob, id, key)
    try:
        # Asked first: the length is the sealer's word, and must not make us take memory.
        length = cramjam.snappy.decompress_raw_len(compressed)
        plain = bytes(cramjam.snappy.decompress_raw(compressed)) if length == size else b""
    except cramjam.DecompressionError as err:
        raise _corrupt(id, f"it does not unpack: {err}") from None
    if length != size:
        raise _corrupt(id, f"it has {length} bytes, the flist says {size}")
    if not matches(plain, key):
        raise _corrupt(id, "its content is another one")
    return plain


def _corrupt(id: bytes, problem: str) -> BlockCorrupt:
    return BlockCorrupt(block=stored_as(id).hex(), problem=problem)


def _decipher(blob: bytes, id: bytes, key: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(key[:NONCE], blob, None)
    except (InvalidTag, ValueError):
        raise _corrupt(id, "it was changed") from None


def _decipher_old(blob: bytes, id: bytes, key: bytes) -> bytes:
    # Here, since mounts of `.fl` never need it.
    import xxtea

    try:
        return bytes(xxtea.decrypt(blob, key[:OLD_DIGEST], padding=xxtea.Padding.LENGTH_WORD_SUFFIX))
    except ValueError:
        raise _corrupt(id, "it was changed") from None
