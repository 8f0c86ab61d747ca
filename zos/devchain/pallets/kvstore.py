"""TFKVStore: small values that an account keeps under its own keys."""

from __future__ import annotations

from zos.devchain.context import Context
from zos.scale.pallet import Pallet, call, errors, event, mapping
from zos.scale.types import ACCOUNT, BYTES

LONGEST_KEY = 512
LARGEST = 2048

PALLET = Pallet(
    name="TFKVStore",
    index=30,
    path="pallet_kvstore",
    storage=(mapping("TFKVStore", (ACCOUNT, BYTES), BYTES, b""),),
    calls=(call(0, "set", key=BYTES, value=BYTES), call(1, "delete", key=BYTES)),
    events=tuple(event(f"Entry{what}", ACCOUNT, BYTES, BYTES) for what in ("Set", "Got", "Taken")),
    errors=errors("NoValueStored KeyIsTooLarge ValueIsTooLarge"),
)


class KVStore:
    def set(self, ctx: Context, who: bytes, key: bytes, value: bytes) -> None:
        ctx.need(len(key) <= LONGEST_KEY, "TFKVStore.KeyIsTooLarge")
        ctx.need(len(value) <= LARGEST, "TFKVStore.ValueIsTooLarge")
        ctx.put("TFKVStore.TFKVStore", who, key, value)
        ctx.emit("TFKVStore.EntrySet", who, key, value)

    def delete(self, ctx: Context, who: bytes, key: bytes) -> None:
        ctx.need(ctx.has("TFKVStore.TFKVStore", who, key), "TFKVStore.NoValueStored")
        value = ctx.get("TFKVStore.TFKVStore", who, key)
        ctx.drop("TFKVStore.TFKVStore", who, key)
        ctx.emit("TFKVStore.EntryTaken", who, key, value)
