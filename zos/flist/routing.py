"""Where 0-fs' archives say their blocks are, as routes: `router.yaml`, or `backend` among the metadata. Pure.

Routes are by the first byte of an id here, ranges may be longer there: then a store is asked for a few blocks that it
does not have, and the next one is asked. Pools are asked in the order of `lookup`; `cache` is passed over, since a
flist of somebody else must not make a node write anywhere. ValueError says what is wrong.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote

import yaml

from zos.flist.layout import MAX_ROUTES, MAX_URL, Route
from zos.flist.redis import PORTS

MAX_BRACKETS = 100
"""The YAML parser looks ahead at each, which takes seconds for thousands."""
_HOST = re.compile(r"[0-9A-Za-z._-]+|[0-9a-fA-F:]+")
_RANGE = re.compile(r"([0-9a-fA-F]{1,32})(?::([0-9a-fA-F]{1,32}))?")


def from_router(data: bytes) -> tuple[Route, ...]:
    """The routes of a `router.yaml`."""
    if data.count(b"[") + data.count(b"{") > MAX_BRACKETS:
        raise ValueError(f"its router.yaml has more than {MAX_BRACKETS} brackets")
    try:
        # Everything is text: `10:59` is a range here, not a time of day.
        document = yaml.load(data.decode(), Loader=yaml.BaseLoader)  # noqa: S506 - it makes text, lists and mappings
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as err:
        raise ValueError(f"its router.yaml cannot be read: {str(err).splitlines()[0][:200]}") from None
    pools, lookup = (document.get(name) if isinstance(document, dict) else None for name in ("pools", "lookup"))
    if not isinstance(pools, dict) or not isinstance(lookup, list) or not lookup:
        raise ValueError("its router.yaml has no pools or no lookup")
    found: list[Route] = []
    for name in lookup:
        pool = pools.get(name) if isinstance(name, str) else None
        if not isinstance(pool, dict):
            raise ValueError(f"its router.yaml has no pool {name!r:.100}")
        found += [_route(span, url) for span, url in pool.items()]
        if len(found) > MAX_ROUTES:
            raise ValueError(f"its router.yaml has more than {MAX_ROUTES} routes")
    return tuple(found)


def _route(span: object, url: object) -> Route:
    parts = _RANGE.fullmatch(span) if isinstance(span, str) else None
    if parts is None or (parts[2] is not None and len(parts[1]) != len(parts[2])):
        raise ValueError(f"its router.yaml has a range {span!r:.100}")
    if not isinstance(url, str) or len(url) > MAX_URL:
        raise ValueError(f"its router.yaml sends {span!r:.100} to no URL")
    # Of one digit, 0-fs makes the byte that begins with it.
    start, end = (int(digits[:2].ljust(2, "0"), 16) for digits in (parts[1], parts[2] or parts[1]))
    if start > end:
        raise ValueError(f"its router.yaml has a range {span!r:.100}")
    return Route(start, end, url)


def from_backend(data: bytes) -> Route:
    """The route of the metadata `backend`, `{host, port, namespace, password}`: always a 0-db."""
    try:
        fields: Any = json.loads(data)
        host, port, namespace, password = (fields.get(name) for name in ("host", "port", "namespace", "password"))
    except (ValueError, RecursionError, AttributeError):
        raise ValueError("its metadata `backend` cannot be read") from None
    if not isinstance(host, str) or not host or not isinstance(port, int | None):
        raise ValueError("its metadata `backend` names no host")
    if not isinstance(namespace, str | None) or not isinstance(password, str | None):
        raise ValueError("its metadata `backend` has no text as its namespace or password")
    name = f"[{host}]" if ":" in host else host
    secret = f":{quote(password, safe='')}@" if password else ""
    url = f"zdb://{secret}{name}:{port or PORTS['zdb']}" + (f"/{quote(namespace, safe='')}" if namespace else "")
    if not _HOST.fullmatch(host) or not 0 <= (port or 0) <= 0xFFFF or len(url) > MAX_URL:
        raise ValueError(f"its metadata `backend` names {host!r:.100}, {port}, which is no server")
    return Route(0, 255, url)
