"""Errors of a peer, with the codes that the protocol has for them."""

from __future__ import annotations

from typing import ClassVar

from zos.errors import Status, ZosError

HANDLER = 255
"""The code of everything that a command itself refuses."""


class ProtocolError(ZosError):
    """A message that is refused; `code` goes into the answer."""

    reason = "rmb.protocol"
    status = Status.INVALID_ARGUMENT
    text = "{problem}"
    code: ClassVar[int] = 500


class Malformed(ProtocolError):
    """The bytes are no envelope, or one that breaks a limit."""

    reason = "rmb.malformed"
    text = "this is no envelope: {problem}"
    code = 101


class Expired(ProtocolError):
    """Too late, or from a sender whose clock is wrong."""

    reason = "rmb.expired"
    status = Status.DEADLINE_EXCEEDED
    text = "the message expired {ago} s ago"
    hint = "check the clock of the sender"
    code = 102


class Forgotten(ProtocolError):
    """From before our start, so it may have been processed already."""

    reason = "rmb.forgotten"
    status = Status.ABORTED
    text = "the message was sent before this end of the bus started, and may have been answered then"
    hint = "send it again"
    code = 102


class Crowded(ProtocolError):
    """So many messages of the twin are remembered that this one may be among those that are not any more."""

    reason = "rmb.crowded"
    status = Status.RESOURCE_EXHAUSTED
    text = "this end of the bus has had so many messages of twin {twin} since this one that it may have been answered"
    hint = "send it again, and fewer at a time"
    code = 102


class UnknownTwin(ProtocolError):
    """The chain has no such twin."""

    reason = "rmb.unknown_twin"
    status = Status.NOT_FOUND
    text = "twin {twin} is not on the chain"
    code = 103


class WrongSignature(ProtocolError):
    """It was not signed by the twin it names."""

    reason = "rmb.wrong_signature"
    status = Status.PERMISSION_DENIED
    text = "invalid signature: the message is not signed by the key of twin {twin}"
    code = 104


class NoEncryptionKey(ProtocolError):
    """Encrypted by a twin that published no key to decrypt it with."""

    reason = "rmb.no_encryption_key"
    status = Status.FAILED_PRECONDITION
    text = "twin {twin} has no public key on the chain, its encrypted message cannot be read"
    code = 105


class Undecipherable(ProtocolError):
    """The cipher cannot be decrypted."""

    reason = "rmb.undecipherable"
    text = "the message cannot be decrypted with the keys of its two twins"
    code = 106


class WrongSchema(ProtocolError):
    """A payload of another kind than we speak."""

    reason = "rmb.wrong_schema"
    text = "payloads are application/json here, not {schema}"
    code = 101


class NeedsKey(ProtocolError):
    """What is asked for is answered in cipher only."""

    reason = "rmb.needs_key"
    status = Status.FAILED_PRECONDITION
    text = (
        "twin {twin} has no encryption key on the chain, and this is not sent in clear; "
        "zos twin create --relay NAME publishes a user's key, `relay` in `[node]` has a node publish its own"
    )
    code = 105


class Busy(ProtocolError):
    """Too many requests of one twin are being answered."""

    reason = "rmb.busy"
    status = Status.RESOURCE_EXHAUSTED
    text = "too many requests of twin {twin} at once"
    hint = "send fewer at a time"


class NoRelay(ZosError):
    """No relay takes the message."""

    reason = "rmb.no_relay"
    status = Status.UNAVAILABLE
    text = "no relay can be reached: {problem}"


class NoAnswer(ZosError):
    """The other twin did not answer."""

    reason = "rmb.no_answer"
    status = Status.DEADLINE_EXCEEDED
    text = "twin {twin} did not answer {command} within {deadline} s"


class Refused(ZosError):
    """The other twin, or a relay, answered with an error."""

    reason = "rmb.refused"
    status = Status.FAILED_PRECONDITION
    text = "{message}"
