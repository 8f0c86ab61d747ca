"""The JSON-RPC methods, by name."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

from zos.devchain.block import Block
from zos.devchain.errors import Invalid
from zos.devchain.farming import rewards
from zos.devchain.jsonrpc import (
    LARGEST_ANSWER,
    account_of,
    bad_params,
    bytes_of,
    header,
    maybe_text,
    text_of,
    too_large,
)
from zos.devchain.minting import LENGTH, Period
from zos.devchain.node import Node
from zos.devchain.runtime import parse
from zos.devchain.session import Session, Watch
from zos.scale.types import BYTES

MOST_KEYS = 1000
LONGEST = 10 * 366 * 24 * 3600
FAIR = 50
"""Blocks that are made before others get a turn."""
MOST_UNITS = 2**64
FAULTS = ("stalled", "unfinal", "empty", "delay", "lag", "wrong_genesis")
PRUNED = "State already discarded"


Method = Callable[..., Any]


class Methods:
    """What can be called; every public name of `_METHODS`."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def call(self, session: Session | None, method: str, params: Any) -> Any:
        """Answers one JSON-RPC request. `session` is None over HTTP, where nobody can subscribe. Raises Invalid."""
        name = _ALIASES.get(method, method)
        handler: Method | None = getattr(self, name, None) if name in NAMES else None
        if handler is None:
            raise Invalid(-32601, "Method not found", method)
        if not isinstance(params, list):
            raise bad_params("they must be a list")
        if self._node.faults.delay:
            await asyncio.sleep(self._node.faults.delay)
        try:
            if name in SUBSCRIBING:
                if session is None:
                    raise Invalid(-32601, "Method not found", "subscriptions need a WebSocket")
                answer = handler(session, *params)
            else:
                answer = handler(*params)
            result = await answer if isinstance(answer, Awaitable) else answer
            if session is not None and name in STATE:
                session.read(params)
            return result
        except (TypeError, ValueError, OverflowError) as err:
            raise bad_params(str(err)) from None

    # system

    def rpc_methods(self) -> Any:
        return {"version": 1, "methods": sorted([*NAMES, *_ALIASES])}

    def system_chain(self) -> str:
        return self._node.genesis_config.name

    def system_name(self) -> str:
        return "zos devchain"

    def system_version(self) -> str:
        return "1.0.0"

    def system_chainType(self) -> str:
        return "Development"

    def system_properties(self) -> Any:
        return {"tokenDecimals": 7, "tokenSymbol": "TFT"}

    def system_health(self) -> Any:
        return {"peers": 0, "isSyncing": False, "shouldHavePeers": False}

    def system_accountNextIndex(self, account: str) -> int:
        return self._node.next_index(account_of(account))

    # chain

    def chain_getBlockHash(self, number: Any = None) -> Any:
        if isinstance(number, list):
            return [self.chain_getBlockHash(one) for one in number[:MOST_KEYS]]
        if number is None:
            return text_of(self._node.head.hash)
        value = int(number, 16) if isinstance(number, str) and len(number) <= 34 else number
        if isinstance(value, bool) or not isinstance(value, int):
            raise bad_params("the block must be a whole number")
        if value == 0 and self._node.faults.wrong_genesis:
            return text_of(hashlib.blake2b(self._node.genesis_hash, digest_size=32).digest())
        return text_of(self._node.blocks[value].hash) if 0 <= value < len(self._node.blocks) else None

    def chain_getFinalizedHead(self) -> str:
        return text_of(self._node.blocks[self._node.finalized].hash)

    def chain_getHeader(self, hash: Any = None) -> Any:
        block = self._block(hash)
        return header(block) if block else None

    def chain_getBlock(self, hash: Any = None) -> Any:
        block = self._block(hash)
        if block is None:
            return None
        return {
            "block": {"header": header(block), "extrinsics": [text_of(one) for one in block.body]},
            "justifications": None,
        }

    def chain_subscribeNewHeads(self, session: Session) -> str:
        return self._heads(session, "chain_newHead", "head", self._node.head)

    def chain_subscribeAllHeads(self, session: Session) -> str:
        return self._heads(session, "chain_allHead", "head", self._node.head)

    def chain_subscribeFinalizedHeads(self, session: Session) -> str:
        return self._heads(session, "chain_finalizedHead", "finalized", self._node.blocks[self._node.finalized])

    def _heads(self, session: Session, method: str, wanted: str, present: Block) -> str:
        def start(id: str) -> Callable[[], None]:
            def on_change(what: str, block: Block) -> None:
                if what == wanted:
                    session.notify(method, id, header(block))

            session.notify(method, id, header(present))
            return self._node.listen(on_change)

        return session.begin(start)

    def chain_unsubscribeNewHeads(self, session: Session, id: Any) -> bool:
        return session.end(str(id))

    # state

    def state_getRuntimeVersion(self, hash: Any = None) -> Any:
        return self._node.generation.version

    def state_subscribeRuntimeVersion(self, session: Session) -> str:
        session.is_reader = True

        def start(id: str) -> Callable[[], None]:
            session.notify("state_runtimeVersion", id, self._node.generation.version)
            return lambda: None

        return session.begin(start)

    def state_getMetadata(self, hash: Any = None) -> str:
        return text_of(self._node.generation.metadata)

    def state_getStorage(self, key: str, hash: Any = None) -> Any:
        return maybe_text(self._node.read(bytes_of(key), self._number(hash)))

    def state_getStorageSize(self, key: str, hash: Any = None) -> Any:
        value = self._node.read(bytes_of(key), self._number(hash))
        return len(value) if value is not None else None

    def state_getStorageHash(self, key: str, hash: Any = None) -> Any:
        value = self._node.read(bytes_of(key), self._number(hash))
        return text_of(hashlib.blake2b(value, digest_size=32).digest()) if value is not None else None

    def state_queryStorageAt(self, keys: list[str], hash: Any = None) -> Any:
        number = self._number(hash)
        if not isinstance(keys, list) or len(keys) > MOST_KEYS:
            raise bad_params(f"the keys must be a list of at most {MOST_KEYS}")
        changes, size = [], 0
        for key in keys:
            value = maybe_text(self._node.read(bytes_of(key), number))
            changes.append([key, value])
            size += len(key) + len(value or "")
            if size > LARGEST_ANSWER:
                raise too_large()
        return [{"block": text_of(self._node.blocks[number].hash), "changes": changes}]

    def state_getKeysPaged(self, prefix: str, count: int, start: Any = None, hash: Any = None) -> Any:
        if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= MOST_KEYS:
            raise bad_params(f"the count must be 0 to {MOST_KEYS}")
        number, first = self._number(hash), bytes_of(start) if start else None
        if self._node.faults.empty:
            return []
        head = self._node.head.number
        return [text_of(key) for key in self._node.state.keys(bytes_of(prefix), first, count, number, head)]

    def state_subscribeStorage(self, session: Session, keys: list[str]) -> str:
        if not isinstance(keys, list) or len(keys) > MOST_KEYS:
            raise bad_params(f"the keys must be a list of at most {MOST_KEYS}")
        wanted = [bytes_of(key) for key in keys]
        if sum(len(self._node.read(key, self._node.head.number) or b"") for key in wanted) > LARGEST_ANSWER // 2:
            raise too_large()

        def start(id: str) -> Callable[[], None]:
            seen = {key: self._node.read(key, self._node.head.number) for key in wanted}

            def notify(block: Block, changed: dict[bytes, bytes | None]) -> None:
                changes = [[text_of(key), maybe_text(value)] for key, value in changed.items()]
                session.notify("state_storage", id, {"block": text_of(block.hash), "changes": changes})

            def on_change(what: str, block: Block) -> None:
                if what != "state":
                    return
                now = {key: self._node.read(key, block.number) for key in wanted}
                changed = {key: value for key, value in now.items() if value != seen[key]}
                seen.update(changed)
                if changed:
                    notify(block, changed)

            notify(self._node.head, dict(seen))
            return self._node.listen(on_change)

        return session.begin(start)

    def state_call(self, name: str, data: str, hash: Any = None) -> str:
        raw = bytes_of(data)
        if name == "AccountNonceApi_account_nonce" and len(raw) == 32:
            nonce = int(self._node.typed().get("System.Account", raw)["nonce"])
            return text_of(nonce.to_bytes(4, "little"))
        if name == "TransactionPaymentApi_query_info" and len(raw) > 4:
            parsed = parse(raw[:-4], self._node.generation, with_call=False)
            return text_of(self._node.generation.price(parsed.fee - parsed.tip))
        if name == "Core_version":
            return text_of(self._node.generation.encoded_version())
        if name == "Metadata_metadata":
            return text_of(BYTES.encode(self._node.generation.metadata))
        # Clients know this sentence: they do without what is not exported.
        raise Invalid(-32000, f"Client error: Execution failed: Other: Exported method {name} is not found")

    def payment_queryInfo(self, extrinsic: str, hash: Any = None) -> Any:
        parsed = parse(bytes_of(extrinsic), self._node.generation, with_call=False)
        return {"weight": self._node.generation.weight, "class": "normal", "partialFee": str(parsed.fee - parsed.tip)}

    # author

    def author_submitExtrinsic(self, extrinsic: str) -> str:
        return text_of(self._node.submit(bytes_of(extrinsic)))

    def author_submitAndWatchExtrinsic(self, session: Session, extrinsic: str) -> str:
        raw = bytes_of(extrinsic)

        def start(id: str) -> Callable[[], None]:
            watch = Watch(session, id)
            self._node.submit(raw, watch.on_status)

            def stop() -> None:
                self._node.forget(watch.on_status)
                watch.end()

            return stop

        return session.begin(start)

    def author_pendingExtrinsics(self) -> Any:
        return [text_of(one.raw) for one in self._node.pending()]

    # For labs and tests; names that no Substrate chain has.

    async def dev_newBlock(self, count: int = 1) -> str:
        for number in range(min(max(int(count), 1), 100_000)):
            self._node.make_block()
            if number % FAIR == FAIR - 1:
                await asyncio.sleep(0)
        return text_of(self._node.head.hash)

    async def dev_advance(self, seconds: float, heartbeats: bool = False) -> str:
        """Let virtual time pass; `heartbeats` reports the uptime of nodes meanwhile."""
        if not 0 < float(seconds) <= LONGEST:
            raise bad_params(f"more than 0 and at most {LONGEST} seconds are wanted")
        for _ in self._node.advance(float(seconds), heartbeats=bool(heartbeats)):
            await asyncio.sleep(0)
        return text_of(self._node.head.hash)

    def dev_fund(self, account: str, units: int) -> bool:
        if not 0 < int(units) <= MOST_UNITS:
            raise bad_params(f"1 to {MOST_UNITS} units are wanted")
        self._node.gift(account_of(account), int(units))
        return True

    def dev_mint(self, start: int, length: int = LENGTH) -> Any:
        """What farmers earn in a period that starts at a unix time in seconds; see `zos.devchain.minting`."""
        period = Period(int(start), int(length))
        if period.length <= 0:
            raise bad_params("a period is longer than nothing")
        found = rewards(self._node.store, self._node.typed(), period)
        return {
            "start": period.start,
            "length": period.length,
            "number": period.number,
            "head": self._node.head.now // 1000,
            "nodes": [dataclasses.asdict(one) for one in found],
        }

    def dev_misbehave(self, what: dict[str, Any]) -> Any:
        """Set some of stalled, unfinal, empty, delay, lag, wrong_genesis; answers all of them."""
        faults = self._node.faults
        if not isinstance(what, dict):
            raise bad_params("the faults must be an object")
        for name, value in what.items():
            if name not in FAULTS or isinstance(value, str | list | dict) or value is None:
                raise bad_params(f"`{name}` is no fault that can be set, or cannot have this value")
            setattr(faults, name, type(getattr(faults, name))(value))
        self._node.finalize()
        return {name: getattr(faults, name) for name in FAULTS}

    def dev_reorganise(self, depth: int) -> int:
        return self._node.reorganise(int(depth))

    # Small things

    def _block(self, hash: Any) -> Block | None:
        if hash is None:
            return self._node.head
        number = self._node.number_of(bytes_of(hash))
        return None if number is None else self._node.blocks[number]

    def _number(self, hash: Any) -> int:
        head = self._node.head.number
        if hash is None:
            return head
        number = self._node.number_of(bytes_of(hash))
        if number is None:
            raise Invalid(-32000, "Client error: UnknownBlock: header not found", str(hash))
        if not self._node.state.is_kept(number, head):
            raise Invalid(-32000, f"Client error: UnknownBlock: {PRUNED} for {hash}")
        return number


SUBSCRIBING = frozenset(
    {
        "chain_subscribeNewHeads",
        "chain_subscribeAllHeads",
        "chain_subscribeFinalizedHeads",
        "chain_unsubscribeNewHeads",
        "state_subscribeRuntimeVersion",
        "state_subscribeStorage",
        "author_submitAndWatchExtrinsic",
    }
)
STATE = frozenset({"state_getStorage", "state_queryStorageAt"})
"""What clients read a block's events with."""
_GROUPS = ("rpc", "system", "chain", "state", "payment", "author", "dev")
NAMES = frozenset(name for name in vars(Methods) if name.partition("_")[0] in _GROUPS)
_ALIASES = {
    "chain_getHead": "chain_getBlockHash",
    "chain_getFinalisedHead": "chain_getFinalizedHead",
    "chain_getRuntimeVersion": "state_getRuntimeVersion",
    "account_nextIndex": "system_accountNextIndex",
    "state_callAt": "state_call",
    "state_getStorageAt": "state_getStorage",
    "state_getStorageHashAt": "state_getStorageHash",
    "state_getStorageSizeAt": "state_getStorageSize",
    "state_getKeysPagedAt": "state_getKeysPaged",
    "chain_subscribeNewHead": "chain_subscribeNewHeads",
    "chain_subscribeFinalisedHeads": "chain_subscribeFinalizedHeads",
    "chain_unsubscribeNewHead": "chain_unsubscribeNewHeads",
    "chain_unsubscribeAllHeads": "chain_unsubscribeNewHeads",
    "chain_unsubscribeFinalizedHeads": "chain_unsubscribeNewHeads",
    "chain_unsubscribeFinalisedHeads": "chain_unsubscribeNewHeads",
    "state_unsubscribeRuntimeVersion": "chain_unsubscribeNewHeads",
    "chain_unsubscribeRuntimeVersion": "chain_unsubscribeNewHeads",
    "chain_subscribeRuntimeVersion": "state_subscribeRuntimeVersion",
    "state_unsubscribeStorage": "chain_unsubscribeNewHeads",
    "author_unwatchExtrinsic": "chain_unsubscribeNewHeads",
}
