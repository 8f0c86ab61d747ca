"""The digest of what a guest was started from, written into its domain: a guest with another digest is restarted. Pure.

Releases change the classes of the API; running guests must not notice. So the digest is over a document whose form is
fixed here and not by the classes: the fields of the first release always, in this order, and every field that came
later only when it differs from the value that means "as before there was such a field".
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from zos.vmd.api.types import Machine, MachineDisk, Nic, Route, Share

FIRST: Mapping[type, tuple[str, ...]] = {
    Machine: (
        *("id", "name", "kind", "cpu", "memory", "root", "kernel", "initrd", "disks", "shares", "nics", "env"),
        *("entrypoint", "ssh_keys", "nameservers", "paused"),
    ),
    MachineDisk: ("path", "target"),
    Share: ("tag", "path", "target"),
    Route: ("dest", "via"),
    Nic: ("tap", "mac", "addresses", "gateway", "gateway6", "routes"),
}
"""Fields of the first release; never changed."""

LATER: Mapping[type, Mapping[str, object]] = {}
"""Fields that came later, each with the value at which a guest is what it was without the field."""


def digest(machine: Machine) -> str:
    """Identifies what a guest is started from, in 32 hex digits; pausing needs no restart."""
    document = _document(dataclasses.replace(machine, paused=False))
    return hashlib.blake2b(msgspec.json.encode(document, enc_hook=str), digest_size=16).hexdigest()


def _document(value: Any) -> Any:
    kind = type(value)
    if kind in FIRST:
        later = {name: neutral for name, neutral in LATER.get(kind, {}).items() if getattr(value, name) != neutral}
        return {name: _document(getattr(value, name)) for name in (*FIRST[kind], *later)}
    if isinstance(value, Mapping):
        return {key: _document(value[key]) for key in sorted(value)}
    if isinstance(value, tuple):
        return [_document(item) for item in value]
    return value
