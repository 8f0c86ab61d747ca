"""What rmb refuses its siblings."""

from zos.errors import Status, ZosError


class NoVault(ZosError):
    """The twin cannot be asked, or does not hand the document out."""

    reason = "rmb.no_vault"
    status = Status.UNAVAILABLE
    text = "twin {twin} does not hand out its deployment"
    hint = "its owner serves it with `zos vault serve`"
