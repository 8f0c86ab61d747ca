"""Signed deployments left for nodes to fetch (pull mode): small documents by their hash, written once."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from pathlib import Path

from zos.errors import Status, ZosError
from zos.model.challenge import hashes
from zos.model.deployment import decode
from zos.runtime.files import write_atomic
from zos.runtime.quota import FairQuota

LIMIT = 3 << 19
"""Bytes of a document; those that are sealed are a third larger than the mebibyte that nodes take."""
TOTAL, EACH = 8 << 30, 512 << 20
"""Bytes that are kept: of all, and of one network (an IPv4 address, a /64), which never has more than half of what the
others leave."""
OVERHEAD = 4096
"""Bytes that a file takes besides its own."""
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


class HubFull(ZosError):
    """There is no room, or the uploader has used up its share."""

    reason = "hub.full"
    status = Status.RESOURCE_EXHAUSTED
    text = "this hub keeps no more documents of yours"
    hint = "hand them to nodes from your own vault (--vault), or use another hub"


def path(root: Path, name: str) -> Path:
    """Where a deployment is kept; its name is 64 hex digits (sha256 or blake2b) or 32 (a contract's hash)."""
    if not _NAME.fullmatch(name):
        raise BadDeployment(problem=f"{name!r:.80} is no hash: 64 or 32 hex digits in lower case")
    return root / "deployments" / name


class DocumentStore:
    """Documents below a root; remembers how many bytes each network left here."""

    def __init__(self, root: Path, total: int = TOTAL) -> None:
        self._root = root
        self._log = root / ".uploads"
        self._quota: FairQuota[str] = FairQuota(total, EACH)
        with contextlib.suppress(OSError):
            for line in self._log.read_text().splitlines():
                with contextlib.suppress(ValueError):
                    network, _, size = line.rpartition(" ")
                    self._quota.take(network, int(size))

    def add(self, name: str, document: bytes, network: str) -> bool:
        """Write a document; false when it was there already. Raises BadDeployment, DeploymentTaken, HubFull."""
        place = path(self._root, name)
        _check(name, document)
        if place.exists():
            if place.read_bytes() != document:
                raise DeploymentTaken(name=name)
            return False
        size = len(document) + OVERHEAD
        if not self._quota.take(network, size):
            raise HubFull()
        try:
            write_atomic(place, document, mode=0o644)
            with self._log.open("a") as log:
                log.write(f"{network} {size}\n")
        except OSError:
            self._quota.release(network, size)
            raise HubFull() from None
        return True


def _check(name: str, document: bytes) -> None:
    """Refuse what does not belong under this name: each is a hash of what it names, so none can be taken first."""
    if len(document) > LIMIT:
        raise BadDeployment(problem=f"the document has {len(document)} bytes, at most {LIMIT} are kept")
    try:
        json.loads(document)
    except (ValueError, RecursionError) as err:
        raise BadDeployment(problem=f"the document is not JSON: {err}") from None
    if len(name) == 64:
        digests = {hashlib.sha256(document).hexdigest(), hashlib.blake2b(document, digest_size=32).hexdigest()}
        if name not in digests:
            raise BadDeployment(problem=f"the document's sha256 is {hashlib.sha256(document).hexdigest()}, not {name}")
        return
    try:
        found = {one.hex() for one in hashes(decode(document))}
    except ZosError as err:
        raise BadDeployment(problem=f"under 32 digits only a deployment of this hash is kept: {err}") from None
    if name not in found:
        raise BadDeployment(problem=f"the deployment's hash is not {name}")
