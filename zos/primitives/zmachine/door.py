"""What vmd would refuse of a machine, looked for before its document is accepted. Pure.

Whether a flist is a container or an image shows only when it is mounted. An image reads neither mountpoints nor
entrypoint; of mountpoints only what no kind of machine can have is refused here.
"""

from __future__ import annotations

import dataclasses
import posixpath
from pathlib import Path

from zos.flistd.api.check import url_problem
from zos.flistd.api.types import MountInfo, MountKind
from zos.storaged.api.check import check as check_size
from zos.storaged.api.types import Kind
from zos.verbs.machine import build, target
from zos.verbs.primitive import BadWorkload, Facts, Mountable, Source, refused_at
from zos.verbs.step import Answers
from zos.verbs.vmd import EnsureMachine
from zos.vmd.api.check import common_problem

_SOMEWHERE = Path("/somewhere")


def check(step: EnsureMachine, facts: Facts, path: str) -> None:
    """Refuse a machine that cannot be, by the path of the workload."""
    if problem := url_problem(step.mount.url):
        raise BadWorkload(path=f"{path}.data.flist", problem=problem)
    if step.mount.upper is not None:
        with refused_at(f"{path}.data.size"):
            check_size(Kind.VOLUME, step.mount.upper.id, step.mount.upper.size)
    # The interfaces are networkd's to give; nothing of them is the user's but addresses, which are checked by now.
    answers, alone = Answers(), dataclasses.replace(step, nics=())
    answers.put(step.mount, MountInfo(step.mount.id, step.mount.url, _SOMEWHERE, "", MountKind.CONTAINER))
    for one in step.attached:
        answers.put(one.source, Source(_SOMEWHERE / one.name))
    if problem := common_problem(build(alone, answers), facts.processors):
        raise BadWorkload(path=f"{path}.data", problem=problem)
    _mountpoints(step, path)


def _mountpoints(step: EnsureMachine, path: str) -> None:
    can_be_image = any(one.kind is Mountable.DISK for one in step.attached)
    seen: dict[str, str] = {}
    for index, one in enumerate(step.attached):
        where, place = f"{path}.data.mounts[{index}].mountpoint", posixpath.normpath(target(one.target))
        if "\0" in place:
            raise BadWorkload(path=where, problem="holds a zero byte")
        if place == "/":
            if not can_be_image:
                raise BadWorkload(path=where, problem=f"`{one.target}` would hide the machine's root file system")
            continue
        if place in seen:
            raise BadWorkload(path=where, problem=f"`{seen[place]}` is mounted at {place} already")
        seen[place] = one.name
