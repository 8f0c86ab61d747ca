"""How the chain says no: to a call (in the block) and to an extrinsic (at the pool)."""

from __future__ import annotations

from zos.errors import Status, ZosError


class Refusal(Exception):
    """A dispatch error: of a pallet by its error's name, or one of the runtime's own."""

    def __init__(self, pallet: str, error: str) -> None:
        super().__init__(f"{pallet}.{error}")
        self.pallet = pallet
        self.error = error


class Invalid(Exception):
    """The pool does not take an extrinsic: a JSON-RPC error."""

    def __init__(self, code: int, message: str, data: str = "") -> None:
        super().__init__(data or message)
        self.code = code
        self.message = message
        self.data = data


class OtherGeneration(ZosError):
    """A chain on disk cannot go on as another runtime: its values are laid out otherwise."""

    reason = "devchain.other_generation"
    status = Status.FAILED_PRECONDITION
    text = "this chain began as {kept} and cannot go on as {wanted}"
    hint = "give --generation {kept}, or another --data folder"


def outdated() -> Invalid:
    return Invalid(1010, "Invalid Transaction", "Transaction is outdated")


def bad_signature() -> Invalid:
    return Invalid(1010, "Invalid Transaction", "Transaction has a bad signature")


def cannot_pay() -> Invalid:
    text = "Inability to pay some fees (e.g. account balance too low)"
    return Invalid(1010, "Invalid Transaction", text)


def too_heavy() -> Invalid:
    return Invalid(1010, "Invalid Transaction", "Transaction would exhaust the block limits")


def malformed(why: object) -> Invalid:
    return Invalid(1002, "Verification Error: Runtime error", f"Could not decode the extrinsic: {why}")


def imported() -> Invalid:
    return Invalid(1013, "Transaction Already Imported", "")


def too_low() -> Invalid:
    return Invalid(1014, "Priority is too low", "the new transaction does not pay more than the one it would replace")
