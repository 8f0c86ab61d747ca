"""A twin's vault: its signed deployments, which its own peer gives to the nodes that they are for.

This module has the wire format and the answering side; storing documents is the caller's part. A document
holds private keys: it is looked up by the node that asks, so that nobody else's question finds it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from zos.errors import Status, ZosError
from zos.model.decode import Fields, parse

COMMAND = "vault.deployment.get"
SESSION = "vault"
"""The session under which a vault is joined, beside the other programs of its twin."""
HASH = re.compile(r"[0-9a-f]{32}")


class NotHere(ZosError):
    """The vault has no such document for the twin that asks."""

    reason = "rmb.not_in_vault"
    status = Status.NOT_FOUND
    text = "the vault has no deployment {hash} for twin {twin}"


class OnlyVault(ZosError):
    """The other end serves nothing but a vault."""

    reason = "rmb.only_vault"
    status = Status.NOT_FOUND
    text = "this twin answers nothing but {command}"


Find = Callable[[int, str], bytes | None]
"""The document (JSON) of a hash for a node's twin; None when there is none."""


def request(hash: str) -> bytes:
    """What a node sends."""
    return json.dumps({"hash": hash}).encode()


class Vault:
    """Answers nodes. Its peer is private (`Peer(is_private=always)`): a document is never sent in clear."""

    def __init__(self, find: Find, on_fetched: Callable[[int, str], Any] = lambda twin, hash: None) -> None:
        """`on_fetched` is called with the twin and the hash of each document that was given."""
        self._find = find
        self._on_fetched = on_fetched

    async def handle(self, caller: int, command: str, body: bytes) -> bytes:
        """As a peer's handler."""
        if command != COMMAND:
            raise OnlyVault(command=COMMAND)
        hash = Fields(parse(body) if body.strip() else None).text("hash")
        found = self._find(caller, hash) if HASH.fullmatch(hash) else None
        if found is None:
            raise NotHere(hash=hash[:64], twin=caller)
        self._on_fetched(caller, hash)
        return found
