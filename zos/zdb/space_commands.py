"""The commands on namespaces."""

from __future__ import annotations

import hmac
import os
import time

from zos.zdb import format as fmt
from zos.zdb import resp
from zos.zdb.namespace import Namespace
from zos.zdb.parts import Refused
from zos.zdb.session import Session, Steps, World
from zos.zdb.store import DEFAULT

MAX_WORD = 256
MAX_GIVEN_PASSWORD = 255
LISTED_AT_ONCE = 512
"""Namespaces that NSLIST looks at in one step."""
REST, LONGEST_REST = 20, 5.0
"""How many times as long as it was flushed a namespace is not flushed again, and seconds: others wait for a flush."""
CLEARED_WITHIN = 60.0
"""Seconds after which it is looked again whether what was erased is gone; who removes it says so before."""
_U64 = 1 << 64


def _name(words: list[bytes], count: int = 2) -> bytes:
    """The words of a command, of which none is empty; the name is the first."""
    if len(words) != count:
        raise Refused("Unexpected arguments")
    if not all(words):
        raise Refused("Invalid argument")
    if len(words[1]) > fmt.MAX_NAME:
        raise Refused("Namespace too long")
    return words[1]


def _password(world: World, space: Namespace) -> bytes:
    if space.settings.name == DEFAULT:
        return world.settings.admin if world.settings.is_protected else b""
    return space.settings.password


def dbsize(world: World, session: Session, words: list[bytes]) -> bytes:
    return resp.integer(session.entered().entries)


def nsnew(world: World, session: Session, words: list[bytes]) -> bytes:
    session.need_admin()
    name = _name(words)
    world.store.create(name)
    world.hooks.tell("namespace-created", name)
    return resp.OK


def nsdel(world: World, session: Session, words: list[bytes]) -> bytes:
    session.need_admin()
    name = _name(words)
    if name != DEFAULT and session.active() is world.store.spaces.get(name):
        raise Refused("Cannot remove namespace you're currently using.")
    world.peers.detach(world.store.remove(name))
    world.hooks.tell("namespace-deleted", name)
    return resp.OK


def nslist(world: World, session: Session, words: list[bytes]) -> Steps:
    seen = []
    for number, (name, space) in enumerate(list(world.store.spaces.items()), 1):
        if session.sees(space, world.settings):
            seen.append(resp.bulk(name))
        if number % LISTED_AT_ONCE == 0:
            yield 0.0
    return resp.array(seen)


def nsjump(world: World, session: Session, words: list[bytes]) -> bytes:
    session.need_admin()
    session.active().jump()
    return resp.OK


def nsset(world: World, session: Session, words: list[bytes]) -> bytes:
    session.need_admin()
    name = _name(words, 4)
    key, value = words[2], words[3]
    if len(key) > MAX_WORD or len(value) > fmt.MAX_PASSWORD:
        raise Refused("Argument too long")
    space = world.store.get(name)
    is_on = value[:1] == b"1"
    match key:
        case b"lock":
            # One state: whichever was set last holds.
            space.change(is_locked=is_on, is_frozen=False)
        case b"freeze":
            space.change(is_locked=False, is_frozen=is_on)
        case b"mode":
            _set_mode(world, space, value)
        case _ if name == DEFAULT:
            raise Refused("Cannot update default namespace")
        case b"maxsize":
            space.change(max_size=resp.number(value) % _U64)
        case b"password":
            space.change(password=b"" if value == b"*" else value)
        case b"public":
            space.change(is_public=is_on)
        case b"worm":
            space.change(is_worm=is_on)
        case _:
            raise Refused("Invalid property")
    world.hooks.tell("namespace-updated", name)
    return resp.OK


def _set_mode(world: World, space: Namespace, value: bytes) -> None:
    if world.store.is_sequential is not None:
        raise Refused("This server instance is configured to use a single runtime mode")
    if value not in (b"user", b"seq"):
        raise Refused("Invalid property value (expected: user, seq)")
    world.store.set_mode(space, value == b"seq")


def nsinfo(world: World, session: Session, words: list[bytes]) -> bytes:
    space = world.store.get(_name(words))
    if not session.sees(space, world.settings):
        raise Refused("Permission denied")
    settings, statistics = space.settings, space.statistics
    lines = [
        "# namespace",
        f"name: {settings.name.decode(errors='replace')}",
        f"entries: {space.entries}",
        f"public: {_yes(settings.is_public)}",
        f"worm: {_yes(settings.is_worm)}",
        f"locked: {_yes(settings.is_locked or settings.is_frozen)}",
        f"password: {_yes(bool(_password(world, space)))}",
        f"data_size_bytes: {space.live_bytes}",
        f"data_size_mb: {space.live_bytes / (1 << 20):.2f}",
        f"data_limits_bytes: {settings.max_size}",
        f"index_size_bytes: {space.index_bytes}",
        f"index_size_kb: {space.index_bytes / 1024:.2f}",
        # The bytes of the number in the other order, as it is a key.
        f"next_internal_id: 0x{int.from_bytes(space.told_id.to_bytes(8, 'little')):08x}",
        f"mode: {'sequential' if space.is_sequential else 'userkey'}",
        f"stats_index_io_errors: {statistics.index_errors}",
        f"stats_index_io_error_last: {statistics.index_error_last}",
        f"stats_index_faults: {statistics.index_faults}",
        f"stats_data_io_errors: {statistics.data_errors}",
        f"stats_data_io_error_last: {statistics.data_error_last}",
        f"stats_data_faults: {statistics.data_faults}",
    ]
    if settings.max_size:
        lines.append(f"space_available: {(settings.max_size - space.live_bytes) % _U64}")
    for kind, folder in (("index", space.index_path), ("data", space.data_path)):
        seen = os.statvfs(folder)
        free = seen.f_bavail * seen.f_frsize
        lines += [f"{kind}_disk_freespace_bytes: {free}", f"{kind}_disk_freespace_mb: {free / (1 << 20):.2f}"]
    if session.is_admin:
        files = space.files
        lines += [
            f"data_path: {space.data_path}",
            f"data_active: {files.data.path(files.number)}",
            f"index_path: {space.index_path}",
            f"index_active: {files.index.path(files.number)}",
            f"data_current_id: {files.number}",
            f"data_current_offset: {files.data_end}",
        ]
    return resp.bulk("\n".join([*lines, ""]).encode())


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def select(world: World, session: Session, words: list[bytes]) -> bytes:
    if len(words) < 2:
        raise Refused("Invalid argument")
    space = world.store.get(words[1])
    password = _password(world, space)
    may_write = True
    if password:
        may_write = _knows(session, words, password)
        if not may_write and not space.settings.is_public:
            raise Refused("Namespace protected and private")
    session.enter(space, may_write)
    return resp.OK


def _knows(session: Session, words: list[bytes], password: bytes) -> bool:
    """Whether the words behind the name are the password; raises Refused for a wrong one."""
    match words[2:]:
        case []:
            return False
        case [given]:
            if len(given) > MAX_GIVEN_PASSWORD:
                raise Refused("Password too long")
            is_right = hmac.compare_digest(given, password)
        case [method, given]:
            if method.upper() != b"SECURE":
                raise Refused("Only SECURE extra method supported")
            is_right = session.answers(given, password)
        case _:
            raise Refused("Too many arguments")
    if not is_right:
        raise Refused("Access denied")
    return True


def reload(world: World, session: Session, words: list[bytes]) -> bytes:
    session.need_admin()
    name = _name(words)
    old = world.store.get(name)
    world.peers.replace(old, world.store.reload(name))
    world.hooks.tell("namespace-reloaded", name)
    return resp.OK


def flush(world: World, session: Session, words: list[bytes]) -> Steps:
    space = session.active()
    if not _password(world, space) or space.settings.is_public or space.settings.name == DEFAULT:
        raise Refused("Flushing public namespace denied")
    while True:
        space = session.writable()
        if space.settings.is_worm:
            raise Refused("Namespace is protected by worm mode")
        began = time.monotonic()
        if space.is_erased or began >= space.rests_until:
            break
        yield space.rests_until - began
    if not space.is_erased:
        space.erase()
    while not space.is_clear and session.active() is space:
        world.peers.clear(session, space)
        yield CLEARED_WITHIN
        if space.trouble is not None:
            raise space.trouble
    now = time.monotonic()
    space.rests_until = max(space.rests_until, now + min(REST * (now - began), LONGEST_REST))
    # The answer waits for the disk, as that to a write does.
    session.wrote = True
    return resp.OK


def index(world: World, session: Session, words: list[bytes]) -> bytes:
    session.need_admin()
    space = session.active()
    if len(words) < 2:
        raise Refused("Missing arguments")
    for word in words[1:3]:
        if not word:
            raise Refused("Invalid argument")
        if len(word) > MAX_WORD:
            raise Refused("Argument too long")
    if words[1].upper() != b"DIRTY":
        raise Refused("Unknown INDEX subcommand")
    if len(words) != 3:
        return resp.array([resp.integer(file) for file in sorted(space.dirty)])
    if words[2].upper() != b"RESET":
        raise Refused("Unknown INDEX DIRTY subcommand")
    space.dirty.clear()
    return resp.OK
