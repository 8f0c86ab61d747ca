"""What storaged refuses."""

from zos.errors import Status, ZosError


class PoolFull(ZosError):
    """No pool can promise that much."""

    reason = "storaged.pool_full"
    status = Status.RESOURCE_EXHAUSTED
    text = "no {kind} pool has {need} left; the most that one pool has left is {gap}{kept}"
    hint = "ask for less, delete a disk or volume, or use a node with more {kind} storage"


class NoPool(ZosError):
    """The node has no pool of the kind."""

    reason = "storaged.no_pool"
    status = Status.RESOURCE_EXHAUSTED
    text = "this node has no usable {kind} pool{detail}"
    hint = "`zos pools` shows every device of the node and why it is not used"


class TooManySmall(ZosError):
    """Each costs the pool the same, however small it is."""

    reason = "storaged.too_many_small"
    status = Status.RESOURCE_EXHAUSTED
    text = (
        "each {kind} pool of the node has {most} disks and volumes below {least} already, and no more of those can be"
    )
    hint = "ask for {least} or more, or use another node"


class DiskFull(ZosError):
    """The file system had no space left, although it was promised."""

    reason = "storaged.disk_full"
    status = Status.RESOURCE_EXHAUSTED
    text = "pool {pool} has no space left to {action}"
    hint = "free space on the pool, or use another node"


class DiskShrink(ZosError):
    """Shrinking would cut off data."""

    reason = "storaged.disk_shrink"
    status = Status.FAILED_PRECONDITION
    text = "disk {id} has {have} and cannot shrink to {want}"
    hint = "make a smaller disk under another name and copy"


class VolumeShrink(ZosError):
    """Shrinking could leave no room for what is inside."""

    reason = "storaged.volume_shrink"
    status = Status.FAILED_PRECONDITION
    text = "volume {id} has {have} and cannot shrink to {want}"
    hint = "make a smaller volume under another name and copy"


class BadId(ZosError):
    """The id cannot name a file."""

    reason = "storaged.bad_id"
    status = Status.INVALID_ARGUMENT
    text = "`{id}` cannot be the id of a {kind}: {problem}"


class BadSize(ZosError):
    """The size is negative, zero, or more than any device has."""

    reason = "storaged.bad_size"
    status = Status.INVALID_ARGUMENT
    text = "{kind} {id}: a size of {size} bytes is {problem}"


class BadOwner(ZosError):
    """Volumes are guests' or a daemon's."""

    reason = "storaged.bad_owner"
    status = Status.INVALID_ARGUMENT
    text = "volume {id}: user {owner} is neither root nor a daemon that keeps something in volumes"


class NoSuchDisk(ZosError):
    """No disk of this id was asked for."""

    reason = "storaged.no_such_disk"
    status = Status.NOT_FOUND
    text = "there is no disk {id}"


class NoSuchVolume(ZosError):
    """No volume of this id was asked for."""

    reason = "storaged.no_such_volume"
    status = Status.NOT_FOUND
    text = "there is no volume {id}"


class NoSuchTombstone(ZosError):
    """Nothing dropped under this name is kept."""

    reason = "storaged.no_such_tombstone"
    status = Status.NOT_FOUND
    text = "nothing that was deleted as `{id}` is kept here"
    hint = "deleted data is kept for a limited time; `zos tombstones` lists what is left"


class AlreadyThere(ZosError):
    """Undeleting would replace something that lives."""

    reason = "storaged.already_there"
    status = Status.ALREADY_EXISTS
    text = "there is a {kind} {id} already"
    hint = "delete the new one first; it is kept too"


class NoEvidence(ZosError):
    """Nothing destroys tenant data without evidence."""

    reason = "storaged.no_evidence"
    status = Status.PERMISSION_DENIED
    text = "the {kind} {id} is kept: {problem}"
    hint = "a drop needs the contract and the finalized block at which its end was read, or the tenant's signed update"


class DiskHasData(ZosError):
    """A disk that is in use is never overwritten."""

    reason = "storaged.disk_has_data"
    status = Status.FAILED_PRECONDITION
    text = "disk {id} holds {holds} and is not overwritten with image {image}"
    hint = "use a new disk for another image"


class FillStopped(ZosError):
    """The copy was ended before its time, because the disk was dropped or the node stops."""

    reason = "storaged.fill_stopped"
    status = Status.ABORTED
    text = "the copy to disk {id} was stopped; the disk is still blank"


class ImageTooLarge(ZosError):
    """The image does not fit on the disk."""

    reason = "storaged.image_too_large"
    status = Status.FAILED_PRECONDITION
    text = "the image has {need}, disk {id} only {size}"
    hint = "ask for a disk of at least {need}"


class BadImage(ZosError):
    """The image cannot be read as a file of its root."""

    reason = "storaged.bad_image"
    status = Status.FAILED_PRECONDITION
    text = "`{source}` cannot be an image: {problem}"
    hint = "the flist must hold it as a regular file"


class PoolGone(ZosError):
    """The pool that holds the thing cannot be used now."""

    reason = "storaged.pool_gone"
    status = Status.UNAVAILABLE
    text = "{kind} {id} is on pool {pool}, which is {state}{detail}"
    hint = "the data is kept; it comes back with the pool's device"


class CacheGivesWay(ZosError):
    """There is room as soon as flistd has emptied a part of its cache."""

    reason = "storaged.cache_gives_way"
    status = Status.UNAVAILABLE
    text = "the cache on pool {pool} is being emptied to make room"
    hint = "ask again in some seconds"


class PoolAway(ZosError):
    """No pool that is ready has room, and another one may have it once it is ready."""

    reason = "storaged.pool_away"
    status = Status.UNAVAILABLE
    text = "{kind} {id} may have to wait for pool {pool}, which is {state}{detail}"
    hint = "it is made as soon as a pool has room"


class PoolShort(ZosError):
    """A pool has less free than it may promise: something fills it that nobody accounts for."""

    reason = "storaged.pool_short"
    status = Status.UNAVAILABLE
    text = "pool {pool} could promise {need}, but {lost} of it are taken by nothing that is known here"
    hint = "it is tried again; if it lasts, the farmer finds out what fills the pool (`btrfs filesystem usage`)"


class DataLost(ZosError):
    """What was made is not there any more; an empty one in its place would hide that."""

    reason = "storaged.data_lost"
    status = Status.FAILED_PRECONDITION
    text = "{kind} {id} was made on pool {pool} and is not there any more"
    hint = "drop it to begin with an empty one"


class NoCache(ZosError):
    """No pool carries the cache volume yet."""

    reason = "storaged.no_cache"
    status = Status.UNAVAILABLE
    text = "there is no cache volume: {problem}"


class Starting(ZosError):
    """The pools have not been looked at yet."""

    reason = "storaged.starting"
    status = Status.UNAVAILABLE
    text = "storaged has not found its pools yet{detail}"
    hint = "try again in a moment"


class DeviceRefused(ZosError):
    """A device or the kernel failed; nobody outside can help it, so it is tried again."""

    reason = "storaged.device_refused"
    status = Status.UNAVAILABLE
    text = "could not {action}: {problem}"
