"""Signed deployments left for nodes to fetch (pull mode): small documents by their hash, written once."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from zos.errors import Status, ZosError
from zos.runtime.files import write_atomic

LIMIT = 3 << 19
"""Bytes of a document; those that are sealed are a third larger than the mebibyte that nodes take."""
_NAME = re.compile(r"[0-9a-f]{32}|[0-9a-f]{64}")


class BadDeployment(ZosError):
    """What was sent cannot be kept under this name."""

    reason = "hub.bad_deployment"
    status = Status.INVALID_ARGUMENT
    text = "{problem}"


class DeploymentTaken(ZosError):
    """Something else is kept under this name."""

    reason = "hub.deployment_taken"
    status = Status.ALREADY_EXISTS
    text = "another document is kept as {name}"


def path(root: Path, name: str) -> Path:
    """Where a deployment is kept; its name is 64 hex digits (sha256 or blake2b) or 32 (a contract's hash)."""
    if not _NAME.fullmatch(name):
        raise BadDeployment(problem=f"{name!r:.80} is no hash: 64 or 32 hex digits in lower case")
    return root / "deployments" / name


def keep(root: Path, name: str, document: bytes) -> bool:
    """Keep a document; false when it was there already."""
    place = path(root, name)
    if len(document) > LIMIT:
        raise BadDeployment(problem=f"the document has {len(document)} bytes, at most {LIMIT} are kept")
    try:
        json.loads(document)
    except (ValueError, RecursionError) as err:
        raise BadDeployment(problem=f"the document is not JSON: {err}") from None
    hashes = {hashlib.sha256(document).hexdigest(), hashlib.blake2b(document, digest_size=32).hexdigest()}
    if len(name) == 64 and name not in hashes:
        raise BadDeployment(problem=f"the document's sha256 is {hashlib.sha256(document).hexdigest()}, not {name}")
    if place.exists():
        if place.read_bytes() != document:
            raise DeploymentTaken(name=name)
        return False
    write_atomic(place, document, mode=0o644)
    return True
