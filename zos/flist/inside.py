"""Paths inside a flist, resolved with the flist as the root: nothing that a link says leads out of it. Pure.

The same rules as `openat2(RESOLVE_IN_ROOT)`: absolute links begin at the flist's root, and `..` stays there.
"""

from __future__ import annotations

import stat
from typing import Protocol

from zos.flist.layout import ROOT, Node

MAX_LINKS = 40
"""As the kernel."""


class Tree(Protocol):
    """What resolving needs; an Index is one."""

    def node(self, number: int) -> Node:
        """A node by its number."""

    def lookup(self, folder: int, name: bytes) -> int:
        """A child by name; 0 when there is none."""

    def target(self, number: int) -> bytes:
        """Where a link points."""


def resolve(tree: Tree, path: bytes) -> int:
    """The node that a path leads to, following links also at its end; 0 when it leads nowhere."""
    here, todo, links = ROOT, _parts(path), 0
    while todo:
        part = todo.pop()
        node = tree.node(here)
        if not stat.S_ISDIR(node.mode):
            return 0
        if part == b"..":
            here = node.parent if here != ROOT else ROOT
            continue
        child = tree.lookup(here, part)
        if not child:
            return 0
        if not stat.S_ISLNK(tree.node(child).mode):
            here = child
            continue
        links += 1
        target = tree.target(child)
        if links > MAX_LINKS or not target:
            return 0
        todo += _parts(target)
        if target.startswith(b"/"):
            here = ROOT
    return here


def _parts(path: bytes) -> list[bytes]:
    """The steps of a path, the next one last."""
    return [part for part in reversed(path.split(b"/")) if part not in (b"", b".")]


def path_of(tree: Tree, number: int) -> str:
    """The path of a node, without links; UnicodeDecodeError for one that is no UTF-8, which no message can hold."""
    parts: list[str] = []
    while number != ROOT:
        node = tree.node(number)
        parts.append(node.name.decode())
        number = node.parent
    return "/" + "/".join(reversed(parts))


def regular(tree: Tree, path: bytes) -> int:
    """The regular file that a path leads to; 0 when there is none."""
    number = resolve(tree, path)
    return number if number and stat.S_ISREG(tree.node(number).mode) else 0
