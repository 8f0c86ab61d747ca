"""Sends commands to nodes over RMB, as the explorer's own twin."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from zos.errors import Status, ZosError
from zos.explorer.nodes.poller import DEADLINE
from zos.rmb.account import Account
from zos.substrate import Chain, LocalKey


class NoKey(ZosError):
    """The explorer's key cannot be read."""

    reason = "explorer.no_key"
    status = Status.FAILED_PRECONDITION
    text = "the explorer's key cannot be read from {path}: {problem}"
    hint = "make one: zos key new {path}"


class NotJson(ZosError):
    """The answer of a node is no JSON."""

    reason = "explorer.not_json"
    status = Status.FAILED_PRECONDITION
    text = "{command} was not answered with JSON"


class RmbNodeClient:
    """A `NodeClient` over a relay."""

    def __init__(self, chain: Chain, relay: str, key: Path) -> None:
        try:
            account = LocalKey.of_text(key.read_text())
        except (OSError, UnicodeDecodeError) as err:
            raise NoKey(path=key, problem=err) from None
        self._peer = Account(chain, account, urlsplit(relay).hostname or "").peer((relay,), session="gridproxy")

    @property
    def trouble(self) -> str:
        """Why no node can be reached: no relay is joined."""
        if any(connection.up.is_set() for connection in self._peer.connections):
            return ""
        return "; ".join(f"{connection.url}: {connection.problem}" for connection in self._peer.connections)

    async def run(self) -> None:
        """Stay connected to the relay until cancelled."""
        await self._peer.run()

    async def call(self, twin: int, command: str, body: Any = None) -> Any:
        """The decoded JSON answer to a command."""
        answer = await self._peer.call(twin, command, json.dumps(body).encode(), deadline=DEADLINE)
        try:
            return json.loads(answer)
        except ValueError:
            raise NotJson(command=command) from None
