"""The text with which a twin joins a relay: a JWT in shape, signed with the twin's account key. Pure."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

import msgspec

from zos.errors import Status, ZosError
from zos.model.signing import verify
from zos.rmb.envelope import KINDS, PREFIX, Signer

HEADER = b'{"alg":"RS512","typ":"JWT"}'
"""A fixed label; what signs is ed25519 or sr25519, by the first byte of the signature."""
LIFETIME = 60
LONGEST_LIFE = 1800
"""Seconds; clients make tokens of 60, 300 and 1000, by clocks that may be ahead."""
LONGEST = 4096


class BadToken(ZosError):
    """The relay lets nobody in with this token."""

    reason = "rmb.bad_token"
    status = Status.PERMISSION_DENIED
    text = "{problem}"


class _Claims(msgspec.Struct, omit_defaults=True):
    sub: int
    iat: int
    exp: int
    sid: str | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """What a token says; nothing of it is true before `check`."""

    twin: int
    expires: int
    session: str
    _text: bytes
    _signature: bytes

    def check(self, account: bytes, now: float) -> None:
        """Refuse a token that is over or not the account's."""
        if self.expires <= now:
            raise BadToken(problem="the token has expired; check the clock")
        if self.expires > now + LONGEST_LIFE:
            raise BadToken(problem=f"the token holds for more than {LONGEST_LIFE} seconds; check the clock")
        kind = KINDS.get(self._signature[:1])
        if kind is None or not verify(account, self._text, self._signature[1:], kind):
            raise BadToken(problem="the token is not signed by the key of its twin")


async def make(twin: int, signer: Signer, now: float, session: str = "", lifetime: int = LIFETIME) -> str:
    """A token for one connection."""
    claims = _Claims(twin, int(now), int(now) + lifetime, session or None)
    text = _encode(HEADER) + b"." + _encode(msgspec.json.encode(claims))
    return (text + b"." + _encode(PREFIX[signer.kind] + await signer.sign(text))).decode()


def parse(text: str) -> Token:
    """A token's claims and signature."""
    parts = text.encode(errors="replace").split(b".")
    if len(text) > LONGEST or len(parts) != 3:
        raise BadToken(problem="this is no token")
    try:
        claims = msgspec.json.decode(_decode(parts[1]), type=_Claims)
        signature = _decode(parts[2])
    except (msgspec.MsgspecError, binascii.Error, ValueError):
        raise BadToken(problem="the token cannot be read") from None
    if not 0 < claims.sub < 2**32:
        raise BadToken(problem="the token names no twin")
    return Token(claims.sub, claims.exp, claims.sid or "", parts[0] + b"." + parts[1], signature)


def _encode(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _decode(data: bytes) -> bytes:
    return base64.b64decode(data + b"=" * (-len(data) % 4), altchars=b"-_", validate=True)
