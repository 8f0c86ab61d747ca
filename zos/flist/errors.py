"""What goes wrong with flists and their blocks."""

from zos.errors import Status, ZosError


class FlistBroken(ZosError):
    """The file is no flist, or one that cannot be."""

    reason = "flist.broken"
    status = Status.FAILED_PRECONDITION
    text = "{flist} is no usable flist: {problem}"
    hint = "make the flist again, or choose another one"


class BlockCorrupt(ZosError):
    """What a store gave is not what the flist names."""

    reason = "flist.block_corrupt"
    status = Status.FAILED_PRECONDITION
    text = "block {block} is not what the flist says: {problem}"
    hint = "the flist's block store is damaged; upload the flist's blocks again"


class BlockMissing(ZosError):
    """Every store of the flist has said that it has no such block: waiting changes nothing."""

    reason = "flist.block_missing"
    status = Status.FAILED_PRECONDITION
    text = "no block store of the flist has block {block}"
    hint = "upload the flist's blocks again"


class StoreRefused(ZosError):
    """A store answers, and does not let us read."""

    reason = "flist.store_refused"
    status = Status.FAILED_PRECONDITION
    text = "{url} refuses: {problem}"
    hint = "look at the user, password and namespace in the flist's routes"


class BadSource(ZosError):
    """What should become a flist cannot."""

    reason = "flist.bad_source"
    status = Status.INVALID_ARGUMENT
    text = "{source}: {problem}"
