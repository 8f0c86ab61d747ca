"""Reads where a contract says its document lies and which bytes it is (docs/decisions/0007-push-and-pull.md). Pure."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zos.model.deployment import Deployment

LONGEST = 512
"""The chain's own bound on deployment data."""


@dataclass(frozen=True, slots=True)
class Web:
    """At a URL: `{"pull": {"url": URL, "sha256": HEX}}`."""

    url: str

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True, slots=True)
class Vault:
    """With the contract's own twin, who is asked over RMB: `{"pull": {"rmb": SESSION, "sha256": HEX}}`."""

    session: str

    def __str__(self) -> str:
        return "its owner's vault"


Origin = Web | Vault


def origin(deployment_data: bytes) -> Origin | None:
    """Where a contract's data says that its document lies; None when the client will push."""
    pull = _fields(deployment_data).get("pull")
    if isinstance(pull, str):
        pull = {"url": pull}
    if not isinstance(pull, dict):
        return None
    url, session = pull.get("url"), pull.get("rmb")
    if isinstance(url, str) and url:
        return Web(url)
    return Vault(session) if isinstance(session, str) else None


def digest(deployment_data: bytes) -> str:
    """The SHA-256 (hex) by which a contract names its document's exact bytes; empty when it names none.

    It stands in `pull`, or beside it: `{"sha256": HEX}` is for a document that the client pushes. Any text there binds:
    one that is no digest is no document's.
    """
    fields = _fields(deployment_data)
    pull = fields.get("pull")
    for place in (pull if isinstance(pull, dict) else {}, fields):
        if isinstance(found := place.get("sha256"), str) and found:
            return found.lower()
    return ""


def digests(document: bytes, contract: int) -> tuple[str, ...]:
    """The digests under which a contract may name a document: of its bytes, and of them with `contract_id` 0.

    A contract has no number yet when its data is written, so its client digests the document before the number is in.
    """
    texts = {document: None}
    zeroed, count = re.subn(rb'("contract_id"\s*:\s*)%d(?![0-9.eE])' % contract, rb"\g<1>0", document)
    if count == 1:
        texts[zeroed] = None
    return tuple(hashlib.sha256(text).hexdigest() for text in texts)


def _fields(deployment_data: bytes) -> Mapping[str, Any]:
    if len(deployment_data) > LONGEST or not re.search(b"pull|sha256", deployment_data):
        return {}
    try:
        document = json.loads(deployment_data)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def bound(deployment: Deployment, contract: int) -> Deployment:
    """A pulled document with its contract filled in: it was signed before the contract had a number."""
    return dataclasses.replace(deployment, contract_id=contract)
