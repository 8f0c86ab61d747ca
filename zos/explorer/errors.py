"""What the explorer refuses, and why it cannot follow a chain."""

from __future__ import annotations

from zos.errors import Status, ZosError


class BadRequest(ZosError):
    """A query, a path or a body that means nothing here."""

    reason = "explorer.bad_request"
    status = Status.INVALID_ARGUMENT
    text = "{problem}"


class NotFound(ZosError):
    """There is no such thing; the words are those that clients know."""

    reason = "explorer.not_found"
    status = Status.NOT_FOUND
    text = "{what} not found"


class NodeSilent(ZosError):
    """Only the node itself knows, and it cannot be asked or did not answer."""

    reason = "explorer.node_silent"
    status = Status.INTERNAL
    text = "{problem}"


class Busy(ZosError):
    """More requests wait for the database than can be answered in time."""

    reason = "explorer.busy"
    status = Status.UNAVAILABLE
    text = "too many requests wait for an answer"
    hint = "try again in a moment"


class TooLong(ZosError):
    """The database gave up on a query, so that others get their answers."""

    reason = "explorer.too_long"
    status = Status.UNAVAILABLE
    text = "the question takes longer than {seconds} s to answer"
    hint = "ask for less at a time"


class NoDatabase(ZosError):
    """The database cannot be reached, or is of no use, for now."""

    reason = "explorer.no_database"
    status = Status.UNAVAILABLE
    text = "the database does not answer"
    hint = "try again in a moment"


class BadDatabase(ZosError):
    """The database cannot be used."""

    reason = "explorer.bad_database"
    status = Status.FAILED_PRECONDITION
    text = "the database {url} cannot be used: {problem}"
    hint = "give a file, or postgresql://user@host/name (the password by PGPASSWORD or ~/.pgpass)"


class AnotherChain(ZosError):
    """The database holds what another chain said."""

    reason = "explorer.another_chain"
    status = Status.FAILED_PRECONDITION
    text = "the database follows the chain {had}, and {url} is the chain {found}"
    hint = "give this chain a database of its own"


class ChainDoubtful(ZosError):
    """The chain's answers cannot be true: nothing is concluded from them."""

    reason = "explorer.chain_doubtful"
    status = Status.UNAVAILABLE
    text = "what the chain at {url} says of block {block} is not believed: {problem}"
