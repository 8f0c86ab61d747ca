"""What zdbd refuses."""

from zos.errors import Status, ZosError


class BadNamespace(ZosError):
    """A field of a namespace is not valid."""

    reason = "zdbd.bad_namespace"
    status = Status.INVALID_ARGUMENT
    text = "namespace {id}: {field} {problem}"


class ModeChange(ZosError):
    """The files of the two modes are not the same."""

    reason = "zdbd.mode_change"
    status = Status.FAILED_PRECONDITION
    text = "namespace {id} is of mode {have}, and a mode cannot change"
    hint = "make another namespace and copy"


class NoPort(ZosError):
    """More disks serve namespaces than there are ports for."""

    reason = "zdbd.no_port"
    status = Status.RESOURCE_EXHAUSTED
    text = "the node has no port left for another disk's 0-db"
    hint = "use another node"


class TooManyNamespaces(ZosError):
    """Each costs memory and a descriptor, however small it is."""

    reason = "zdbd.too_many_namespaces"
    status = Status.RESOURCE_EXHAUSTED
    text = "the disk of pool {pool} has {most} namespaces, and no more can be"
    hint = "use another node, or fewer and larger namespaces"


class NoAddress(ZosError):
    """Nobody could reach the namespace."""

    reason = "zdbd.no_address"
    status = Status.UNAVAILABLE
    text = "the node waits for its {missing} address, by which its 0-db is reached"
    hint = "`zos lab status`, or the journal of networkd and mycelium, says what they wait for"


class NotServed(ZosError):
    """A namespace that was asked for is not served now."""

    reason = "zdbd.not_served"
    status = Status.UNAVAILABLE
    text = "namespace {id} is not served: {problem}"
    hint = "its data is kept, and it is tried again"


class ServerFailed(ZosError):
    """The process of a disk ended, or does not answer."""

    reason = "zdbd.server_failed"
    status = Status.UNAVAILABLE
    text = "the 0-db of pool {pool} {problem}"
    hint = "it is started again; the journal of zdbd says more"
