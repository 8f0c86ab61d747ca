import hashlib

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from zos.model import mycelium
from zos.mycelium import crypto
from zos.mycelium.crypto import Keys

A, B, C = (hashlib.sha256(name).digest() for name in (b"a", b"b", b"c"))
PA, PB, PC = map(mycelium.public_key, (A, B, C))


@given(st.binary(max_size=2000), st.sampled_from([crypto.L3, crypto.MESSAGE, crypto.ICMP]))
@settings(max_examples=30)
def test_what_is_sealed_for_one_is_opened_by_him_alone(content: bytes, kind: int):
    payload = Keys(A).seal(PB, kind, content)
    assert payload is not None
    assert len(payload) == len(content) + crypto.OVERHEAD
    assert Keys(B).open(PA, payload) == (kind, content)
    assert Keys(C).open(PA, payload) is None
    assert Keys(B).open(PC, payload) is None


def test_a_payload_is_ciphertext_tag_nonce_of_the_plain_shared_secret():
    secret = X25519PrivateKey.from_private_bytes(B).exchange(X25519PublicKey.from_public_bytes(PA))
    payload = Keys(A).seal(PB, crypto.L3, b"content")
    assert payload is not None
    assert AESGCM(secret).decrypt(payload[-12:], payload[:-12], None) == b"\x01\0\0\0content"


@given(st.binary(max_size=200))
def test_garbage_opens_to_nothing(payload: bytes):
    assert Keys(B).open(PA, payload) is None


@given(st.integers(0, 10_000), st.integers(1, 255))
@settings(max_examples=30)
def test_a_changed_bit_opens_to_nothing(at: int, change: int):
    payload = bytearray(Keys(A).seal(PB, crypto.L3, b"content") or b"")
    payload[at % len(payload)] ^= change
    assert Keys(B).open(PA, bytes(payload)) is None


def test_a_key_of_small_order_is_refused():
    assert Keys(A).seal(bytes(32), crypto.L3, b"") is None
    assert Keys(A).open(bytes(32), bytes(100)) is None


def test_correspondents_are_remembered_within_a_bound():
    keys = Keys(A)
    for number in range(crypto.MAX_SECRETS + 10):
        keys.seal(mycelium.public_key((number << 8).to_bytes(32, "big")), crypto.L3, b"")
    assert len(keys._ciphers) == crypto.MAX_SECRETS


def test_what_is_too_short_to_be_sealed_costs_no_key_agreement():
    before = Keys.agreements
    assert Keys(A).open(mycelium.public_key(B), bytes(crypto.OVERHEAD - 1)) is None
    assert Keys.agreements == before
    assert Keys(A).open(mycelium.public_key(B), bytes(crypto.OVERHEAD)) is None
    assert Keys.agreements == before + 1
