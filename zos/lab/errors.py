"""What a lab refuses."""

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
    text = "another command is building or removing this lab right now"
    hint = "wait until it has finished"


class NoLab(ZosError):
    """There is nothing to talk to."""

    reason = "lab.none"
    status = Status.NOT_FOUND
    text = "no lab is up"
    hint = "start one: zos lab up"


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
    text = "a lab of {nodes} nodes is there already"
    hint = "remove it first: zos lab down"


class TooSlow(ZosError):
    """The lab is built but does not get where it should."""

    reason = "lab.too_slow"
    status = Status.DEADLINE_EXCEEDED
    text = "{what} did not happen within {deadline} s; last seen: {seen}"
    hint = "look at the logs below {logs}"
