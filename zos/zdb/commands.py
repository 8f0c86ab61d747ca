"""The commands. What is sent may be any beginning of a name, and the first in the table wins."""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Callable
from typing import NamedTuple

from zos.zdb import data_commands as data
from zos.zdb import resp
from zos.zdb import space_commands as spaces
from zos.zdb.parts import Refused
from zos.zdb.session import NAME, SHA1_HEX, Session, Steps, World

Handler = Callable[[World, Session, list[bytes]], "bytes | Steps | None"]
"""The answer, the steps to it, or None when another connection's command brings it."""

LEAST_WAIT, MOST_WAIT, WAIT = 100, 30 * 60 * 1000, 5000
"""Milliseconds."""
MAX_AUTH = 128


class Command(NamedTuple):
    """A row of the table of commands: who runs it, and what it needs."""

    name: str
    handler: Handler
    is_change: bool = False
    """Mirrors are sent it."""


def _asterisk(world: World, session: Session, words: list[bytes]) -> bytes:
    raise Refused("This is not a valid command")


def _ping(world: World, session: Session, words: list[bytes]) -> bytes:
    return resp.simple("PONG")


def _time(world: World, session: Session, words: list[bytes]) -> bytes:
    now = time.time()
    return resp.array([resp.bulk(b"%d" % now), resp.bulk(b"%d" % (now % 1 * 1_000_000))])


def _wait(world: World, session: Session, words: list[bytes]) -> None:
    if len(words) not in (2, 3):
        raise Refused("Invalid arguments")
    session.entered()
    command = find(words[1])
    if command is None:
        raise Refused("Unknown command to watch")
    milliseconds = WAIT
    if len(words) == 3:
        milliseconds = resp.number(words[2]) if len(words[2]) <= 16 else 0
        if not LEAST_WAIT <= milliseconds <= MOST_WAIT:
            raise Refused("Invalid timeout")
    world.peers.wait(session, command.name, milliseconds / 1000)


def _mirror(world: World, session: Session, words: list[bytes]) -> bytes:
    session.need_admin()
    world.peers.mirror(session)
    return resp.simple("Starting mirroring")


def _master(world: World, session: Session, words: list[bytes]) -> bytes:
    session.need_admin()
    return resp.simple("Hello, master")


def _auth(world: World, session: Session, words: list[bytes]) -> bytes:
    admin = world.settings.admin
    if len(words) == 2:
        if not admin:
            raise Refused("Authentication disabled")
        if not words[1]:
            raise Refused("Invalid argument")
        if len(words[1]) > MAX_AUTH:
            raise Refused("Password too long")
        if not hmac.compare_digest(words[1], admin):
            raise Refused("Access denied")
        session.is_admin = True
        return resp.OK
    if len(words) != 3:
        raise Refused("Unexpected arguments")
    if not words[1] or not b"SECURE".startswith(words[1].upper()):
        raise Refused("Only SECURE extra method supported")
    if not words[2]:
        raise Refused("Invalid argument")
    if b"CHALLENGE".startswith(words[2].upper()):
        session.nonce = secrets.token_hex(8)
        return resp.simple(session.nonce)
    if not admin:
        raise Refused("Authentication disabled")
    try:
        if not session.answers(words[2], admin):
            raise Refused("Access denied")
        session.is_admin = True
        return resp.OK
    finally:
        if len(words[2]) == SHA1_HEX:
            session.nonce = ""


def _info(world: World, session: Session, words: list[bytes]) -> bytes:
    counters = world.counters
    totals = world.store.totals
    lines = [
        "# server",
        f"server_name: {NAME}",
        "server_revision: zos",
        "engine_revision: zos",
        f"instance_id: {world.hooks.instance}",
        f"boot_time: {int(world.booted)}",
        f"uptime: {int(time.time() - world.booted)}",
        "",
        "# clients",
        f"clients_lifetime: {counters.clients}",
        "",
        "# internals",
        "sequential_key_size: 8",
        "data_version: 3",
        "index_version: 4",
        "",
        "# stats",
        f"commands_executed: {counters.executed}",
        f"commands_failed: {counters.failed}",
        f"commands_unauthorized: {counters.unauthorized}",
        f"index_disk_read_failed: {totals.index_errors}",
        "index_disk_write_failed: 0",
        f"data_disk_read_failed: {totals.data_errors}",
        "data_disk_write_failed: 0",
    ]
    sizes = {
        "index_disk_read": totals.index_read,
        "index_disk_write": totals.index_written,
        "data_disk_read": totals.data_read,
        "data_disk_write": totals.data_written,
        "network_rx": counters.received,
        "network_tx": counters.sent,
    }
    for name, size in sizes.items():
        lines += [f"{name}_bytes: {size}", f"{name}_mb: {size / (1 << 20):.2f}"]
    return resp.bulk("\n".join([*lines, ""]).encode())


def _stop(world: World, session: Session, words: list[bytes]) -> bytes:
    raise Refused("Unauthorized")


def _kscan(world: World, session: Session, words: list[bytes]) -> bytes:
    raise Refused("Command disabled in release code, not yet available")


def _hooks(world: World, session: Session, words: list[bytes]) -> bytes:
    session.need_admin()
    return resp.array(
        [
            resp.array(
                [
                    resp.bulk(run.name.encode()),
                    resp.array([resp.bulk(word.encode()) for word in run.arguments]),
                    resp.integer(run.pid),
                    resp.integer(int(run.started)),
                    resp.integer(int(run.ended)),
                    resp.integer(run.status),
                ]
            )
            for run in world.hooks.listed()
        ]
    )


COMMANDS = (
    Command("*", _asterisk),
    Command("WAIT", _wait),
    Command("MIRROR", _mirror),
    Command("MASTER", _master),
    Command("DATA", data.data),
    Command("PING", _ping),
    Command("TIME", _time),
    Command("AUTH", _auth),
    Command("SET", data.set, True),
    Command("SETX", data.set, True),
    Command("GET", data.get),
    Command("MGET", data.mget),
    Command("DEL", data.delete, True),
    Command("EXISTS", data.exists),
    Command("CHECK", data.check),
    Command("SCAN", data.scan),
    Command("SCANX", data.scan),
    Command("RSCAN", data.rscan),
    Command("KSCAN", _kscan),
    Command("HISTORY", data.history),
    Command("KEYCUR", data.keycur),
    Command("LENGTH", data.length),
    Command("KEYTIME", data.keytime),
    Command("INFO", _info),
    Command("STOP", _stop),
    Command("DBSIZE", spaces.dbsize),
    Command("NSNEW", spaces.nsnew, True),
    Command("NSDEL", spaces.nsdel, True),
    Command("NSLIST", spaces.nslist),
    Command("NSSET", spaces.nsset, True),
    Command("NSINFO", spaces.nsinfo),
    Command("NSJUMP", spaces.nsjump, True),
    Command("SELECT", spaces.select),
    Command("RELOAD", spaces.reload),
    Command("FLUSH", spaces.flush, True),
    Command("HOOKS", _hooks),
    Command("INDEX", spaces.index),
)
_EXACT = {command.name.encode(): command for command in COMMANDS}


def find(word: bytes) -> Command | None:
    """The command that a word means."""
    upper = word.upper()
    found = _EXACT.get(upper)
    if found is not None:
        return found
    return next((command for command in COMMANDS if command.name.encode().startswith(upper)), None)
