"""Twins as the chain has them."""

from __future__ import annotations

from zos.rmb.envelope import TwinRecord
from zos.rmb.twins import Look
from zos.substrate import Chain


def chain_twins(chain: Chain) -> Look:
    """Looks twins up on a chain."""

    async def look(id: int) -> TwinRecord | None:
        value = await chain.query("TfgridModule", "Twins", id)
        if value is None or not int(value["id"]):
            return None
        relay = bytes(value.get("relay") or b"").decode(errors="replace")
        return TwinRecord(int(value["id"]), bytes(value["account_id"]), bytes(value.get("pk") or b""), relay)

    return look
