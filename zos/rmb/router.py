"""Routes the node's public commands: who may call, what may be sent, which module answers.

A command is one function in `zos/rmb/commands/<noun>.py`, found by looking. The protocol (envelopes, signatures,
relays) stands before this and hands in `(caller's twin, command, body)`; what comes back is JSON, never empty.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import pkgutil
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from zos.bus.client import Bus
from zos.bus.errors import Incident, new_incident
from zos.capacityd.api import CapacitydClient
from zos.chain.api import ChainClient
from zos.core0.api import Core0Client
from zos.errors import Status, ZosError
from zos.model.decode import Fields, parse
from zos.mycelium.api import MyceliumClient
from zos.networkd.api import NetworkdClient
from zos.provisiond.api import ProvisiondClient
from zos.rmb.limits import RateLimiter
from zos.runtime.clock import Clock, SystemClock
from zos.storaged.api import StoragedClient
from zos.vmd.api import VmdClient

log = logging.getLogger("zos.rmb")

LARGEST = 1024 * 1024
"""Bytes of a body; the same as for a deployment that the node fetches."""
DEEPEST = 32
"""Levels of lists and objects in a body; a deployment has eight."""
DEADLINE = 9.0
"""Seconds for one command: the least patient client waits ten."""

LOOKUPS, LOOKUPS_BURST = 2.0, 20.0
"""Contracts per second that a twin may have looked up on the chain, and at once; of all twins ten times as many."""

_ALIKE = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


class UnknownCommand(ZosError):
    """No module answers this."""

    reason = "rmb.unknown_command"
    status = Status.NOT_FOUND
    text = "function is not found"


class Unauthorized(ZosError):
    """The command is somebody else's."""

    reason = "rmb.unauthorized"
    status = Status.PERMISSION_DENIED
    text = "unauthorized"


class BadBody(ZosError):
    """The body is refused before it is read."""

    reason = "rmb.bad_body"
    status = Status.INVALID_ARGUMENT
    text = "the body of {command} is {problem}"


class CommandTooSlow(ZosError):
    """The daemons did not answer in the time that clients wait."""

    reason = "rmb.command_too_slow"
    status = Status.DEADLINE_EXCEEDED
    text = "{command} was not answered within {deadline} s"
    hint = "try again in a moment"


class Access(StrEnum):
    """Who may use a command."""

    ANY = "any"
    """Every twin's."""
    OWNER = "owner"
    """Every twin's, and each sees and changes only what is its own."""
    FARMER = "farmer"
    """The twin's that owns the node's farm."""
    ADMIN = "admin"
    """The twins' that the configuration names."""


class Node:
    """The clients of the daemons that commands ask, and what the configuration says about who may ask."""

    def __init__(self, bus: Bus, farm: int = 0, admins: Iterable[int] = (), clock: Clock | None = None) -> None:
        self.capacityd = CapacitydClient(bus)
        self.chain = ChainClient(bus)
        self.core0 = Core0Client(bus)
        self.networkd = NetworkdClient(bus)
        self.mycelium = MyceliumClient(bus)
        self.provisiond = ProvisiondClient(bus)
        self.storaged = StoragedClient(bus)
        self.vmd = VmdClient(bus)
        self.farm = farm
        self.admins = frozenset(admins)
        self.clock: Clock = clock or SystemClock()
        self._lookups: RateLimiter[int] = RateLimiter(self.clock, LOOKUPS, LOOKUPS_BURST)
        self._all_lookups = self._lookups.times(10)

    def may_look_up(self, caller: int) -> bool:
        """Whether a twin may have one more contract looked up on the chain now."""
        return self._lookups.take(caller) and bool(self._all_lookups.take(0))


@dataclass(frozen=True, slots=True)
class Call:
    """A command's argument, who sent it, and the node that the command may ask."""

    caller: int
    """The twin that signed it."""
    body: bytes
    node: Node

    def value(self) -> Any:
        """The argument; None when there is none."""
        return parse(self.body) if self.body.strip() else None

    def fields(self) -> Fields:
        """The argument as an object with keys in any case; an empty one when there is none."""
        return Fields(self.value())


Act = Callable[[Call], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Command:
    """A public command: its name, what it does (the value that it returns is answered as JSON), whose it is."""

    name: str
    act: Act
    access: Access = Access.ANY
    aliases: tuple[str, ...] = ()
    """Other names under which clients ask for it."""
    is_private: bool = False
    """Whether it is answered in cipher only."""


def find() -> dict[str, Command]:
    """Every command that there is, by each of its names."""
    from zos.rmb import commands

    found: dict[str, Command] = {}
    for module in pkgutil.iter_modules(commands.__path__):
        for one in importlib.import_module(f"{commands.__name__}.{module.name}").COMMANDS:
            for name in (one.name, *one.aliases):
                if found.setdefault(name, one) is not one:
                    raise ValueError(f"two commands are named {name}")
    return found


class Router:
    """Runs the command that a message names and gives its answer or error."""

    def __init__(self, node: Node, commands: Iterable[Command] | None = None, deadline: float = DEADLINE) -> None:
        self._node = node
        self._deadline = deadline
        self._commands = find() if commands is None else {one.name: one for one in commands}

    @property
    def names(self) -> frozenset[str]:
        """Every name that is answered."""
        return frozenset(self._commands)

    def is_private(self, command: str) -> bool:
        """Whether a command is answered in cipher only."""
        one = self._commands.get(command)
        return one is not None and one.is_private

    async def handle(self, caller: int, command: str, body: bytes) -> bytes:
        """Answer one request by the twin `caller`.

        A body of zero bytes and `null` both mean that there is no argument. The answer is a JSON document, `null`
        when the command has no result. What is refused is raised as a ZosError whose text is meant for the caller.
        """
        one = self._commands.get(command)
        if one is None:
            raise UnknownCommand(command=command)
        check_body(command, body)
        try:
            async with asyncio.timeout(self._deadline):
                await self._authorize(one, caller)
                result = await one.act(Call(caller, body, self._node))
        except TimeoutError:
            raise CommandTooSlow(command=command, deadline=self._deadline) from None
        except ZosError as err:
            log.debug("%s by twin %d: %s", command, caller, err)
            raise
        except Exception:
            incident = new_incident()
            log.exception("incident %s in %s", incident, command)
            # Without its cause, which may say what is nobody else's to know.
            raise Incident(daemon="rmb", incident=incident) from None
        return json.dumps(result, separators=(",", ":")).encode()

    async def _authorize(self, command: Command, caller: int) -> None:
        match command.access:
            case Access.FARMER:
                farmer = (await self._node.chain.farm(self._node.farm)).twin if self._node.farm else 0
                allowed = caller == farmer
            case Access.ADMIN:
                allowed = caller in self._node.admins
            case Access.ANY | Access.OWNER:
                allowed = True
        if not allowed or caller <= 0:
            raise Unauthorized(command=command.name, twin=caller)


def check_body(command: str, body: bytes) -> None:
    """Refuse what would cost more to read than it can be worth: too large, or nested too deeply."""
    if len(body) > LARGEST:
        raise BadBody(command=command, problem=f"larger than {LARGEST} bytes")
    if body.count(b"[") + body.count(b"{") > DEEPEST and _is_deep(body):
        raise BadBody(command=command, problem=f"nested deeper than {DEEPEST} levels")


def _is_deep(body: bytes) -> bool:
    """Whether brackets outside of strings nest too deeply; bytes by the million are looked at in C."""
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    rest = b"".join(plain.split(b'"')[::2]).translate(_ALIKE, _NO_BRACKETS)
    for _ in range(DEEPEST):
        # Each round takes the innermost level away.
        rest = rest.replace(b"[]", b"")
    return b"[]" in rest or rest.count(b"[") > DEEPEST
