"""Decides what to mount and unmount. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from zos.flistd.api.types import MountId
from zos.flistd.model import DesiredMount, ObservedMount, ObservedMounts
from zos.flistd.steps import DropMount, DropTree, MountTree, PutMount, Step


def plan(desired: Mapping[MountId, DesiredMount], observed: ObservedMounts) -> tuple[Step, ...]:
    """Clear what is wrong or dead, serve what is missing, put every mount in its place, end what nobody uses.

    A mount over a dead tree is made again over a new one; one that is right is never touched.
    """
    living = {tree.source for tree in observed.trees if tree.alive}
    right = {id for id, stack in observed.mounts.items() if _is_right(desired.get(id), stack, living)}
    standing = {observed.mounts[id][0].source for id in right}
    flists = sorted({mount.flist for mount in desired.values()})
    chosen = {flist: _choose(flist, observed, standing) for flist in flists}
    steps: list[Step] = [DropMount(id) for id in sorted(observed.mounts.keys() - right)]
    steps += [MountTree(source) for source in chosen.values() if source not in living]
    steps += [PutMount(id, chosen[desired[id].flist], desired[id].upper) for id in sorted(desired.keys() - right)]
    steps += [DropTree(tree.source) for tree in observed.trees if tree.source not in {*chosen.values(), *standing}]
    return tuple(steps)


def _choose(flist: str, observed: ObservedMounts, standing: set[str]) -> str:
    """The tree that mounts of a flist stand on: a living one, those of right mounts before others; else a new one."""
    trees = [tree for tree in observed.trees if tree.flist == flist]
    living = sorted((tree for tree in trees if tree.alive), key=lambda tree: (tree.source not in standing, tree.number))
    if living:
        return living[0].source
    return f"{flist}-{1 + max((tree.number for tree in trees), default=0)}"


def _is_right(mount: DesiredMount | None, stack: tuple[ObservedMount, ...], living: set[str]) -> bool:
    if mount is None or len(stack) != 1:
        return False
    (seen,) = stack
    return seen.upper == mount.upper and seen.source in living and seen.source.partition("-")[0] == mount.flist
