"""Errors of the explorer."""

from __future__ import annotations

from zos.errors import Status, ZosError


class BadRequest(ZosError):
    """A parameter, a path or a body that cannot be understood."""

    reason = "explorer.bad_request"
    status = Status.INVALID_ARGUMENT
    text = "{problem}"


class NotFound(ZosError):
    """The entity does not exist; clients know the text."""

    reason = "explorer.not_found"
    status = Status.NOT_FOUND
    text = "{what} not found"


class NodeSilent(ZosError):
    """Only the node knows the answer, and it cannot be asked or did not answer."""

    reason = "explorer.node_silent"
    status = Status.INTERNAL
    text = "{problem}"


class Busy(ZosError):
    """Too many requests wait for the database."""

    reason = "explorer.busy"
    status = Status.UNAVAILABLE
    text = "too many requests wait for an answer"
    hint = "try again in a moment"


class TooLong(ZosError):
    """The database cancelled a query at its deadline."""

    reason = "explorer.too_long"
    status = Status.UNAVAILABLE
    text = "the query takes longer than {seconds} s to answer"
    hint = "ask for less at a time"


class NoDatabase(ZosError):
    reason = "explorer.no_database"
    status = Status.UNAVAILABLE
    text = "the database does not answer"
    hint = "try again in a moment"


class BadDatabase(ZosError):
    reason = "explorer.bad_database"
    status = Status.FAILED_PRECONDITION
    text = "the database {url} cannot be used: {problem}"
    hint = "give a file, or postgresql://user@host/name (the password by PGPASSWORD or ~/.pgpass)"


class AnotherChain(ZosError):
    reason = "explorer.another_chain"
    status = Status.FAILED_PRECONDITION
    text = "the database follows the chain {had}, and {url} is the chain {found}"
    hint = "give this chain a database of its own"


class ImplausibleAnswer(ZosError):
    """An answer of the chain's RPC node that cannot be true; the database stays as it is."""

    reason = "explorer.implausible_answer"
    status = Status.UNAVAILABLE
    text = "the chain at {url} gives a doubtful answer about block {block}: {problem}"
