"""Where the blocks of a flist may lie: its routes are written by its author, whom nobody here knows."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

from zos.fetch.errors import FetchForbidden
from zos.fetch.policy import WEB, Policy, shown

REDIS = ("zdb", "redis", "ardb")
"""Stores that speak redis' protocol; ardb is what 0-fs' first store was."""


@dataclass(frozen=True, slots=True)
class StorePolicy(Policy):
    """What may be connected to, and whether `dir://` may be read."""

    folders: bool = False
    """For the command line and tests, never for a flist that somebody else made."""

    def check_store(self, url: str) -> None:
        """Refuse the URL of a block store that is wrong before anything is connected."""
        try:
            parts = urlsplit(url)
            _ = parts.port
        except ValueError as err:
            raise FetchForbidden(url=shown(url), problem=err) from None
        if parts.scheme == "dir":
            if not self.folders:
                raise FetchForbidden(url=shown(url), problem="it is a folder of this machine")
        elif parts.scheme not in (*WEB, *REDIS) or not parts.hostname:
            raise FetchForbidden(url=shown(url), problem=f"only {', '.join((*WEB, *REDIS))} are spoken here")

    def to_json(self) -> str:
        """The policy as an argument of another process."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> StorePolicy:
        """The reverse of `to_json`."""
        fields = json.loads(text)
        return StorePolicy(tuple(fields["allowed"]), bool(fields["neighbours"]), bool(fields["folders"]))
