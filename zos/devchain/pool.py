"""The extrinsics that wait for a block: by account and nonce, with the watchers of their status."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from zos.devchain import errors
from zos.devchain.errors import Invalid
from zos.devchain.runtime import Extrinsic

LARGEST = 20_000
MOST_BYTES = 64 * 1024 * 1024
PER_ACCOUNT = 5_000

Watcher = Callable[[Any], None]
FULL = "The transaction couldn't enter the pool because of the limit"


@dataclass(eq=False)
class Pending:
    """An extrinsic that is not final yet, and who watches it."""

    extrinsic: Extrinsic
    birth: int | None
    """The block at which its validity began; None is for ever."""
    birth_hash: bytes
    watchers: list[Watcher] = field(default_factory=list)

    def notify(self, status: Any) -> None:
        """Tells every watcher the extrinsic's new status."""
        for watcher in tuple(self.watchers):
            watcher(status)

    def is_over(self, number: int, birth_hash: bytes | None) -> bool:
        """Whether it can not be in a block of this number any more."""
        if self.birth is None:
            return False
        return number >= self.birth + self.extrinsic.period or birth_hash != self.birth_hash


class Pool:
    """Extrinsics that wait for a block, each account's in the order of their nonces."""

    def __init__(self) -> None:
        self._queues: dict[bytes, dict[int, Pending]] = {}
        self._watched: dict[Watcher, Pending] = {}
        self._size = 0
        self._held = 0
        """Bytes."""

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Pending]:
        for queue in self._queues.values():
            yield from queue.values()

    def queue(self, account: bytes) -> dict[int, Pending]:
        """What waits of one account, by nonce."""
        return self._queues.get(account, {})

    def add(self, pending: Pending, watcher: Watcher | None, nonce: int) -> None:
        """Take one in, in the place of one that pays less; `nonce` is the account's next."""
        account, number = pending.extrinsic.account, pending.extrinsic.nonce
        old = self.queue(account).get(number)
        if old is not None:
            if old.extrinsic.hash == pending.extrinsic.hash:
                raise errors.imported()
            if pending.extrinsic.tip <= old.extrinsic.tip:
                raise errors.too_low()
        is_full = self._held + len(pending.extrinsic.raw) > MOST_BYTES or self._size >= LARGEST
        if is_full or (old is None and len(self.queue(account)) >= PER_ACCOUNT):
            raise Invalid(1016, "Immediately Dropped", FULL)
        if old is not None:
            old.notify({"usurped": "0x" + pending.extrinsic.hash.hex()})
            self.take(account, number)
        queue = self._queues.setdefault(account, {})
        queue[number] = pending
        self._size += 1
        self._held += len(pending.extrinsic.raw)
        if watcher is not None:
            pending.watchers.append(watcher)
            self._watched[watcher] = pending
        pending.notify("ready" if all(one in queue for one in range(nonce, number)) else "future")

    def take(self, account: bytes, nonce: int) -> Pending:
        """One that waits, out of the pool."""
        queue = self._queues[account]
        pending = queue.pop(nonce)
        self._size -= 1
        self._held -= len(pending.extrinsic.raw)
        if not queue:
            del self._queues[account]
        return pending

    def clear(self) -> None:
        """Forget all, as an endpoint that was restarted."""
        self._queues.clear()
        self._watched.clear()
        self._size = self._held = 0

    def accounts(self) -> list[bytes]:
        """Who has something waiting, the longest first."""
        return list(self._queues)

    def forget(self, watcher: Watcher) -> None:
        """Stops notifying a watcher whose connection is gone."""
        pending = self._watched.pop(watcher, None)
        if pending is not None and watcher in pending.watchers:
            pending.watchers.remove(watcher)
