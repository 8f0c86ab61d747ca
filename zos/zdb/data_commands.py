"""The commands on keys. Each checks its words in 0-db's order, since clients see which text comes first."""

from __future__ import annotations

import time

from zos.zdb import format as fmt
from zos.zdb import resp
from zos.zdb.files import At
from zos.zdb.format import Cursor, Located
from zos.zdb.namespace import Namespace
from zos.zdb.parts import Refused
from zos.zdb.resp import number
from zos.zdb.session import Session, Steps, World

FOUND_AT_ONCE = 32
"""Keys that MGET looks for in one step."""
AGAIN = 0.1
"""Seconds after which an answer that there was no room for is tried again."""
MOST_ANSWERED = 64 << 20
"""Bytes of values in one answer."""
MAX_WORD = 256


def _timestamp(words: list[bytes], at: int) -> int:
    """Given in the words, else now; 32 bits."""
    return (number(words[at]) if len(words) > at else int(time.time())) & 0xFFFFFFFF


def _key(words: list[bytes]) -> bytes:
    if len(words) != 2:
        raise Refused("Unexpected arguments")
    if not words[1]:
        raise Refused("Invalid argument")
    return words[1]


def _bounded(key: bytes) -> bytes:
    if len(key) > fmt.MAX_KEY:
        raise Refused("Invalid key")
    return key


def set(world: World, session: Session, words: list[bytes]) -> bytes:
    if len(words) not in (3, 4):
        raise Refused("Unexpected arguments")
    if len(words) == 4:
        session.need_admin()
    space = session.writable()
    key, payload = words[1], words[2]
    if len(key) > fmt.MAX_KEY:
        raise Refused("Key too large")
    if not key and not space.is_sequential:
        raise Refused("Invalid argument, key needed")
    stored = space.set(key, payload, _timestamp(words, 3))
    session.wrote = stored is not None
    return resp.bulk(stored)


def get(world: World, session: Session, words: list[bytes]) -> bytes:
    return resp.bulk(session.readable().get(_bounded(_key(words))))


def mget(world: World, session: Session, words: list[bytes]) -> Steps:
    if len(words) < 2:
        raise Refused("Invalid arguments")
    session.readable()
    keys = [_bounded(key) for key in words[1:]]
    size = 0
    for place, key in enumerate(keys, 1):
        at = session.readable().find(key)
        size += at.item.length if at else 0
        if place % FOUND_AT_ONCE == 0:
            yield 0.0
    if size > MOST_ANSWERED:
        raise Refused("Payload too big")
    while not world.peers.reserve(session, size):
        yield AGAIN
    values, left = [], MOST_ANSWERED
    for key in keys:
        value = session.readable().get(key)
        left -= len(value or b"")
        if left < 0:
            raise Refused("Payload too big")
        values.append(resp.bulk(value))
        yield 0.0
    return resp.array(values)


def delete(world: World, session: Session, words: list[bytes]) -> bytes:
    if len(words) not in (2, 3):
        raise Refused("Unexpected arguments")
    if len(words) == 3:
        session.need_admin()
    elif not words[1]:
        raise Refused("Invalid argument")
    key = _bounded(words[1])
    if not session.writable().delete(key, _timestamp(words, 2)):
        raise Refused("Key not found")
    session.wrote = True
    return resp.OK


def exists(world: World, session: Session, words: list[bytes]) -> bytes:
    return resp.integer(session.readable().find(_bounded(_key(words))) is not None)


def check(world: World, session: Session, words: list[bytes]) -> bytes:
    space = session.readable()
    at = space.find(_bounded(_key(words)))
    if at is None:
        return resp.NIL
    intact = space.is_intact(at)
    return resp.integer(-1 if intact is None else int(intact))


def length(world: World, session: Session, words: list[bytes]) -> bytes:
    at = session.readable().find(_bounded(_key(words)))
    return resp.integer(at.item.length) if at else resp.NIL


def keytime(world: World, session: Session, words: list[bytes]) -> bytes:
    at = session.readable().find(_bounded(_key(words)))
    return resp.integer(at.item.timestamp) if at else resp.NIL


def _cursor(at: Located) -> bytes:
    item = at.item
    return fmt.pack_cursor(Cursor(len(item.key), at.file, item.length, at.offset, item.crc))


def keycur(world: World, session: Session, words: list[bytes]) -> bytes:
    at = session.readable().find(_key(words))
    if at is None:
        raise Refused("Key not found")
    return resp.bulk(_cursor(at))


def scan(world: World, session: Session, words: list[bytes]) -> Steps:
    space = session.readable()
    return _listed(session, space.behind(_cursor_of(words)), is_backwards=False)


def rscan(world: World, session: Session, words: list[bytes]) -> Steps:
    space = session.readable()
    return _listed(session, space.before(_cursor_of(words)), is_backwards=True)


def _cursor_of(words: list[bytes]) -> Cursor | None:
    if len(words) < 2:
        return None
    cursor = fmt.read_cursor(words[1])
    if cursor is None:
        raise Refused("Invalid key format")
    return cursor


def _listed(session: Session, start: At, *, is_backwards: bool) -> Steps:
    found: list[Located] = []
    at: At | None = start
    while at is not None:
        at = session.readable().scan(at, found, is_backwards=is_backwards)
        if at is not None:
            yield 0.0
    if not found:
        raise Refused("No more data")
    items = [
        resp.array([resp.bulk(one.item.key), resp.integer(one.item.length), resp.integer(one.item.timestamp)])
        for one in found
    ]
    return resp.array([resp.bulk(_cursor(found[-1])), resp.array(items)])


def history(world: World, session: Session, words: list[bytes]) -> bytes:
    if len(words) not in (2, 3):
        raise Refused("Invalid arguments")
    space = session.readable()
    at = space.find(words[1]) if len(words) == 2 else _version(space, words[1], words[2])
    if at is None:
        raise Refused("Key not found")
    item = at.item
    cookie = fmt.pack_cookie(item.parent_file, item.parent_offset) if item.parent_offset else None
    return resp.array([resp.bulk(cookie), resp.bulk(b"%d" % item.timestamp), resp.bulk(space.payload(at))])


def _version(space: Namespace, key: bytes, given: bytes) -> Located:
    cookie = fmt.read_cookie(given)
    if cookie is None:
        raise Refused("Invalid arguments")
    if cookie == (0, 0):
        raise Refused("No more history")
    at = space.version(*cookie)
    if at is None or at.item.key != key:
        raise Refused("Invalid arguments (invalid key)")
    return at


def data(world: World, session: Session, words: list[bytes]) -> bytes:
    session.need_admin()
    space = session.active()
    if len(words) < 2:
        raise Refused("Missing arguments")
    if not words[1]:
        raise Refused("Invalid argument")
    if len(words[1]) > MAX_WORD:
        raise Refused("Argument too long")
    if words[1].upper() != b"RAW":
        raise Refused("Unknown DATA subcommand")
    if len(words) < 4:
        raise Refused("Missing arguments")
    return _raw(space, number(words[2]) & 0xFFFFFFFF, number(words[3]) & 0xFFFFFFFF)


def _raw(space: Namespace, file: int, offset: int) -> bytes:
    if file not in space.files.data.numbers():
        raise Refused("Invalid Request")
    if offset < fmt.DATA_HEADER:
        raise Refused("Unexpected Internal Error")
    found = space.files.entry(file, offset)
    if found is None:
        raise Refused("EOF" if offset >= space.files.end_of_data(file) else "Invalid Request")
    entry, key, payload = found
    return resp.array(
        [
            resp.bulk(key),
            resp.integer(entry.previous),
            resp.bulk(b"0x%08x" % entry.crc),
            resp.integer(entry.flags),
            resp.integer(entry.timestamp),
            resp.bulk(None if entry.flags & fmt.DELETED else payload),
        ]
    )
