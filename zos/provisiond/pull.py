"""Reads where a contract says its deployment lies (docs/decisions/0007-push-and-pull.md). Pure."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

from zos.model.deployment import Deployment

LONGEST = 512
"""The chain's own bound on deployment data."""


@dataclass(frozen=True, slots=True)
class Web:
    """At a URL: `{"pull": {"url": URL}}`."""

    url: str

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True, slots=True)
class Vault:
    """With the contract's own twin, who is asked over RMB: `{"pull": {"rmb": SESSION}}`."""

    session: str

    def __str__(self) -> str:
        return "its owner's vault"


Place = Web | Vault


def place(deployment_data: bytes) -> Place | None:
    """The place that a contract's data names; None when the client will push."""
    if len(deployment_data) > LONGEST or b"pull" not in deployment_data:
        return None
    try:
        document = json.loads(deployment_data)
    except (ValueError, RecursionError):
        return None
    pull = document.get("pull") if isinstance(document, dict) else None
    if isinstance(pull, str):
        pull = {"url": pull}
    if not isinstance(pull, dict):
        return None
    url, session = pull.get("url"), pull.get("rmb")
    if isinstance(url, str) and url:
        return Web(url)
    return Vault(session) if isinstance(session, str) else None


def bound(deployment: Deployment, contract: int) -> Deployment:
    """A pulled document with its contract filled in: it was signed before the contract had a number."""
    return dataclasses.replace(deployment, contract_id=contract)
