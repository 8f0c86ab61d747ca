"""What is to know about a flist without opening it; written when it is compiled. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from zos.flist.layout import Route

INDEX, INFO, ORIGINAL = "index", "info.json", "flist.fl"
"""The files of a compiled flist's folder."""


@dataclass(frozen=True, slots=True)
class Info:
    """What is to know about a flist without opening it."""

    entrypoint: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    image: str = ""
    """Path of the disk image; "" for a container's tree."""
    image_size: int = 0
    kernel: str = ""
    initrd: str = ""
    nodes: int = 0
    size: int = 0
    """Of all files together."""
    routes: tuple[Route, ...] = ()
    detail: str = ""

    def to_json(self) -> str:
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        fields["env"] = dict(self.env)
        fields["routes"] = [[route.start, route.end, route.url] for route in self.routes]
        return json.dumps(fields, indent=1)

    @staticmethod
    def from_json(text: str) -> Info:
        """What `to_json` said; ValueError when it is no such text."""
        fields: dict[str, Any] = json.loads(text)
        # Earlier releases wrote names that are no UTF-8: no message can hold them, so the flist is looked at anew.
        json.dumps(fields, ensure_ascii=False).encode()
        fields["routes"] = tuple(Route(*route) for route in fields["routes"])
        return Info(**fields)
