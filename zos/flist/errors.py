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
    """No store of the flist has the block."""

    reason = "flist.block_missing"
    status = Status.UNAVAILABLE
    text = "no block store of the flist has block {block}"
    hint = "upload the flist's blocks again"


class BadSource(ZosError):
    """What should become a flist cannot."""

    reason = "flist.bad_source"
    status = Status.INVALID_ARGUMENT
    text = "{source}: {problem}"
