"""What core-0 refuses."""

from zos.errors import Status, ZosError


class KeyUnreadable(ZosError):
    """The node's key file is there but cannot be used. A new identity is never made in its place."""

    reason = "core0.key_unreadable"
    status = Status.FAILED_PRECONDITION
    text = "the node's key {path} cannot be used: {problem}"
    hint = "restore {path} from a backup; to make this machine a new node on purpose, move the file away first"


class BadPurpose(ZosError):
    """The payload is not what this purpose signs."""

    reason = "core0.bad_purpose"
    status = Status.INVALID_ARGUMENT
    text = "a signature for {purpose} takes {wanted}, not {size} bytes"


class NotYours(ZosError):
    """The node's key is not used this way for this caller."""

    reason = "core0.not_yours"
    status = Status.PERMISSION_DENIED
    text = "the node's key is not used for {use} on behalf of {caller}"
    hint = "only the daemon whose work it is may ask for it"


class BadUse(ZosError):
    """No key is derived for this."""

    reason = "core0.bad_use"
    status = Status.INVALID_ARGUMENT
    text = "no key is derived for {use}; keys are for {known}"


class BadE2eKey(ZosError):
    """What a twin published as its encryption key is none."""

    reason = "core0.bad_e2e_key"
    status = Status.INVALID_ARGUMENT
    text = "the twin's encryption key ({size} bytes) is no secp256k1 key"
    hint = "the twin's owner writes a new one with his grid client"


class NotYourPart(ZosError):
    """A daemon's limits are for its own children."""

    reason = "core0.not_your_part"
    status = Status.PERMISSION_DENIED
    text = "process {pid} is no part of {caller}'s work"


class BadPart(ZosError):
    """The name cannot be in a control group's."""

    reason = "core0.bad_part"
    status = Status.INVALID_ARGUMENT
    text = "`{name}` names no part of a daemon's work: use up to 64 letters, digits and dashes"


class NoSuchUnit(ZosError):
    """No daemon of this name is supervised."""

    reason = "core0.no_such_unit"
    status = Status.NOT_FOUND
    text = "core-0 supervises no unit {name}"
    hint = "`zos units` lists them"
