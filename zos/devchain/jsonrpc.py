"""How JSON-RPC writes what the chain has, and how it refuses what it cannot read."""

from __future__ import annotations

from typing import Any

from zos.devchain.block import Block
from zos.devchain.errors import Invalid
from zos.errors import ZosError
from zos.substrate.keys import public_key

LARGEST_ANSWER = 15 * 1024 * 1024
"""Bytes of an answer, and of those of a batch together."""


def bad_params(why: str) -> Invalid:
    """JSON-RPC's error for wrong arguments."""
    return Invalid(-32602, f"Invalid params: {why}")


def too_large() -> Invalid:
    """As Substrate says it."""
    return Invalid(-32008, "Response is too big", f"Exceeded max limit of {LARGEST_ANSWER}")


def header(block: Block) -> dict[str, Any]:
    """A header as JSON."""
    return {
        "parentHash": text_of(block.parent),
        "number": hex(block.number),
        "stateRoot": text_of(block.state_root),
        "extrinsicsRoot": text_of(block.extrinsics_root),
        "digest": {"logs": [text_of(one) for one in block.logs]},
    }


def text_of(raw: bytes) -> str:
    """Hex, as JSON-RPC has bytes."""
    return "0x" + raw.hex()


def maybe_text(raw: bytes | None) -> str | None:
    """Hex, or null for an absent value."""
    return None if raw is None else text_of(raw)


def bytes_of(text: Any) -> bytes:
    """Bytes from hex. Raises Invalid."""
    if not isinstance(text, str) or not text.startswith("0x"):
        raise bad_params("bytes must be hexadecimal after 0x")
    try:
        return bytes.fromhex(text[2:])
    except ValueError:
        raise bad_params("bytes must be hexadecimal after 0x") from None


def account_of(text: Any) -> bytes:
    """An account from its address or hex. Raises Invalid."""
    try:
        return public_key(str(text))
    except ZosError as err:
        raise bad_params(str(err)) from None
