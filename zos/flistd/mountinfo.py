"""What /proc/self/mountinfo says. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mounted:
    """A line of mountinfo."""

    device: str
    """major:minor"""
    point: str
    kind: str
    source: str
    options: str
    """Of the file system."""


def parse(text: str) -> Iterator[Mounted]:
    """Every mount, in the order of mounting; lines that cannot be read are passed over."""
    for line in text.splitlines():
        head, dash, tail = line.partition(" - ")
        left, right = head.split(" "), tail.split(" ")
        if dash and len(left) >= 6 and len(right) >= 3:
            yield Mounted(left[2], _plain(left[4]), right[0], _plain(right[1]), _plain(right[2]))


def _plain(text: str) -> str:
    return _OCTAL.sub(lambda found: chr(int(found.group(1), 8)), text)
