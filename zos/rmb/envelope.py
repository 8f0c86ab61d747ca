"""The grid's message: what is signed of it, its time limits, and how an answer is made. Pure.

Formats are those of the public RMB protocol; npm, Go and Rust peers differ in small things, named where they matter.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Protocol

from google.protobuf.message import DecodeError

from zos.model.signing import verify
from zos.rmb.errors import Expired, Malformed, ProtocolError, WrongSignature
from zos.rmb.wire_pb2 import Address, Envelope
from zos.substrate.keys import KeyKind

SCHEMA = "application/json"
LARGEST = 2 * 1024 * 1024
"""Bytes of a request's envelope; a command's body may have one MiB."""
FRAME = 16 * 1024 * 1024
"""Bytes of a frame that the grid's relays let through: answers may be as long."""
FIELDS = 64
"""Fields of an envelope that is larger than a request may be; its payload must be nearly all of it."""
WORD = 256
"""Characters of a message's name and of a session's; clients have 36 and 10."""
RELAYS = 16
"""Relays that a message may name; a twin has four at most."""
DEFAULT_EXPIRATION = 300
LONGEST_EXPIRATION = 24 * 3600
"""Seconds after which no message is good, whatever its sender says."""
AHEAD = 1800
"""Seconds that a sender's clock may be ahead of ours."""
PAYLOADS = (13, 14)
"""Numbers of the fields `plain` and `cipher`."""
PREFIX = {KeyKind.ED25519: b"e", KeyKind.SR25519: b"s"}
KINDS = {value: kind for kind, value in PREFIX.items()}


_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._:-]*[A-Za-z0-9])?")


class Signer(Protocol):
    """A twin's account key, here or in another process."""

    @property
    def kind(self) -> KeyKind: ...

    async def sign(self, payload: bytes) -> bytes: ...


@dataclass(frozen=True, slots=True)
class TwinRecord:
    """What the chain says of a twin."""

    id: int
    account: bytes
    """Its public key, 32 bytes."""
    pk: bytes = b""
    """secp256k1, 33 bytes; empty when it published none."""
    relay: str = ""
    """Host names of its relays, joined by `_`."""


def decode(data: bytes, limit: int = LARGEST) -> Envelope:
    """The envelope in a frame, its names no longer than they may be."""
    seen = parse(data, limit)
    check_names(seen)
    return seen


def parse(data: bytes, limit: int = LARGEST) -> Envelope:
    """The envelope in a frame; its names may be of any length."""
    if len(data) > limit:
        raise Malformed(problem=f"{len(data)} bytes are more than {limit}")
    if len(data) > LARGEST:
        _check_shape(data)
    try:
        return Envelope.FromString(data)
    except (DecodeError, UnicodeDecodeError) as err:
        raise Malformed(problem=err) from None


def check_names(seen: Envelope) -> None:
    """Refuse long names: what is kept or looked through for each message must not be as long as its sender likes."""
    names = {"uid": seen.uid, "source": seen.source.connection, "destination": seen.destination.connection}
    for name, text in names.items():
        if len(text) > WORD:
            raise Malformed(problem=f"its {name} has {len(text)} characters, more than {WORD}")
    if len(seen.relays) > RELAYS:
        raise Malformed(problem=f"it names {len(seen.relays)} relays, more than {RELAYS}")


def _check_shape(data: bytes) -> None:
    """Refuse large frames that are more than a payload: many small fields take far more memory than their bytes."""
    at = fields = other = 0
    while at < len(data):
        tag, at = _varint(data, at)
        fields += 1
        kind, number = tag & 7, tag >> 3
        size = {1: 8, 5: 4}.get(kind, 0)
        if kind in (0, 2):
            size, at = _varint(data, at)
        if kind == 0:
            size = 0
        elif kind not in (1, 2, 5):
            raise Malformed(problem="it is no envelope")
        at += size
        other += 0 if number in PAYLOADS else size
        if fields > FIELDS or other > WORD * WORD:
            raise Malformed(problem="a large message must be nearly all payload")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        value |= (data[at] & 0x7F) << shift
        at += 1
        if data[at - 1] < 0x80:
            return value, at
    raise Malformed(problem="it is no envelope")


def check_fields(seen: Envelope) -> None:
    """Refuse an envelope whose fields could begin and end elsewhere under the same signature.

    There is nothing between the fields in the text that is signed; what marks a field's end is its form: a name is a
    UUID when tags follow it, relays are host names.
    """
    uid = _UUID.match(seen.uid)
    if (uid is None and seen.tags) or (uid is not None and uid.end() != len(seen.uid)):
        raise Malformed(problem="a message with tags is named by a UUID")
    if not all(_HOST.fullmatch(one) for one in (seen.federation, *seen.relays) if one):
        raise Malformed(problem="its relays are no host names")


def challenge(envelope: Envelope) -> bytes:
    """The 16 bytes that are signed: an MD5 over the fields, numbers in decimal, nothing between them."""
    kind = envelope.WhichOneof("message")
    words = [envelope.uid, envelope.tags, str(envelope.timestamp), str(envelope.expiration)]
    for address in (envelope.source, envelope.destination):
        # An absent address is hashed as twin 0 by Rust and npm peers.
        words += [str(address.twin), address.connection]
    if kind == "request":
        words.append(envelope.request.command)
    elif kind == "error":
        words += [str(envelope.error.code), envelope.error.message]
    words += [envelope.schema, envelope.federation]
    payload = envelope.WhichOneof("payload")
    body = getattr(envelope, payload) if payload else b""
    text = "".join(words).encode() + body + "".join(envelope.relays).encode()
    return hashlib.md5(text, usedforsecurity=False).digest()


async def signed(envelope: Envelope, signer: Signer) -> Envelope:
    """The envelope with its signature."""
    envelope.signature = PREFIX[signer.kind] + await signer.sign(challenge(envelope))
    return envelope


def check_signature(envelope: Envelope, twin: TwinRecord) -> None:
    """Refuse what the twin did not sign."""
    kind = KINDS.get(envelope.signature[:1])
    if kind is None or not verify(twin.account, challenge(envelope), envelope.signature[1:], kind):
        raise WrongSignature(twin=twin.id)


def span(envelope: Envelope) -> int:
    """The seconds after its timestamp in which it is good."""
    return min(envelope.expiration or DEFAULT_EXPIRATION, LONGEST_EXPIRATION)


def ends(envelope: Envelope) -> float:
    """When it expires (Unix seconds)."""
    return float(min(envelope.timestamp, 2**53) + span(envelope))


def check_time(envelope: Envelope, now: float) -> None:
    """Refuse what is too late; what comes from the future beyond any expiration is refused as well."""
    if ends(envelope) <= now:
        raise Expired(ago=round(now - ends(envelope)))
    if envelope.timestamp > now + AHEAD:
        raise ProtocolError(problem="the message comes from the future; check the clock of the sender")


def request(
    uid: str, me: Address, to: int, command: str, now: float, expiration: int, relays: tuple[str, ...] = ()
) -> Envelope:
    """A request without its payload."""
    made = Envelope(uid=uid, timestamp=int(now), expiration=expiration, source=me, destination=Address(twin=to))
    made.request.command = command
    made.schema = SCHEMA
    made.relays.extend(relays)
    return made


def answer(to: Envelope, me: Address, now: float) -> Envelope:
    """The frame of an answer; the caller makes it a response or an error and fills the payload."""
    made = Envelope(uid=to.uid, timestamp=int(now), expiration=DEFAULT_EXPIRATION, source=me, schema=SCHEMA)
    made.destination.CopyFrom(to.source)
    return made


def relay_error(to: Envelope, message: str, now: float) -> Envelope:
    """What a relay says of a request that it cannot deliver: unsigned and without a source."""
    made = Envelope(uid=to.uid, timestamp=int(now), expiration=DEFAULT_EXPIRATION)
    made.destination.CopyFrom(to.source)
    made.error.message = message
    return made
