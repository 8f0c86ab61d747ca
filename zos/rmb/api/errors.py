"""What rmb refuses its siblings."""

from zos.errors import Status, ZosError


class NoVault(ZosError):
    """The twin cannot be asked, or does not hand the document out."""

    reason = "rmb.no_vault"
    status = Status.UNAVAILABLE
    text = "twin {twin} does not hand out its deployment"
    hint = "its owner serves it with `zos vault serve`"


class NotForUs(ZosError):
    """A sealed document that the node's key does not open."""

    reason = "rmb.not_for_us"
    status = Status.PERMISSION_DENIED
    text = "the document is sealed for another node, or damaged"
    hint = "deploy again: `zos deploy` seals for the key that the node's twin has on the chain"
