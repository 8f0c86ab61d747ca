"""Errors of a chain and of the connection to it."""

from __future__ import annotations

from zos.errors import Status, ZosError


class ChainUnreachable(ZosError):
    """No answer: this says nothing about what is on the chain."""

    reason = "substrate.unreachable"
    status = Status.UNAVAILABLE
    text = "the chain at {url} cannot be reached: {problem}"
    hint = "check the URL and the network; it is tried again by itself"


class OtherChain(ChainUnreachable):
    """The endpoint serves another chain than before; its answers are not used."""

    reason = "substrate.other_chain"
    text = "{url} is another chain than before: {problem}"
    hint = "correct the URL; a node that shall move to another chain begins with an empty state folder of `chain`"


class Unreadable(ZosError):
    """Bytes that do not decode as the runtime's types."""

    reason = "substrate.unreadable"
    status = Status.UNAVAILABLE
    text = "{what} of spec {spec} cannot be decoded: {problem}"


class RpcFailed(ZosError):
    """The node answered a request with an error."""

    reason = "substrate.rpc_failed"
    status = Status.UNAVAILABLE
    text = "the chain answered {method} with error {code}: {problem}"


class StatePruned(RpcFailed):
    """The node no longer has the state of that block."""

    reason = "substrate.state_pruned"


class NotOnThisChain(ZosError):
    """The runtime has no such call, storage item or event."""

    reason = "substrate.not_on_this_chain"
    status = Status.FAILED_PRECONDITION
    text = "this chain (spec {spec}) has no {what}"


class MovedCall(ZosError):
    """The metadata has a call where TFChain has another; nothing is signed."""

    reason = "substrate.moved_call"
    status = Status.FAILED_PRECONDITION
    text = "the endpoint's metadata (spec {spec}) has {call} at {told}, and TFChain has it at {known}"
    hint = "the endpoint lies, or the chain is no TFChain or newer than this release; use another endpoint, or upgrade"


class BadValue(ZosError):
    """A value that the chain's types cannot hold."""

    reason = "substrate.bad_value"
    status = Status.INVALID_ARGUMENT
    text = "{what}: {problem}"


class Rejected(ZosError):
    """The transaction pool did not take an extrinsic."""

    reason = "substrate.rejected"
    status = Status.FAILED_PRECONDITION
    text = "the chain did not take {call}: {problem}"


class CannotPay(Rejected):
    """The account has not enough for the call's fee."""

    reason = "substrate.cannot_pay"
    text = "the account {address} cannot pay for {call}: {problem}"
    hint = "it needs TFT: `zos devchain fund {address} 100` in a lab, `zos twin create --activation URL` for its first"


class NotIncluded(ZosError):
    """An extrinsic was taken and is in no block yet; whether it will be is open."""

    reason = "substrate.not_included"
    status = Status.UNAVAILABLE
    text = "{call} was sent and is in no block after {deadline} s"


class CallFailed(ZosError):
    """The call is in a block and was refused by the runtime."""

    reason = "substrate.call_failed"
    status = Status.FAILED_PRECONDITION
    text = "{call} failed: {pallet}.{error}"

    @property
    def error(self) -> str:
        """The name of the error in the pallet's metadata."""
        return self.facts["error"]
