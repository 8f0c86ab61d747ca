"""One connection as the commands see it, and what they share."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Protocol

from zos.zdb.hooks import Hooks
from zos.zdb.namespace import Namespace
from zos.zdb.parts import Refused
from zos.zdb.store import Store

Steps = Generator[float, None, bytes]
"""A command that takes more than one step: each gives the seconds until the next (0: others have their turn before),
and the last one returns the answer. The world may change between two: what a step needs, it asks the session for."""
NAME = "0-db (zdb)"
SHA1_HEX = 40


@dataclass(frozen=True, slots=True)
class Settings:
    """How a server runs."""

    admin: bytes = b""
    """The administrator's password; empty: everybody is one."""
    is_protected: bool = False
    """Only the administrator writes to the default namespace."""
    sync: bool = True
    """Acknowledge a write when it is on the disk."""
    is_shared: bool = False
    """Its users do not know each other: a namespace is shown to who may read it, and to the administrator."""


@dataclass
class Counters:
    """Figures that INFO shows."""

    clients: int = 0
    executed: int = 0
    failed: int = 0
    unauthorized: int = 0
    received: int = 0
    sent: int = 0


class Peers(Protocol):
    """The other connections, as commands need them."""

    def detach(self, space: Namespace) -> None:
        """End the use of a removed namespace by others."""

    def replace(self, old: Namespace, new: Namespace) -> None:
        """Whoever used the one uses the other."""

    def reserve(self, session: Session, size: int) -> bool:
        """The answer to the session's command will have so many bytes; False when that must wait."""

    def wait(self, session: Session, command: str, seconds: float) -> None:
        """Answer the session when another one in its namespace executes the command."""

    def clear(self, session: Session, space: Namespace) -> None:
        """Remove what is left of an erased namespace, in a thread, also when the session ends; it is woken then."""

    def mirror(self, session: Session) -> None:
        """Send the session every change that others make."""


@dataclass
class World:
    """What all connections of a server share."""

    store: Store
    settings: Settings
    hooks: Hooks
    peers: Peers
    counters: Counters = field(default_factory=Counters)
    booted: float = field(default_factory=time.time)


@dataclass(eq=False)
class Session:
    """What a connection may do, and in which namespace it is."""

    space: Namespace | None
    is_admin: bool
    may_write: bool
    connection: object = None
    """Whom answers that come later are sent to."""
    wrote: bool = False
    """The last command wrote something: its answer waits for the disk."""
    nonce: str = ""
    """What a hashed password was asked with."""
    epoch: int = 0
    """The password of the namespace by which `may_write` was decided."""

    def __post_init__(self) -> None:
        self.epoch = self.space.epoch if self.space is not None else 0

    def enter(self, space: Namespace, may_write: bool) -> None:
        """Use a namespace from now on."""
        self.space, self.may_write, self.epoch = space, may_write, space.epoch

    def active(self) -> Namespace:
        """The namespace, whatever it may do there; raises Gone when it was removed."""
        space = self.space
        if space is None:
            raise Gone
        if self.epoch != space.epoch:
            # Who changes a password means those who know the old one. An administrator could change it back.
            self.epoch = space.epoch
            self.may_write = self.is_admin or not space.settings.password
        return space

    def entered(self) -> Namespace:
        """The namespace, unless its content is none of the session's business (any more)."""
        space = self.active()
        if not self._is_in(space):
            raise Refused("Namespace protected and private")
        return space

    def _is_in(self, space: Namespace) -> bool:
        return self.may_write or self.is_admin or space.settings.is_public

    def readable(self) -> Namespace:
        """The namespace, unless it is frozen."""
        space = self.entered()
        if space.settings.is_frozen:
            raise Refused("Namespace is temporarily frozen (read-write disabled)")
        return space

    def writable(self) -> Namespace:
        """The namespace, unless this connection may not write to it; the one way to it for who changes its content."""
        space = self.readable()
        if not self.may_write:
            raise Refused("Namespace is in read-only mode")
        if space.settings.is_locked:
            raise Refused("Namespace is temporarily locked (read-only)")
        return space

    def answers(self, given: bytes, password: bytes) -> bool:
        """Whether a hash answers the challenge of this connection; raises Refused when it cannot be one."""
        if not self.nonce:
            raise Refused("No CHALLENGE requested, secure authentication not available")
        if len(given) != SHA1_HEX:
            raise Refused("Invalid hash length")
        # SHA-1 is what the protocol says.
        wanted = hashlib.sha1(self.nonce.encode() + b":" + password, usedforsecurity=False).hexdigest()
        return hmac.compare_digest(given.lower(), wanted.encode())

    def sees(self, space: Namespace, settings: Settings) -> bool:
        """Whether this connection is told of a namespace that it did not select."""
        is_open = space.settings.is_public or not space.settings.password
        return not settings.is_shared or self.is_admin or is_open or (space is self.space and self._is_in(space))

    def need_admin(self) -> None:
        """Raise Refused for anybody but the administrator."""
        if not self.is_admin:
            raise Refused("Permission denied")


class Gone(Exception):
    """The connection's namespace was removed; it is told so and closed."""

    text = "Your active namespace is not available anymore (probably removed)."
