"""What mycelium refuses."""

from zos.errors import Status, ZosError


class BadIdentity(ZosError):
    """A field of an identity is not valid."""

    reason = "mycelium.bad_identity"
    status = Status.INVALID_ARGUMENT
    text = "identity {identity}: {field} {problem}"


class KeyTaken(ZosError):
    """Two networks of this node ask for the same key."""

    reason = "mycelium.key_taken"
    status = Status.FAILED_PRECONDITION
    text = "the mycelium key of network {identity} is in use by network {other}"
    hint = "give each network a key of its own"


class NoMycelium(ZosError):
    """The node, or the network, is not in the overlay."""

    reason = "mycelium.no_mycelium"
    status = Status.FAILED_PRECONDITION
    text = "no mycelium address can be had here: {problem}"
    hint = "choose a node with the feature `mycelium`, and give the network a mycelium key"
