"""Asks the chain daemon whether what a caller says about a contract is so: a drop is no caller's word alone."""

from __future__ import annotations

from zos.bus.client import Bus
from zos.chain.api import ChainBehind, ChainClient, ContractState, NoSuchContract
from zos.model.evidence import Evidence, EvidenceKind
from zos.model.names import origin
from zos.storaged.api.errors import NoEvidence
from zos.storaged.api.types import Kind

OVER = (ContractState.DELETED_CANCELED, ContractState.DELETED_OUT_OF_FUNDS)


class Witness:
    """Evidence as the chain confirms it."""

    def __init__(self, bus: Bus) -> None:
        self._chain = ChainClient(bus)

    async def confirm(self, kind: Kind, id: str, evidence: Evidence) -> None:
        """Refuse evidence about another contract than the one that the data belongs to, or about one that lives.

        A chain that does not answer, or stands before the block of the evidence, is no answer: the caller asks again.
        That a tenant signed an update, or that nobody used what was made, is provisiond's word: nobody else has the
        signed document, or knows how far a making came.
        """
        if evidence.contract != _contract(id):
            raise NoEvidence(kind=kind, id=id, problem=f"it is not of contract {evidence.contract}")
        if evidence.kind is not EvidenceKind.CONTRACT_CANCELLED:
            return
        try:
            contract = await self._chain.contract(evidence.contract)
        except NoSuchContract as gone:
            if gone.block >= evidence.block:
                return
            raise ChainBehind(contract=evidence.contract, block=gone.block) from None
        if contract.state in OVER:
            return
        if contract.at.number < evidence.block:
            raise ChainBehind(contract=evidence.contract, block=contract.at.number)
        problem = f"contract {evidence.contract} is {contract.state} at block {contract.at.number}"
        raise NoEvidence(kind=kind, id=id, problem=problem)


def _contract(id: str) -> int:
    found = origin(id)
    return found[1] if found else 0
