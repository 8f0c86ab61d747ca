"""What flistd refuses, beside what zos.flist does."""

from zos.errors import Status, ZosError


class BadMount(ZosError):
    """The request cannot be a mount."""

    reason = "flistd.bad_mount"
    status = Status.INVALID_ARGUMENT
    text = "mount {mount}: {field} {problem}"


class FlistUnreachable(ZosError):
    """The flist cannot be fetched now, and this node has no copy."""

    reason = "flistd.flist_unreachable"
    status = Status.UNAVAILABLE
    text = "the flist {url} cannot be fetched: {problem}"
    hint = "the node goes on trying; check that the URL can be reached from the node"


class NoSuchFlist(ZosError):
    """The server says that there is none, or that it is not for us; and this node has no copy."""

    reason = "flistd.no_such_flist"
    status = Status.NOT_FOUND
    text = "there is no flist at {url}: the server answers {status}"
    hint = "check the URL of the flist"


class FlistMismatch(ZosError):
    """What lies at the URL is not what was asked for."""

    reason = "flistd.flist_mismatch"
    status = Status.FAILED_PRECONDITION
    text = "the flist at {url} has the hash {found}, not {expected}"
    hint = "give the hash of the flist that lies there now"


class NoRoom(ZosError):
    """The cache has no room for the flist, with all that is in use."""

    reason = "flistd.no_room"
    status = Status.RESOURCE_EXHAUSTED
    text = "there is no room for the flist {url} on this node: {problem}"
    hint = "try again later, or take another node"


class CacheAway(ZosError):
    """The volume that flists are kept on is not mounted; what would be written there would lie on the system's disk."""

    reason = "flistd.cache_away"
    status = Status.UNAVAILABLE
    text = "the cache volume is not mounted on {path}"
    hint = "storaged mounts it with its pool; `zos pools` on the node says what keeps it"


class MountFailed(ZosError):
    """The node itself could not do it; it is tried again."""

    reason = "flistd.mount_failed"
    status = Status.UNAVAILABLE
    text = "could not {action}: {problem}"
