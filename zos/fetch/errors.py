"""What goes wrong with fetches."""

from zos.errors import Status, ZosError


class FetchFailed(ZosError):
    """The other end does not answer, or not as it should."""

    reason = "fetch.failed"
    status = Status.UNAVAILABLE
    text = "{url}: {problem}"


class FetchForbidden(ZosError):
    """The policy does not let us connect there."""

    reason = "fetch.forbidden"
    status = Status.PERMISSION_DENIED
    text = "this node does not connect to {url}: {problem}"
    hint = "use a public address, or ask the farmer to add it to `allowed` in the node's configuration"
