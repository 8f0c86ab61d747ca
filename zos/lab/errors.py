"""Errors of labs."""

from __future__ import annotations

from zos.errors import Status, ZosError


class NotRoot(ZosError):
    """Namespaces, mounts and loop devices need root."""

    reason = "lab.not_root"
    status = Status.PERMISSION_DENIED
    text = "a lab makes namespaces, mounts and block devices, which takes root"
    hint = "run it as root, for instance with sudo"


class Busy(ZosError):
    """Two builders at once would undo each other's work."""

    reason = "lab.busy"
    status = Status.ABORTED
    text = "another command is building or removing the lab `{name}` right now"
    hint = "wait until it has finished"


class NoLab(ZosError):
    """There is no running lab of this name."""

    reason = "lab.none"
    status = Status.NOT_FOUND
    text = "the lab `{name}` is not up"
    hint = "start it: zos lab up; `zos lab list` shows the labs of this machine, --name or ZOS_LAB chooses one"


class NoSuchBox(ZosError):
    """A name that the lab does not have."""

    reason = "lab.no_such_box"
    status = Status.NOT_FOUND
    text = "the lab has no running box `{name}`"
    hint = "it has {boxes}"


class BoxFailed(ZosError):
    """A box did not come up."""

    reason = "lab.box_failed"
    status = Status.FAILED_PRECONDITION
    text = "the box {name} did not come up: {problem}"
    hint = "its log is {log}"


class Leftovers(ZosError):
    """Something of the lab could not be removed."""

    reason = "lab.leftovers"
    status = Status.FAILED_PRECONDITION
    text = "not everything of the lab could be removed: {what}"
    hint = "see what uses it (fuser, lsof), end that, and run zos lab down again"


class TooLarge(ZosError):
    """More nodes than the lab's network has addresses for."""

    reason = "lab.too_large"
    status = Status.INVALID_ARGUMENT
    text = "a lab has 1 to {limit} nodes, not {nodes}"


class OtherShape(ZosError):
    """A running lab is not silently made another one."""

    reason = "lab.other_shape"
    status = Status.FAILED_PRECONDITION
    text = "the lab `{name}` is there already and has {nodes} nodes"
    hint = "remove it first (zos lab down), or build another one: zos lab up --name NAME"


class OtherCode(ZosError):
    """Boxes of a lab run one program; another copy of it neither continues nor removes them unasked."""

    reason = "lab.other_code"
    status = Status.FAILED_PRECONDITION
    text = "the lab `{name}` was built by another copy of zos, in {code}"
    hint = "remove it with `zos lab down --name {name}`, or build one beside it: zos lab up --name NAME"


class BadName(ZosError):
    """The name becomes part of paths."""

    reason = "lab.bad_name"
    status = Status.INVALID_ARGUMENT
    text = "a lab cannot be called {name!r}"
    hint = "a name has up to 31 characters of a-z, 0-9 and -, and does not begin with -"


class NoRoom(ZosError):
    """Raised before anything is built: a lab without space fails later, for no visible reason."""

    reason = "lab.no_room"
    status = Status.RESOURCE_EXHAUSTED
    text = "a lab of {nodes} nodes needs {needed} MiB of {what}, and {free} MiB are free"
    hint = "free some, or build a lab of fewer nodes: zos lab up --nodes 1"


class Hidden(ZosError):
    """What a lab is stands in files of root."""

    reason = "lab.hidden"
    status = Status.PERMISSION_DENIED
    text = "what the lab `{name}` is can only be read by root"
    hint = "run it as root, for instance with sudo"


class HalfGone(ZosError):
    """Boxes run and their record is gone: the lab was being removed, and that was cut off."""

    reason = "lab.half_gone"
    status = Status.FAILED_PRECONDITION
    text = "the lab `{name}` is half removed; still running: {boxes}"
    hint = "remove the rest: zos lab down"


class DiskFull(ZosError):
    """Nothing in the lab gets further."""

    reason = "lab.disk_full"
    status = Status.RESOURCE_EXHAUSTED
    text = "the disk of {folder} is full: {free} MiB are free"
    hint = "free some, then run zos lab up again; it goes on where it is"


class TooManyLabs(ZosError):
    """Every lab needs a network of its own."""

    reason = "lab.too_many"
    status = Status.FAILED_PRECONDITION
    text = "there are {limit} labs on this machine, and no more networks for another one"
    hint = "zos lab list shows them; zos lab down --name NAME removes one"


class TooSlow(ZosError):
    """The lab is built but does not get where it should."""

    reason = "lab.too_slow"
    status = Status.DEADLINE_EXCEEDED
    text = "{what} did not happen within {deadline} s; last seen: {seen}"
    hint = "look at the logs below {logs}"
