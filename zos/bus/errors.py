"""How an error crosses the bus: a ZosError becomes a gRPC status with google.rpc.ErrorInfo, and the same class again.

What is not a ZosError is our bug: the caller gets an incident id, the journal gets the traceback.
"""

from __future__ import annotations

import itertools
import uuid
from typing import Any

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from zos.errors import Status, ZosError

DOMAIN = "zos"
_DETAILS = "grpc-status-details-bin"


class Unreachable(ZosError):
    """The daemon's socket does not answer: it is starting, restarting or gone."""

    reason = "bus.unreachable"
    status = Status.UNAVAILABLE
    text = "{daemon} does not answer on {socket}"
    hint = "core-0 restarts it by itself; `zos units` shows why it is down"


class TooSlow(ZosError):
    """The daemon did not answer within the call's deadline."""

    reason = "bus.too_slow"
    status = Status.DEADLINE_EXCEEDED
    text = "{daemon} did not finish {call} within {deadline} s"
    hint = "the request is kept and tried again"


class Incident(ZosError):
    """A bug of ours on the other side."""

    reason = "bus.incident"
    status = Status.INTERNAL
    text = "{daemon} failed on a bug of ours (incident {incident})"
    hint = "look for the incident id in the journal of {daemon}"


class PermissionDenied(ZosError):
    """The caller is not one who calls this."""

    reason = "bus.permission_denied"
    status = Status.PERMISSION_DENIED
    text = "{caller} may not call {method}"
    hint = "`zos/runtime/calls.py` says who may call what; nobody but root may call all"


class Unknown(ZosError):
    """An error class that this side does not know: a newer peer's, or one whose module is not imported here."""

    reason = "bus.unknown"
    status = Status.FAILED_PRECONDITION
    text = "{detail}"


class UnknownForNow(Unknown):
    """The same, and its status says that it may pass."""

    status = Status.UNAVAILABLE


class UnknownNoRoom(Unknown):
    """The same, and its status says that something is used up."""

    status = Status.RESOURCE_EXHAUSTED


_UNKNOWN: dict[Status, type[Unknown]] = {
    Status.RESOURCE_EXHAUSTED: UnknownNoRoom,
    Status.UNAVAILABLE: UnknownForNow,
    Status.DEADLINE_EXCEEDED: UnknownForNow,
    Status.ABORTED: UnknownForNow,
}


def new_incident() -> str:
    """An id short enough to read aloud."""
    return uuid.uuid4().hex[:12]


def code_of(status: Status) -> grpc.StatusCode:
    """gRPC's code for our status word."""
    return getattr(grpc.StatusCode, status.value)


def details_of(err: ZosError) -> tuple[tuple[str, bytes], ...]:
    """Trailing metadata that carries the error's reason, facts and causes."""
    infos = []
    for part in err.chain():
        known = part if isinstance(part, ZosError) else Unknown(detail=str(part) or type(part).__name__)
        info = error_details_pb2.ErrorInfo(reason=known.reason, domain=DOMAIN, metadata=known.facts)
        packed = any_pb2.Any()
        packed.Pack(info)
        infos.append(packed)
    rich = status_pb2.Status(code=code_of(err.status).value[0], message=str(err), details=infos)
    return ((_DETAILS, rich.SerializeToString()),)


def from_rpc(err: Any, daemon: str, call: str, socket: str, deadline: float | None) -> ZosError:
    """The error that the other side raised, as the same class, its causes attached."""
    for key, value in err.trailing_metadata() or ():
        if key == _DETAILS:
            return _rebuild(value)
    code = err.code()
    if code == grpc.StatusCode.UNAVAILABLE:
        return Unreachable(daemon=daemon, socket=socket)
    if code in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED):
        return TooSlow(daemon=daemon, call=call, deadline=deadline)
    if code == grpc.StatusCode.UNIMPLEMENTED:
        return Unknown(detail=f"{daemon} has no call {call}")
    return Incident(daemon=daemon, incident=err.details())


def _rebuild(raw: bytes) -> ZosError:
    rich = status_pb2.Status.FromString(raw)
    chain: list[ZosError] = []
    for packed in rich.details:
        info = error_details_pb2.ErrorInfo()
        packed.Unpack(info)
        facts = dict(info.metadata)
        if chain:
            message = ", ".join(facts.values()) or info.reason
            chain.append(_instance(info.reason, facts, message, Status.FAILED_PRECONDITION))
        else:
            # The message and the status are this, the outermost part's.
            chain.append(_instance(info.reason, facts, rich.message, _status(rich.code)))
    for outer, inner in itertools.pairwise(chain):
        outer.__cause__ = inner
    return chain[0] if chain else Unknown(detail=rich.message)


def _status(code: int) -> Status:
    return next((status for status in Status if code_of(status).value[0] == code), Status.FAILED_PRECONDITION)


def _instance(reason: str, facts: dict[str, str], message: str, status: Status) -> ZosError:
    """The error as its class, or as what this process knows of it: a class exists only where its module is imported."""
    cls = ZosError.known.get(reason)
    return cls(**facts) if cls else _UNKNOWN.get(status, Unknown)(detail=facts.get("detail", message))
