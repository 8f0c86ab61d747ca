"""What a generation of the chain's runtime is: how it stores, what it is called, what it tells clients of itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from zos.scale.pallet import Pallet
from zos.scale.reader import compact
from zos.scale.types import TEXT, Type

SPEC_NAME = "substrate-threefold"
WEIGHT = 100_000_000
CORE, METADATA, BUILDER = "0xdf6acb689907609b", "0x37e397fc7c91f5e4", "0x40fe3ad401f8959a"
QUEUE, NONCE, PAYMENT = "0xd2bc9897eed08f15", "0xbc9d89904f5b923f", "0x37c8bb1350a9a2a8"
APIS = ((CORE, 4), (METADATA, 1), (BUILDER, 6), (QUEUE, 3), (NONCE, 1), (PAYMENT, 3))
OLD_APIS = ((CORE, 3), (METADATA, 1), (BUILDER, 4), (QUEUE, 2), (NONCE, 1), (PAYMENT, 1))


@dataclass(frozen=True, slots=True, eq=False)
class Generation:
    """A runtime as clients meet it. The pallets' code is the same in all, and speaks as spec 145."""

    name: str
    spec: int
    transaction: int
    stored: Mapping[str, Pallet]
    """How values lie in the storage. Its types take and give the values of spec 145."""
    call: Type
    """All calls, as clients encode them."""
    metadata: bytes
    timestamp: int
    """Index of the Timestamp pallet, whose call begins each block."""
    weighs_in_two: bool = True
    """Weights are of time and of proof; once they were one number."""
    apis: tuple[tuple[str, int], ...] = APIS
    """The runtime's interfaces and their versions."""
    modern: Callable[[Any], Any] = lambda call: call
    """A decoded call as the pallets have it."""

    @property
    def version(self) -> dict[str, Any]:
        """The answer of `state_getRuntimeVersion`."""
        return {
            "specName": SPEC_NAME,
            "implName": SPEC_NAME,
            "authoringVersion": 1,
            "specVersion": self.spec,
            "implVersion": 1,
            "apis": [list(one) for one in self.apis],
            "transactionVersion": self.transaction,
            "stateVersion": 0,
        }

    @property
    def versions(self) -> bytes:
        """Spec and transaction version, as they are signed."""
        return self.spec.to_bytes(4, "little") + self.transaction.to_bytes(4, "little")

    @property
    def weight(self) -> Any:
        """What the devchain says of any call's weight."""
        return {"ref_time": WEIGHT, "proof_size": 0} if self.weighs_in_two else WEIGHT

    def encoded_version(self) -> bytes:
        """The version as the runtime itself encodes it."""
        apis = b"".join(bytes.fromhex(name[2:]) + version.to_bytes(4, "little") for name, version in self.apis)
        name = TEXT.encode(SPEC_NAME)
        head = name + name + b"".join(number.to_bytes(4, "little") for number in (1, self.spec, 1))
        tail = b"\0" if self.weighs_in_two else b""
        return head + compact(len(self.apis)) + apis + self.transaction.to_bytes(4, "little") + tail

    def price(self, fee: int) -> bytes:
        """What the payment interface answers: weight, class Normal, and the fee."""
        weight = compact(WEIGHT) + compact(0) if self.weighs_in_two else WEIGHT.to_bytes(8, "little")
        return weight + b"\0" + fee.to_bytes(16, "little")
