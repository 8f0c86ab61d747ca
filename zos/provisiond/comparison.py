"""Holds a document against its contract and its signatures: from then on it is in force, or refused, or it waits."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from zos.chain.api import ChainBehind, NodeContract, NoSuchContract, NoSuchTwin, NotANodeContract
from zos.chain.api.types import ContractState
from zos.errors import ZosError
from zos.model.deployment import Deployment, decode
from zos.model.signing import BadSignature, signers
from zos.provisiond import admission, lifecycle, store
from zos.provisiond.admission import Document
from zos.provisiond.api.errors import NotYet, Unproven, WrongContract
from zos.provisiond.contracts import STRANGE
from zos.provisiond.host import NodeAccess
from zos.provisiond.lifecycle import Moved
from zos.provisiond.model import Incoming, Record
from zos.provisiond.reporter import registered
from zos.provisiond.specs import Specs
from zos.provisiond.store import DeploymentStore

log = logging.getLogger("zos.provisiond")

SETTLED = 10
"""Blocks after which a call that a reorganisation took back has come again, or never will."""
LAG = 20
"""Seconds for which the chain's endpoint may be behind the one that a client changed its contract through."""


class Comparison:
    """Compares what is incoming, and remembers what it needs for that until it is over.

    `on_other` is called with a contract that carries another document than the one that came.
    """

    def __init__(self, host: NodeAccess, store: DeploymentStore, specs: Specs, on_other: Callable[[int], None]) -> None:
        self._host = host
        self._store = store
        self._specs = specs
        self._on_other = on_other
        self._documents: dict[int, tuple[Incoming, Document]] = {}
        """Of what is incoming, so that it is not parsed and hashed again."""
        self._shown: dict[int, tuple[Incoming, int]] = {}
        """Incoming documents whose contract carried them in a block that was not final yet, and its number."""

    def remember(self, record: Record, read: Document) -> None:
        """This is what the record's incoming document says."""
        if record.incoming is not None:
            self._documents[record.contract] = record.incoming, read

    def forget(self, contract: int) -> None:
        """Its document is compared, or nobody asks for it any more."""
        self._documents.pop(contract, None)
        self._shown.pop(contract, None)

    async def compare(self, record: Record, incoming: Incoming) -> Record | None:
        """Hold a document against its contract and its signatures; from then on it is in force, or refused."""
        read = self._document(record.contract, incoming)
        began = time.monotonic()
        try:
            verdict: NodeContract | ZosError = await self._proven(record, incoming, read)
        except (NoSuchContract, NotANodeContract, WrongContract, Unproven, BadSignature) as err:
            verdict = err
        except NoSuchTwin as err:
            if self._is_younger(incoming, LAG):
                raise NotYet(what=str(err)) from None
            verdict = err
        except ChainBehind as err:
            if record.block or self._is_younger(incoming, STRANGE):
                raise
            verdict = err
        now = self._store.get(record.contract)
        if now is None or now.incoming is not incoming:
            return now  # it ended meanwhile, or another document was sent and is compared next
        self.forget(record.contract)
        if isinstance(verdict, WrongContract):
            self._on_other(record.contract)
        if isinstance(verdict, ZosError):
            return self._refuse(record.contract, read.deployment, verdict)
        return self._put_in_force(read, verdict, time.monotonic() - began)

    async def check_signatures(self, read: Document, record: Record | None) -> None:
        """Ask the chain for the keys of those who must have signed, and check; raises BadSignature or NoSuchTwin."""
        keys, stored = {}, admission.in_force(record)
        for twin in signers(read.deployment, stored):
            keys[twin] = (await self._host.chain.twin(twin)).account
        admission.signed(read, keys, stored)

    async def _proven(self, record: Record, incoming: Incoming, read: Document) -> NodeContract:
        """The contract that carries the document, once all that it needs for what it does is proven."""
        contract = await self._carrying(record, read, await registered(self._host.chain))
        if not admission.is_named(incoming, contract) and not incoming.signed:
            admission.adds_only(read.deployment, record, self._specs)
        # Another document may have come into force since it was sent, or this daemon may have started again.
        rule = admission.in_force(record)
        if rule not in read.satisfied and (rule is not None or not incoming.signed):
            await self.check_signatures(read, record)
        return contract

    def _put_in_force(self, read: Document, contract: NodeContract, took: float) -> Record:
        text = f"hash and signatures hold (contract read at finalized block {contract.at.number})"
        entry = self._store.entry("admission", text, took)

        def put_in_force(now: Record) -> Moved:
            moved = lifecycle.put_in_force(
                now,
                read.deployment,
                hash=contract.deployment_hash,
                block=contract.at.number,
                paid=contract.state is not ContractState.GRACE,
                now=self._store.now(),
            )
            return Moved(moved.record.noted(entry), moved.log)

        return self._store.change(contract.id, put_in_force)

    def _refuse(self, contract: int, deployment: Deployment, err: ZosError) -> Record:
        text = err.explain()
        log.info("contract %d: version %d is refused: %s", contract, deployment.version, text)
        entry = self._store.entry("admission", text)

        def refused(now: Record) -> Moved:
            moved = lifecycle.refused(now, deployment, text, self._store.now())
            return Moved(moved.record.noted(entry), moved.log)

        record = self._store.change(contract, refused)
        self._store.publish(store.refused(record))
        return record

    def _document(self, contract: int, incoming: Incoming) -> Document:
        known = self._documents.get(contract)
        if known is not None and known[0] is incoming:
            return known[1]
        return Document(decode(incoming.document), self._specs.types, incoming.digests)

    async def _carrying(self, record: Record, read: Document, node: int) -> NodeContract:
        id = read.deployment.contract_id
        contract = await self._host.chain.contract(id)
        try:
            admission.carried(read, contract, node)
        except WrongContract as err:
            best = await self._host.chain.contract(id, best=True)
            try:
                self._not_final(err, record, read, contract, best, node)
            except WrongContract:
                if self._may_lag(record):
                    raise NotYet(what=f"the chain does not show a change of contract {id} yet") from None
                raise
        return contract

    def _not_final(
        self,
        problem: WrongContract,
        record: Record,
        read: Document,
        contract: NodeContract,
        best: NodeContract,
        node: int,
    ) -> None:
        """Raise NotYet while the document is, or lately was, in blocks that are not final; else the problem stands."""
        try:
            admission.not_final(problem, read, best, node)
        except NotYet:
            if record.incoming is not None:
                self._shown[record.contract] = record.incoming, best.at.number
            raise
        except WrongContract:
            shown, block = self._shown.get(record.contract, (None, 0))
            if shown is record.incoming and contract.at.number < block + SETTLED:
                raise NotYet(
                    what=f"block {block} with the change of contract {record.contract} was taken back"
                ) from None
            raise

    def _may_lag(self, record: Record) -> bool:
        """An update that was just sent: our endpoint perhaps shows what runs, or a version between, for a while yet."""
        return bool(record.hash and record.incoming is not None and self._is_younger(record.incoming, LAG))

    def _is_younger(self, incoming: Incoming, seconds: int) -> bool:
        # A clock that was set back must not make it young for ever.
        return 0 <= self._store.now() - incoming.at < seconds
