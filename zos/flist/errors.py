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


class StoreUnreachable(ZosError):
    """A hub or block store does not answer as it should."""

    reason = "flist.store_unreachable"
    status = Status.UNAVAILABLE
    text = "{url}: {problem}"


class StoreForbidden(ZosError):
    """A flist may not send the node anywhere it likes."""

    reason = "flist.store_forbidden"
    status = Status.PERMISSION_DENIED
    text = "this node does not connect to {url}: {problem}"
    hint = "use a public address, or ask the farmer to add it to `allowed` of [flistd]"


class BadSource(ZosError):
    """What should become a flist cannot."""

    reason = "flist.bad_source"
    status = Status.INVALID_ARGUMENT
    text = "{source}: {problem}"
