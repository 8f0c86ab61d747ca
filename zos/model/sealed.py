"""How a document that one node alone can read is written down; the encryption itself is RMB's (`zos/rmb/cipher.py`).

`{"sealed": BASE64}`, which is JSON so that every hub keeps it. In it: one byte of version (1), the public key that was
made for this document (secp256k1, 33 bytes), 12 bytes of nonce, and what AES-256-GCM made of the document.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass

from zos.model.decode import Malformed

VERSION = 1
KEY = 33
_BEGINS = re.compile(rb'\s*\{\s*"sealed"\s*:')


@dataclass(frozen=True, slots=True)
class Sealed:
    """A document encrypted for one node: the sender's one-time key, and the cipher text."""

    key: bytes
    cipher: bytes

    def encode(self) -> bytes:
        """As hubs keep it."""
        return json.dumps({"sealed": base64.b64encode(bytes([VERSION]) + self.key + self.cipher).decode()}).encode()


def decode(document: bytes) -> Sealed | None:
    """A sealed document; None when it is a plain one."""
    if not _BEGINS.match(document):
        return None
    try:
        data = base64.b64decode(json.loads(document)["sealed"], validate=True)
    except (ValueError, TypeError, KeyError, RecursionError, binascii.Error):
        raise Malformed(path="sealed", problem="must be base64") from None
    if data[:1] != bytes([VERSION]):
        raise Malformed(path="sealed", problem=f"this node opens documents of version {VERSION} only")
    if len(data) <= 1 + KEY:
        raise Malformed(path="sealed", problem="is too short")
    return Sealed(data[1 : 1 + KEY], data[1 + KEY :])
