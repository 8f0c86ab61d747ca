"""Brings one signed call into a block, exactly once: through lost connections, reorganisations and rivals.

The same bytes can take effect only once (the nonce), and not for ever (the era). So while the outcome is open,
they are searched in the blocks and sent again unchanged; a new signature is made only when they can have no effect any
more.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zos.substrate.endpoints import Block, Endpoints
from zos.substrate.errors import CannotPay, ChainUnreachable, Rejected, RpcFailed
from zos.substrate.keys import Key, address
from zos.substrate.rpc import Rpc
from zos.substrate.runtime import Era

log = logging.getLogger("zos.substrate")

PERIOD = 64
TRIES = 6
OUTDATED = ("outdated", "stale", "nonce", "ancient birth")
KNOWN, BANNED, RIVAL, INVALID = "1013", "1012", "1014", "1010"


@dataclass(slots=True)
class Signed:
    """A signed call on its way."""

    name: str
    text: str
    """The extrinsic, 0x…"""
    account: bytes
    nonce: int
    birth: int
    searched: int = 0
    """Blocks up to this number do not hold it."""
    refused: str = ""
    """Why the pool did not take it, in a way that a new signature may cure."""


class Submitter:
    """Submits to one chain. After `quiet` seconds without news it searches the blocks itself."""

    def __init__(self, endpoints: Endpoints, quiet: float = 15.0) -> None:
        self._endpoints = endpoints
        self.quiet = quiet

    async def place(self, name: str, call: bytes, key: Key) -> tuple[Block, str]:
        """The block that holds the call, and the extrinsic. The caller cancels it when time is over."""
        why = ""
        for _ in range(TRIES):
            signed = await self._sign(name, call, key)
            block = await self._include(signed)
            if block is not None:
                return block, signed.text
            why = signed.refused or "its place was taken"
            log.info("%s is signed anew: %s", name, why)
            await asyncio.sleep(min(0.5, self.quiet))
        raise Rejected(call=name, problem=why)

    async def is_on_best_chain(self, block: Block) -> bool:
        """Whether a block is on the best chain."""
        return bool(await self._endpoints.call("chain_getBlockHash", block.number) == block.hash)

    async def resubmit(self, name: str, text: str, block: Block) -> Block | None:
        """Where an extrinsic is after its block was taken back; it is sent again if nowhere."""
        signed = Signed(name, text, b"", -1, block.number, searched=max(0, block.number - 1))
        return await self._look(signed) or await self._send(signed)

    async def _sign(self, name: str, call: bytes, key: Key) -> Signed:
        rpc = await self._endpoints.rpc()
        runtime = await self._endpoints.runtime()
        nonce = int(await rpc.call("system_accountNextIndex", address(key.public)))
        birth = await self._birth(rpc)
        extra = runtime.unsigned_part(Era(PERIOD, birth.number), nonce)
        payload = runtime.whole_payload(call, extra, self._endpoints.genesis, bytes.fromhex(birth.hash[2:]))
        extrinsic = runtime.extrinsic(call, extra, key.public, key.kind, await key.sign_call(payload))
        return Signed(name, "0x" + extrinsic.hex(), key.public, nonce, birth.number, searched=birth.number)

    @staticmethod
    async def _birth(rpc: Rpc) -> Block:
        """Where a call's validity begins: a final block, by the hash that the chain has under its number."""
        header = await rpc.call("chain_getHeader", await rpc.call("chain_getFinalizedHead"))
        number = int(header["number"], 16)
        return Block(number, str(await rpc.call("chain_getBlockHash", number)))

    async def _include(self, signed: Signed) -> Block | None:
        """The block; None when these bytes can have no effect any more."""
        while True:
            try:
                block = await self._send(signed)
                if block is None:
                    block = await self._resolve(signed)
            except ChainUnreachable as err:
                log.info("%s: %s; its outcome is looked up when the chain is back", signed.name, err)
                await asyncio.sleep(min(1.0, self.quiet))
                continue
            if block is not None:
                return block if block.hash else None

    async def _resolve(self, signed: Signed) -> Block | None:
        """The block that holds it; one without hash when none ever will; None when that is open."""
        # The nonce is read before the blocks: a block made in between is then looked at, too.
        nonce = await self._nonce(signed.account)
        final = await self._header(str(await self._endpoints.call("chain_getFinalizedHead")))
        found = await self._look(signed)
        if found is not None:
            return found
        if nonce > signed.nonce or final >= signed.birth + PERIOD or signed.refused:
            return Block(0, "")
        await asyncio.sleep(min(1.0, self.quiet))
        return None

    async def _nonce(self, account: bytes) -> int:
        runtime = await self._endpoints.runtime()
        key = "0x" + runtime.key("System", "Account", account).hex()
        raw = await self._endpoints.call("state_getStorage", key)
        value = runtime.value("System", "Account", bytes.fromhex(raw[2:]) if raw else None)
        return int(value["nonce"])

    async def _header(self, hash: str) -> int:
        header = await self._endpoints.call("chain_getHeader", hash)
        return int(header["number"], 16) if header else 0

    async def _look(self, signed: Signed) -> Block | None:
        """Search the blocks made since it was signed."""
        head = await self._header(str(await self._endpoints.call("chain_getBlockHash")))
        for number in range(signed.searched + 1, min(head, signed.birth + PERIOD) + 1):
            hash = await self._endpoints.call("chain_getBlockHash", number)
            if hash is None:
                break
            block = await self._endpoints.call("chain_getBlock", hash)
            if block and signed.text in block["block"]["extrinsics"]:
                return Block(number, str(hash))
        return None

    async def _send(self, signed: Signed) -> Block | None:
        """Hand it to the pool and follow its status; None when the outcome is open."""
        rpc = await self._endpoints.rpc()
        try:
            async with rpc.subscribed(
                "author_submitAndWatchExtrinsic", signed.text, end="author_unwatchExtrinsic"
            ) as statuses:
                return await self._listen(statuses, signed)
        except RpcFailed as err:
            await self._check_refusal(err, rpc, signed)
            return None

    async def _listen(self, statuses: asyncio.Queue[Any], signed: Signed) -> Block | None:
        while True:
            try:
                async with asyncio.timeout(self.quiet):
                    status = await statuses.get()
            except TimeoutError:
                return None
            if isinstance(status, Mapping):
                word, content = next(iter(status.items()))
                if word in ("inBlock", "finalized"):
                    return await self._holding(str(content), signed)
                status = word
            if status is None or status in ("usurped", "dropped", "invalid", "finalityTimeout"):
                if status in ("dropped", "invalid"):
                    signed.refused = f"the pool says {status}"
                return None
            # ready, future, broadcast; retracted: it is in the pool again.

    async def _holding(self, hash: str, signed: Signed) -> Block | None:
        """The block, if it does hold what the pool says it holds."""
        answer = await self._endpoints.call("chain_getBlock", hash)
        if not answer or signed.text not in answer["block"]["extrinsics"]:
            return None
        return Block(int(answer["block"]["header"]["number"], 16), hash)

    async def _check_refusal(self, err: RpcFailed, rpc: Rpc, signed: Signed) -> None:
        """Tell apart refusals by the pool: known already, to be signed anew, or final (raises Rejected)."""
        code, problem = err.facts["code"], err.facts["problem"]
        if code == KNOWN:
            await asyncio.sleep(min(0.5, self.quiet))
        elif code in (BANNED, RIVAL) or any(word in problem.lower() for word in OUTDATED):
            signed.refused = problem
        elif code == INVALID and "bad signature" in problem.lower() and await self._endpoints.refresh_runtime(rpc):
            signed.refused = "the runtime was upgraded"
        elif "inability to pay" in problem.lower():
            raise CannotPay(call=signed.name, problem=problem, address=address(signed.account)) from None
        else:
            raise Rejected(call=signed.name, problem=problem) from None
