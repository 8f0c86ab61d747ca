"""The part of TfgridModule about entities: who a twin says to be, with a signature as the proof."""

from __future__ import annotations

from typing import Any

from zos.devchain.context import Context
from zos.devchain.pallets.grid_common import twin_of
from zos.devchain.signing import is_signed

HEX = 128


class Entities:
    def create_entity(
        self, ctx: Context, who: bytes, target: bytes, name: bytes, country: bytes, city: bytes, signature: bytes
    ) -> None:
        ctx.need(not ctx.has("TfgridModule.EntityIdByName", name), "TfgridModule.EntityWithNameExists")
        is_known = ctx.has("TfgridModule.EntityIdByAccountID", target)
        ctx.need(not is_known, "TfgridModule.EntityWithPubkeyExists")
        _check(ctx, target, signature, name + country + city)
        _check_place(ctx, country, city)
        id = ctx.count("TfgridModule.EntityID")
        entity = {"version": 1, "id": id, "name": name, "account_id": target, "country": country, "city": city}
        ctx.put("TfgridModule.EntityIdByName", name, id)
        ctx.put("TfgridModule.EntityIdByAccountID", target, id)
        _store(ctx, entity, "EntityStored")

    def update_entity(self, ctx: Context, who: bytes, name: bytes, country: bytes, city: bytes) -> None:
        entity = _own(ctx, who)
        ctx.need(not ctx.has("TfgridModule.EntityIdByName", name), "TfgridModule.EntityWithNameExists")
        _check_place(ctx, country, city)
        ctx.drop("TfgridModule.EntityIdByName", entity["name"])
        ctx.put("TfgridModule.EntityIdByName", name, entity["id"])
        _store(ctx, {**entity, "name": name, "country": country, "city": city}, "EntityUpdated")

    def delete_entity(self, ctx: Context, who: bytes) -> None:
        entity = _own(ctx, who)
        ctx.drop("TfgridModule.Entities", entity["id"])
        ctx.drop("TfgridModule.EntityIdByAccountID", who)
        ctx.drop("TfgridModule.EntityIdByName", entity["name"])
        ctx.emit("TfgridModule.EntityDeleted", entity["id"])

    def add_twin_entity(self, ctx: Context, who: bytes, twin_id: int, entity_id: int, signature: bytes) -> None:
        twin = _own_twin(ctx, who, twin_id)
        entity = ctx.get("TfgridModule.Entities", entity_id)
        ctx.need(entity, "TfgridModule.EntityNotExists")
        proof = {"entity_id": entity_id, "signature": signature}
        is_new = all(one["entity_id"] != entity_id for one in twin["entities"])
        ctx.need(is_new, "TfgridModule.EntityWithSignatureAlreadyExists")
        _check(ctx, entity["account_id"], signature, entity_id.to_bytes(4, "big") + twin_id.to_bytes(4, "big"))
        ctx.put("TfgridModule.Twins", twin_id, {**twin, "entities": [*twin["entities"], proof]})
        ctx.emit("TfgridModule.TwinEntityStored", twin_id, entity_id, signature)

    def delete_twin_entity(self, ctx: Context, who: bytes, twin_id: int, entity_id: int) -> None:
        twin = _own_twin(ctx, who, twin_id)
        left = [one for one in twin["entities"] if one["entity_id"] != entity_id]
        ctx.need(len(left) < len(twin["entities"]), "TfgridModule.EntityNotExists")
        ctx.put("TfgridModule.Twins", twin_id, {**twin, "entities": left})
        ctx.emit("TfgridModule.TwinEntityRemoved", twin_id, entity_id)


def _own(ctx: Context, who: bytes) -> dict[str, Any]:
    id = ctx.get("TfgridModule.EntityIdByAccountID", who)
    ctx.need(id, "TfgridModule.EntityNotExists")
    found: dict[str, Any] = ctx.get("TfgridModule.Entities", id)
    return found


def _own_twin(ctx: Context, who: bytes, twin_id: int) -> dict[str, Any]:
    twin: dict[str, Any] | None = ctx.get("TfgridModule.Twins", twin_id)
    ctx.need(twin, "TfgridModule.TwinNotExists")
    assert twin is not None
    ctx.need(twin_of(ctx, who) == twin_id, "TfgridModule.UnauthorizedToUpdateTwin")
    return twin


def _check(ctx: Context, account: bytes, signature: bytes, text: bytes) -> None:
    """Hexadecimal, by either kind of key."""
    try:
        raw = bytes.fromhex(signature.decode())
    except ValueError:
        raw = b""
    ctx.need(len(signature) == HEX and len(raw) * 2 == HEX, "TfgridModule.SignatureLengthIsIncorrect")
    is_theirs = any(is_signed(scheme, account, raw, text) for scheme in ("Ed25519", "Sr25519"))
    ctx.need(is_theirs, "TfgridModule.EntitySignatureDoesNotMatch")


def _check_place(ctx: Context, country: bytes, city: bytes) -> None:
    ctx.need(len(country) >= 2, "TfgridModule.CountryNameTooShort")
    ctx.need(city, "TfgridModule.CityNameTooShort")


def _store(ctx: Context, entity: dict[str, Any], event: str) -> None:
    ctx.put("TfgridModule.Entities", entity["id"], entity)
    ctx.emit(f"TfgridModule.{event}", entity)
