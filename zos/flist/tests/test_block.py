"""Sealing is rfs' own, byte for byte: ids and keys of files in an Alpine flist that `rfs docker` made."""

from __future__ import annotations

import os

import cramjam
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from zos.flist.block import MAX_BLOB, digest, seal, unseal
from zos.flist.errors import BlockCorrupt
from zos.flist.layout import BLOCK_SIZE

REPOSITORIES = (
    b"https://dl-cdn.alpinelinux.org/alpine/v3.21/main\nhttps://dl-cdn.alpinelinux.org/alpine/v3.21/community\n"
)
VECTORS = [
    (
        b"3.21.3\n",
        "2b9b2f6028c2a92e07fe4d10ddd43ef57761eb1e9d16cde04a39d319d59e286f",
        "68ca892f2863d13ab37d13f07edbb3808b350a3a9c04b7eff9febbe4a3a57744",
    ),
    (
        b"x86_64\n",
        "0c7ff1f16cc321473b8017f8d1450115dde7e4899c1a35ca27f095ca75aad631",
        "6af06e0392d98cef5aa55f253ab64ba1367cb9c61775b766539197e45fe1981f",
    ),
    (
        b"af_packet\nipv6\n",
        "a43c23f165966ffe22d35a3af78196769b6728c04d72a74dce409fada8e52c8a",
        "1a3c462bab13cb40a03e06d67ffea21f213ae859559d5e3156f2cd3f30bf73fb",
    ),
    (
        # Long enough for snappy to copy from earlier text.
        REPOSITORIES,
        "3a76d92377a1eb16bbbbb81b93b7f411247eb54a3fa242995f981171fc508fba",
        "7a330816e72708d7dfe4aac162890abe864b5f90ede8628a931baae0650b053c",
    ),
]


@pytest.mark.parametrize(("plain", "key", "id"), VECTORS)
def test_a_block_is_sealed_as_rfs_does(plain: bytes, key: str, id: str):
    sealed = seal(plain)
    assert (sealed.key.hex(), sealed.id.hex()) == (key, id)
    assert unseal(sealed.blob, sealed.id, sealed.key, len(plain)) == plain


@given(st.binary(min_size=1, max_size=5000))
def test_what_was_sealed_comes_back(plain: bytes):
    sealed = seal(plain)
    assert unseal(sealed.blob, sealed.id, sealed.key, len(plain)) == plain


def test_a_full_block_of_noise_fits_the_bound():
    plain = os.urandom(BLOCK_SIZE)
    sealed = seal(plain)
    assert len(sealed.blob) <= MAX_BLOB
    assert unseal(sealed.blob, sealed.id, sealed.key, BLOCK_SIZE) == plain


@given(st.integers(0, 200), st.integers(0, 7))
def test_a_flipped_bit_is_seen(at: int, bit: int):
    sealed = seal(b"some text " * 30)
    blob = bytearray(sealed.blob)
    blob[at % len(blob)] ^= 1 << bit
    with pytest.raises(BlockCorrupt, match="it was changed"):
        unseal(bytes(blob), sealed.id, sealed.key, 300)


@given(st.binary(max_size=200))
def test_noise_is_no_block(blob: bytes):
    with pytest.raises(BlockCorrupt):
        unseal(blob, digest(blob), bytes(32), 10)


def test_other_bytes_under_a_known_key_are_refused():
    # Whoever knows a block's key can seal anything under it; the cache is shared by key.
    victim = seal(b"the right content")
    forged = AESGCM(victim.key).encrypt(victim.key[:12], bytes(cramjam.snappy.compress_raw(b"the wrong content")), None)
    with pytest.raises(BlockCorrupt, match="its content is another one"):
        unseal(forged, digest(forged), victim.key, 17)


def test_a_bomb_is_not_unpacked():
    bomb = bytes(cramjam.snappy.compress_raw(bytes(1 << 23)))
    key = digest(b"any")
    blob = AESGCM(key).encrypt(key[:12], bomb, None)
    with pytest.raises(BlockCorrupt, match="8388608 bytes, the flist says 10"):
        unseal(blob, digest(blob), key, 10)


def test_a_block_of_another_length_is_refused():
    sealed = seal(b"twelve bytes")
    with pytest.raises(BlockCorrupt, match="12 bytes, the flist says 11"):
        unseal(sealed.blob, sealed.id, sealed.key, 11)


def test_a_blob_that_is_too_long_is_refused():
    with pytest.raises(BlockCorrupt, match="too many"):
        unseal(bytes(MAX_BLOB + 1), bytes(32), bytes(32), 1)


@pytest.mark.parametrize("size", [0, BLOCK_SIZE + 1])
def test_nothing_else_than_a_block_is_sealed(size: int):
    with pytest.raises(ValueError, match="a block has"):
        seal(bytes(size))
