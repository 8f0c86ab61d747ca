"""What a signed extrinsic says, and whether it is the account's."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from zos.devchain.errors import malformed
from zos.devchain.generation import Generation
from zos.devchain.layout import MODERN
from zos.devchain.signing import is_signed
from zos.scale.metadata import MULTI_ADDRESS, SIGNATURE
from zos.scale.reader import Reader, Undecodable, read_compact
from zos.scale.types import U32, U128, Compact

LARGEST = 1024 * 1024
HASH_ABOVE = 256
BASE_FEE = 10_000


@dataclass(frozen=True, slots=True)
class Extrinsic:
    """A signed extrinsic, decoded."""

    raw: bytes
    """As it came, with its length in front."""
    hash: bytes
    account: bytes
    scheme: str
    signature: bytes
    period: int
    phase: int
    nonce: int
    tip: int
    call: Any
    """Decoded; None of one that waits and would take much more memory so than its bytes."""
    extra: bytes
    call_bytes: bytes
    weight: int = 1
    """Calls in it."""

    @property
    def fee(self) -> int:
        """What is withheld before the call."""
        return BASE_FEE + len(self.raw) + self.tip

    def birth(self, head: int) -> int | None:
        """The block at which its validity began, as seen from a head; None is for ever."""
        if not self.period:
            return None
        return max(head, self.phase) - (max(head, self.phase) - self.phase) % self.period

    def verify(self, versions: bytes, genesis: bytes, birth: bytes) -> bool:
        """Whether the signature is the account's, over this call on this chain."""
        payload = self.call_bytes + self.extra + versions + genesis + birth
        if len(payload) > HASH_ABOVE:
            payload = hashlib.blake2b(payload, digest_size=32).digest()
        return is_signed(self.scheme, self.account, self.signature, payload)


def parse(raw: bytes, generation: Generation = MODERN, *, with_call: bool = True) -> Extrinsic:
    """Bytes from outside as an extrinsic; raises Invalid for everything else.

    Without its call it is cheap, and enough to know who signed and pays: untrusted bytes are decoded after that.
    """
    if len(raw) > LARGEST:
        raise malformed(f"it is larger than {LARGEST} bytes")
    reader = Reader(raw)
    try:
        length = read_compact(reader)
        if length != reader.left:
            raise malformed(f"its length says {length}, {reader.left} bytes follow")
        if reader.take(1) != b"\x84":
            raise malformed("only signed extrinsics of version 4 are taken")
        address = MULTI_ADDRESS.read(reader)
        ((scheme, signature),) = SIGNATURE.read(reader).items()
        extra_at = reader.position
        period, phase = _era(reader)
        nonce, tip = Compact(U32).read(reader), Compact(U128).read(reader)
        call_at = reader.position
        call = generation.modern(generation.call.read(reader)) if with_call else None
    except (Undecodable, RecursionError) as err:
        raise malformed(err) from None
    if with_call and reader.left:
        raise malformed(f"{reader.left} bytes follow the call")
    if "Id" not in address:
        raise malformed("the sender must be an account id")
    return Extrinsic(
        raw=raw,
        hash=hashlib.blake2b(raw, digest_size=32).digest(),
        account=address["Id"],
        scheme=scheme,
        signature=signature,
        period=period,
        phase=phase,
        nonce=nonce,
        tip=tip,
        call=call,
        extra=raw[extra_at:call_at],
        call_bytes=raw[call_at:],
        weight=_weight(call),
    )


def _weight(call: Any) -> int:
    """How many calls it is, those in batches counted."""
    weight, waiting = 0, [call]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            ((_, inner),) = one.items() if len(one) == 1 else ((None, None),)
            weight += 1
            if isinstance(inner, dict) and len(inner) == 1:
                ((_, arguments),) = inner.items()
                if isinstance(arguments, dict):
                    for value in (arguments.get("calls"), arguments.get("call"), arguments.get("proposal")):
                        waiting += value if isinstance(value, list) else [value]
    return max(1, weight)


def _era(reader: Reader) -> tuple[int, int]:
    first = reader.take(1)[0]
    if first == 0:
        return 0, 0
    encoded = first | reader.take(1)[0] << 8
    period = 2 << (encoded % 16)
    phase = (encoded >> 4) * max(period >> 12, 1)
    if period < 4 or phase >= period:
        raise Undecodable("no such era")
    return period, phase
