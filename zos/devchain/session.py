"""One connection to the chain: its subscriptions, and when an extrinsic's watcher is told what."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from zos.devchain.errors import Invalid
from zos.devchain.node import Node

MOST_SUBSCRIPTIONS = 256
PAUSE = 0.3
"""Seconds before `finalized` for who has read the state of the block, or never does so in between."""
PATIENCE = 6.0
"""Seconds before `finalized` for who should have read it: the grid's chain takes no less."""
READ, HASH = 32, 66
"""Blocks that are remembered as read, and the length of their names."""


class Session:
    """One connection's subscriptions; `send` never blocks and never grows without bound."""

    def __init__(self, node: Node, send: Callable[[dict[str, Any]], None]) -> None:
        self.node = node
        self._send = send
        self._ends: dict[str, Callable[[], None]] = {}
        self._count = 0
        self._read: deque[str] = deque(maxlen=READ)
        self.watches: set[Watch] = set()
        self.is_reader = False
        """It reads blocks as they come. polkadot.js does, and it alone subscribes to new runtimes."""

    def notify(self, method: str, id: str, result: Any) -> None:
        """Sends one notification of the subscription `id`."""
        self._send({"jsonrpc": "2.0", "method": method, "params": {"subscription": id, "result": result}})

    def begin(self, start: Callable[[str], Callable[[], None]]) -> str:
        """A new subscription; `start` gets its id and returns how to end it."""
        if len(self._ends) >= MOST_SUBSCRIPTIONS:
            raise Invalid(-32000, f"more than {MOST_SUBSCRIPTIONS} subscriptions")
        self._count += 1
        id = f"s{self._count}"
        self._ends[id] = lambda: None
        self._ends[id] = start(id)
        return id

    def end(self, id: str) -> bool:
        """Ends the subscription; False when there is none of this id."""
        stop = self._ends.pop(id, None)
        if stop is not None:
            stop()
        return stop is not None

    def close(self) -> None:
        for id in tuple(self._ends):
            self.end(id)

    def read(self, params: list[Any]) -> None:
        """The client was given some state; among the parameters of its call may be a block."""
        for block in params:
            if isinstance(block, str) and len(block) == HASH and block not in self._read:
                self._read.append(block)
        for watch in tuple(self.watches):
            watch.look()

    def has_read(self, block: str) -> bool:
        """Whether the client was given state of a block."""
        return block in self._read


class Watch:
    """Tells of one extrinsic.

    polkadot.js reads a block's events when it is told that its extrinsic is in it, and forgets that when the
    block is final before it has read them; clients that wait for the first word then wait for ever. A real chain is
    final seconds later. So is this one, to each of its watchers: soon after he has read, or when he had his time.
    """

    def __init__(self, session: Session, id: str) -> None:
        self._session = session
        self._id = id
        self._final: Any = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_soon = False

    def on_status(self, status: Any) -> None:
        """The pool calls this with each new status of the extrinsic."""
        if isinstance(status, dict) and "finalized" in status:
            self._final = status
            self._session.watches.add(self)
            wait = PATIENCE if self._session.is_reader else PAUSE
            self._timer = asyncio.get_running_loop().call_later(wait, self._notify)
            self.look()
        else:
            self._session.notify("author_extrinsicUpdate", self._id, status)

    def look(self) -> None:
        """The client was given some state: if it was of the final block, it is told soon, not when its time is up."""
        if self._is_soon or self._timer is None or not self._session.has_read(self._final["finalized"]):
            return
        self._is_soon = True
        self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(PAUSE, self._notify)

    def _notify(self) -> None:
        self._session.watches.discard(self)
        self._session.notify("author_extrinsicUpdate", self._id, self._final)

    def end(self) -> None:
        """The client unsubscribed or left: nothing is sent to it any more."""
        self._session.watches.discard(self)
        if self._timer is not None:
            self._timer.cancel()
