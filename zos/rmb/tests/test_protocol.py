"""Envelopes, tokens and encryption, by the public vectors."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zos.errors import ZosError
from zos.model.signing import verify
from zos.rmb import envelope as env
from zos.rmb import token
from zos.rmb.cipher import LocalSecret, seal, unseal
from zos.rmb.envelope import (
    LARGEST,
    SCHEMA,
    TwinRecord,
    answer,
    challenge,
    check_signature,
    check_time,
    decode,
    ends,
    relay_error,
    request,
    signed,
)
from zos.rmb.errors import Expired, Malformed, ProtocolError, Undecipherable, WrongSignature
from zos.rmb.wire_pb2 import Address, Envelope
from zos.substrate.keys import DEVELOPMENT, KeyKind, LocalKey, address

NODE = LocalKey.of_seed(b"\x42" * 32, KeyKind.ED25519)
USER = LocalKey.of_text(DEVELOPMENT)
USER_SEED = bytes.fromhex("fac7959dbfe72f052e5a0c3c8d6530f202b02fd8f9f5ca3580ec8deb7797479e")
SHARED = bytes.fromhex("94785cb479559386a36add1e37da6ca66cba94ef8bb6045037b17c8a8c6295da")
NULL = bytes.fromhex("000102030405060708090a0b63b421781ad1ac33b181775b369f47274cfa7b65")
RESPONSE = bytes.fromhex(
    "0a2439623266366331652d303030302d343030302d383030302d3030303030303030303030311880e2cfaa0620ac022a020803"
    "320808011204736573734200"
    "4a416587ad40a8a84462fc9e4c3cb693dc01b63263c8241b18a9035c3d468d240dcd088e3a4f4455a02f59cebbbdbe8dde042a"
    "17a6ba7b21e36c9d5619e3cf88f6870852106170706c69636174696f6e2f6a736f6e"
    "7220000102030405060708090a0b63b421781ad1ac33b181775b369f47274cfa7b658a010972656c61792e6c6162"
)
REQUEST = bytes.fromhex(
    "0a02753112001880e2cfaa0620142a080801120473657373320208033a140a127a6f732e73797374656d2e76657273696f6e4a00"
    "52106170706c69636174696f6e2f6a736f6e6a008a010972656c61792e6c6162"
)
TOKEN = (
    "eyJhbGciOiJSUzUxMiIsInR5cCI6IkpXVCJ9.eyJzdWIiOjMsImlhdCI6MTcwMDAwMDAwMCwiZXhwIjoxNzAwMDAwMDYwfQ."
    "ZXOen59F0oNJ8D-UGUDK7gRwS_Q3fSLv3Q7SA_H7GG9WbjS1oW2AzTwTWU8Ij7qbiq5wo5roA22XkGtRAkg2QgU"
)


def test_the_keys_are_those_of_the_public_clients() -> None:
    assert (USER.public.hex(), address(USER.public)) == (
        "46ebddef8cd9bb167dc30878d7113b7e168e6f0646beffd77d69d39bad76b47a",
        "5DfhGyQdFobKM8NsWvEeAKk5EQQgYe9AydgJ7rMB6E1EqRzV",
    )
    assert (NODE.public.hex(), address(NODE.public)) == (
        "2152f8d19b791d24453242e15f2eab6cb7cffa7b6a5ed30097960e069881db12",
        "5CpQ5tmsKY2WWjPGSDKwXmJFwDRFektPY7wdY8ZK1yNoCAVo",
    )
    assert USER.seed == USER_SEED, "of the mnemonic's entropy"
    assert LocalSecret(USER_SEED).public.hex() == "035b26108e8b97479c547da4860d862dc08ab2c29ada449c74d5a9a58a6c46a8c4"
    assert LocalSecret(NODE.seed).public.hex() == "0324653eac434488002cc06bbfb7f10fe18991e35f9fe4302dbea6d2353dc0ab1c"


async def test_both_sides_share_a_key_and_what_is_sealed_is_the_vector() -> None:
    user, node = LocalSecret(USER_SEED), LocalSecret(b"\x42" * 32)
    assert await user.shared(node.public) == await node.shared(user.public) == SHARED
    assert seal(SHARED, b"null", bytes(range(12))) == NULL
    assert unseal(SHARED, NULL) == b"null"


@pytest.mark.parametrize("cipher", [b"", NULL[:27], NULL[:-1], NULL + b"x", bytes(28)])
def test_a_cipher_that_was_touched_does_not_open(cipher: bytes) -> None:
    with pytest.raises(Undecipherable):
        unseal(SHARED, cipher)


async def test_a_token_is_the_vector_and_lets_its_twin_in() -> None:
    assert await token.make(3, NODE, 1_700_000_000) == TOKEN
    parsed = token.parse(TOKEN)
    assert (parsed.twin, parsed.expires, parsed.session) == (3, 1_700_000_060, "")
    parsed.check(NODE.public, 1_700_000_059)


async def test_a_token_lets_nobody_in_for_ever() -> None:
    """Whoever finds one could be its twin from then on; clients make theirs for 1000 seconds at most."""
    for lifetime, holds in ((60, True), (1000, True), (token.LONGEST_LIFE + 1, False), (10 * 365 * 86400, False)):
        made = token.parse(await token.make(3, NODE, 1_700_000_000, lifetime=lifetime))
        if holds:
            made.check(NODE.public, 1_700_000_000)
            continue
        with pytest.raises(token.BadToken, match="more than 1800 seconds"):
            made.check(NODE.public, 1_700_000_000)


async def test_a_token_that_is_over_or_anothers_is_refused() -> None:
    parsed = token.parse(TOKEN)
    with pytest.raises(token.BadToken, match="expired"):
        parsed.check(NODE.public, 1_700_000_060)
    with pytest.raises(token.BadToken, match="not signed"):
        parsed.check(USER.public, 1_700_000_000)
    theirs = token.parse(await token.make(1, USER, 1_700_000_000, "sess", 1000))
    theirs.check(USER.public, 1_700_000_900)
    assert (theirs.twin, theirs.session) == (1, "sess")


@given(st.text() | st.from_regex(r"[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,80}\.[A-Za-z0-9_-]{0,90}", fullmatch=True))
def test_noise_is_no_token(text: str) -> None:
    with pytest.raises(token.BadToken):
        token.parse(text).check(NODE.public, 0)


def test_a_signed_response_is_the_vector() -> None:
    seen = decode(RESPONSE)
    assert challenge(seen).hex() == "af877d835a48d7d2c031382f2566fea2"
    check_signature(seen, TwinRecord(3, NODE.public))
    assert seen.SerializeToString(deterministic=True) == RESPONSE


async def test_the_response_is_made_as_it_is_in_the_vector() -> None:
    made = Envelope(uid="9b2f6c1e-0000-4000-8000-000000000001", timestamp=1_700_000_000, expiration=300)
    made.source.twin, made.destination.twin, made.destination.connection = 3, 1, "sess"
    made.response.SetInParent()
    made.schema, made.cipher = SCHEMA, seal(SHARED, b"null", bytes(range(12)))
    made.relays.append("relay.lab")
    assert (await signed(made, NODE)).SerializeToString() == RESPONSE


def test_the_request_is_read_as_the_public_client_wrote_it() -> None:
    seen = decode(REQUEST)
    assert (seen.uid, seen.timestamp, seen.expiration) == ("u1", 1_700_000_000, 20)
    assert (seen.source.twin, seen.source.connection, seen.destination.twin) == (1, "sess", 3)
    assert (seen.WhichOneof("message"), seen.request.command) == ("request", "zos.system.version")
    assert (seen.WhichOneof("payload"), seen.plain, list(seen.relays)) == ("plain", b"", ["relay.lab"])
    assert all(seen.HasField(name) for name in ("tags", "signature")), "present and empty"
    assert seen.SerializeToString() == REQUEST


async def test_the_request_signed_by_its_user_is_believed_and_by_another_is_not() -> None:
    seen = decode(REQUEST)
    signature = (
        "7a8034a360b413e96105bd31e66bfa35ff25a4dea640dfa31552ee9d4993c148"
        "4b4886b49e5974940dc1124a50007e482516210cc3f1711136c6045b1f26638d"
    )
    seen.signature = b"s" + bytes.fromhex(signature)
    check_signature(seen, TwinRecord(1, USER.public))
    with pytest.raises(WrongSignature):
        check_signature(seen, TwinRecord(1, NODE.public))
    seen.signature = b"e" + seen.signature[1:]
    with pytest.raises(WrongSignature):
        check_signature(seen, TwinRecord(1, USER.public))


def test_empty_and_absent_are_the_same_in_what_is_signed() -> None:
    seen = decode(REQUEST)
    assert challenge(seen).hex() == "822f2cba54fbfd10de4e8bf02963a923"
    seen.ClearField("tags")
    seen.ClearField("plain")
    assert challenge(seen).hex() == "822f2cba54fbfd10de4e8bf02963a923"


@pytest.mark.parametrize(
    ("message", "signature"),
    [
        (
            "bd7c19edfece331d80a461e14e7784da",
            "04548c1ef32493bf77ef20bdde681e1ad7dd67ac3845824952b313bc6a55ca1e"
            "89277f5bfcf78c757f46bf6003fd58e661ebf321bf91154c5be784ffce99f08f",
        ),
        (
            "822f2cba54fbfd10de4e8bf02963a923",
            "7a8034a360b413e96105bd31e66bfa35ff25a4dea640dfa31552ee9d4993c148"
            "4b4886b49e5974940dc1124a50007e482516210cc3f1711136c6045b1f26638d",
        ),
    ],
)
def test_sr25519_signatures_of_the_public_client_verify(message: str, signature: str) -> None:
    assert verify(USER.public, bytes.fromhex(message), bytes.fromhex(signature), "sr25519")
    assert not verify(USER.public, bytes(16), bytes.fromhex(signature), "sr25519")


@pytest.mark.parametrize("field", ["uid", "command", "plain", "expiration", "connection", "relay"])
async def test_whatever_is_changed_breaks_the_signature(field: str) -> None:
    made = request("u", Address(twin=1, connection="s"), 3, "zos.system.version", 100, 20, ("relay.lab",))
    made.plain = b"{}"
    await signed(made, USER)
    check_signature(made, TwinRecord(1, USER.public))
    match field:
        case "uid":
            made.uid = "v"
        case "command":
            made.request.command = "zos.system.dmi"
        case "plain":
            made.plain = b"[]"
        case "expiration":
            made.expiration = 21
        case "connection":
            made.source.connection = "t"
        case "relay":
            made.relays[0] = "relay.bad"
    with pytest.raises(WrongSignature):
        check_signature(made, TwinRecord(1, USER.public))


def test_a_message_has_its_time() -> None:
    made = Envelope(timestamp=1000, expiration=20)
    check_time(made, 1019.9)
    with pytest.raises(Expired):
        check_time(made, 1020)
    with pytest.raises(ProtocolError, match="future"):
        check_time(Envelope(timestamp=2**63), 1000)
    assert ends(Envelope(timestamp=0)) == 300
    assert ends(Envelope(timestamp=0, expiration=10**9)) == 24 * 3600
    check_time(Envelope(timestamp=1000, expiration=3 * 3600), 1000 + 2 * 3600)


def test_an_answer_goes_back_to_the_session_that_asked() -> None:
    asked = decode(REQUEST)
    made = answer(asked, Address(twin=3), 5)
    assert (made.uid, made.destination.twin, made.destination.connection) == ("u1", 1, "sess")
    assert made.schema == SCHEMA
    told = relay_error(asked, "nobody", 5)
    assert not told.HasField("source")
    assert told.error.message == "nobody"


def test_more_than_the_limit_is_no_envelope() -> None:
    with pytest.raises(Malformed):
        decode(bytes(LARGEST + 1))


ADDRESSES = st.builds(Address, twin=st.integers(0, 2**32 - 1), connection=st.text(max_size=12) | st.none())
ENVELOPES = st.builds(
    Envelope,
    uid=st.text(max_size=40),
    tags=st.text(max_size=8) | st.none(),
    timestamp=st.integers(0, 2**64 - 1),
    expiration=st.integers(0, 2**64 - 1),
    source=ADDRESSES | st.none(),
    destination=ADDRESSES | st.none(),
    schema=st.text(max_size=8) | st.none(),
    federation=st.text(max_size=8) | st.none(),
    relays=st.lists(st.text(max_size=8), max_size=4),
)
KINDS = st.sampled_from(["request", "response", "error", "ping", "pong"])


@given(ENVELOPES, KINDS, st.text(max_size=20), st.integers(0, 2**32 - 1), st.booleans(), st.binary(max_size=40))
def test_whatever_is_sent_is_read_as_it_was_and_hashes_as_the_protocol_says(
    made: Envelope, kind: str, word: str, code: int, sealed: bool, body: bytes
) -> None:
    getattr(made, kind).SetInParent()
    if kind == "request":
        made.request.command = word
    elif kind == "error":
        made.error.code, made.error.message = code, word
    setattr(made, "cipher" if sealed else "plain", body)
    seen = decode(made.SerializeToString())
    assert seen == made
    # The rule of the protocol once more, part by part.
    hashed = hashlib.md5(usedforsecurity=False)
    hashed.update(made.uid.encode() + made.tags.encode() + b"%d%d" % (made.timestamp, made.expiration))
    for end in (made.source, made.destination):
        hashed.update(b"%d" % end.twin + end.connection.encode())
    hashed.update({"request": word.encode(), "error": b"%d" % code + word.encode()}.get(kind, b""))
    hashed.update(made.schema.encode() + made.federation.encode() + body)
    for relay in made.relays:
        hashed.update(relay.encode())
    assert challenge(seen) == hashed.digest()


@given(st.binary(max_size=400))
def test_noise_is_an_envelope_that_nobody_signed_or_a_refusal(data: bytes) -> None:
    try:
        seen = decode(data)
        check_time(seen, 1_700_000_000)
        check_signature(seen, TwinRecord(1, USER.public))
    except ZosError:
        return
    raise AssertionError("noise was taken for a signed message")


@given(st.integers(0, len(REQUEST) - 1), st.integers(0, 255))
def test_a_touched_envelope_never_breaks_the_decoder(at: int, byte: int) -> None:
    data = bytearray(REQUEST)
    data[at] = byte
    try:
        assert len(challenge(decode(bytes(data)))) == 16
    except Malformed:
        return


@pytest.mark.parametrize(
    ("expiration", "good"), [(0, env.DEFAULT_EXPIRATION), (300, 300), (3 * 3600, 3 * 3600), (10 * 86400, 86400)]
)
def test_a_message_is_good_for_as_long_as_its_sender_says_within_a_day(expiration: int, good: int) -> None:
    made = Envelope(uid="u", timestamp=1_700_000_000, expiration=expiration)
    env.check_time(made, 1_700_000_000 + good - 1)
    with pytest.raises(Expired):
        env.check_time(made, 1_700_000_000 + good)
