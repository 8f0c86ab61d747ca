"""Decides what to mount and unmount. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from zos.flistd.api.types import MountId
from zos.flistd.model import Have, MountSeen, Want
from zos.flistd.steps import DropMount, DropTree, MountTree, PutMount, Step


def plan(want: Mapping[MountId, Want], have: Have) -> tuple[Step, ...]:
    """Clear what is wrong or dead, serve what is missing, put every mount in its place, end what nobody uses.

    A mount over a dead tree is made again over a new one; one that is right is never touched.
    """
    used = {seen.source for stack in have.mounts.values() for seen in stack}
    chosen = {flist: _choose(flist, have, used) for flist in sorted({wish.flist for wish in want.values()})}
    living = {tree.source for tree in have.trees if tree.alive}
    right = {id for id, stack in have.mounts.items() if _is_right(want.get(id), stack, living)}
    standing = {have.mounts[id][0].source for id in right}
    steps: list[Step] = [DropMount(id) for id in sorted(have.mounts.keys() - right)]
    steps += [MountTree(source) for source in chosen.values() if source not in living]
    steps += [PutMount(id, chosen[want[id].flist], want[id].upper) for id in sorted(want.keys() - right)]
    steps += [DropTree(tree.source) for tree in have.trees if tree.source not in {*chosen.values(), *standing}]
    return tuple(steps)


def _choose(flist: str, have: Have, used: set[str]) -> str:
    """The tree that mounts of a flist stand on: a living one, one in use before others; else a new one."""
    trees = [tree for tree in have.trees if tree.flist == flist]
    living = sorted((tree for tree in trees if tree.alive), key=lambda tree: (tree.source not in used, tree.number))
    if living:
        return living[0].source
    return f"{flist}-{1 + max((tree.number for tree in trees), default=0)}"


def _is_right(wish: Want | None, stack: tuple[MountSeen, ...], living: set[str]) -> bool:
    if wish is None or len(stack) != 1:
        return False
    (seen,) = stack
    return seen.upper == wish.upper and seen.source in living and seen.source.partition("-")[0] == wish.flist
