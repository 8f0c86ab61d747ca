"""TfgridModule: twins, farms, nodes, uptime, power. What the council rules stands in `grid_admin.py`, what clients see
of it in `grid_layout.py`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_address, ip_interface
from typing import Any

from zos.devchain.context import Context
from zos.devchain.pallets.entities import Entities
from zos.devchain.pallets.grid_admin import GridAdmin
from zos.devchain.pallets.grid_common import NodeWatcher, differs, node_of, own_farm, store_farm, twin_of
from zos.devchain.pallets.grid_layout import DRIFT
from zos.devchain.pallets.policies import first_policy

GIB = 1024**3
_NAME = re.compile(rb"[A-Za-z0-9_-]+")
_RELAY = re.compile(rb"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_INTERFACE = re.compile(rb"[a-z0-9_-]+")
_MAC = re.compile(rb"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}")
_DOMAIN = re.compile(rb"[A-Za-z0-9.-]+")
_URL = re.compile(rb"[A-Za-z0-9:/?#\[\]@!$&'()*+,;=._~%-]+")


class Tfgrid(GridAdmin, Entities):
    """Its calls; `watchers` are the pallets that follow the nodes."""

    def __init__(self, watchers: Sequence[NodeWatcher] = ()) -> None:
        self._watchers = watchers

    # Twins

    def user_accept_tc(self, ctx: Context, who: bytes, document_link: bytes, document_hash: bytes) -> None:
        ctx.need(document_link, "TfgridModule.DocumentLinkInputTooShort")
        ctx.need(_URL.fullmatch(document_link), "TfgridModule.InvalidDocumentLinkInput")
        ctx.need(document_hash, "TfgridModule.DocumentHashInputTooShort")
        ctx.need(_NAME.fullmatch(document_hash), "TfgridModule.InvalidDocumentHashInput")
        entry = {
            "account_id": who,
            "timestamp": ctx.seconds,
            "document_link": document_link,
            "document_hash": document_hash,
        }
        # The runtime tells of it by no event.
        accepted = ctx.get("TfgridModule.UsersTermsAndConditions", who) or []
        ctx.put("TfgridModule.UsersTermsAndConditions", who, [*accepted, entry])

    def create_twin(self, ctx: Context, who: bytes, relay: bytes | None, pk: bytes | None) -> None:
        accepted = ctx.has("TfgridModule.UsersTermsAndConditions", who)
        ctx.need(accepted, "TfgridModule.UserDidNotSignTermsAndConditions")
        ctx.need(not ctx.has("TfgridModule.TwinIdByAccountID", who), "TfgridModule.TwinWithPubkeyExists")
        _check_relay(ctx, relay)
        id = ctx.count("TfgridModule.TwinID")
        twin = {"id": id, "account_id": who, "relay": relay, "entities": [], "pk": pk}
        ctx.put("TfgridModule.Twins", id, twin)
        ctx.put("TfgridModule.TwinIdByAccountID", who, id)
        ctx.emit("TfgridModule.TwinStored", twin)

    def bond_twin_account(self, ctx: Context, who: bytes, twin_id: int) -> None:
        twin = ctx.get("TfgridModule.Twins", twin_id)
        ctx.need(twin, "TfgridModule.TwinNotExists")
        ctx.need(twin["account_id"] != who, "TfgridModule.TwinCannotBoundToItself")
        ctx.put("TfgridModule.TwinBoundedAccountID", twin_id, who)
        ctx.emit("TfgridModule.TwinAccountBounded", twin_id, who)

    def update_twin(self, ctx: Context, who: bytes, relay: bytes | None, pk: bytes | None) -> None:
        id = twin_of(ctx, who)
        _check_relay(ctx, relay)
        # Both are replaced: None erases the relay.
        twin = {**ctx.get("TfgridModule.Twins", id), "relay": relay, "pk": pk}
        ctx.put("TfgridModule.Twins", id, twin)
        ctx.emit("TfgridModule.TwinUpdated", twin)

    # Farms

    def create_farm(self, ctx: Context, who: bytes, name: bytes, public_ips: list[Any]) -> None:
        twin = twin_of(ctx, who)
        _check_farm_name(ctx, name)
        ctx.need(not ctx.has("TfgridModule.FarmIdByName", name), "TfgridModule.FarmExists")
        ips: list[Any] = []
        for one in public_ips:
            _check_public_ip(ctx, one["ip"], one["gw"])
            entry = {"ip": one["ip"], "gateway": one["gw"], "contract_id": 0}
            ctx.need(entry not in ips, "TfgridModule.IpExists")
            ips.append(entry)
        id = ctx.count("TfgridModule.FarmID")
        farm = {
            "version": 4,
            "id": id,
            "name": name,
            "twin_id": twin,
            "pricing_policy_id": 1,
            "certification": "NotCertified",
            "public_ips": ips,
            "dedicated_farm": False,
            "farming_policy_limits": None,
        }
        ctx.put("TfgridModule.Farms", id, farm)
        ctx.put("TfgridModule.FarmIdByName", name, id)
        ctx.emit("TfgridModule.FarmStored", farm)

    def update_farm(self, ctx: Context, who: bytes, farm_id: int, name: bytes) -> None:
        farm = own_farm(ctx, who, farm_id, "CannotUpdateFarmWrongTwin")
        _check_farm_name(ctx, name)
        if farm["name"] == name:
            return
        ctx.need(not ctx.has("TfgridModule.FarmIdByName", name), "TfgridModule.InvalidFarmName")
        ctx.drop("TfgridModule.FarmIdByName", farm["name"])
        ctx.put("TfgridModule.FarmIdByName", name, farm_id)
        store_farm(ctx, {**farm, "name": name})

    def add_stellar_payout_v2address(self, ctx: Context, who: bytes, farm_id: int, stellar_address: bytes) -> None:
        own_farm(ctx, who, farm_id, "CannotUpdateFarmWrongTwin")
        ctx.put("TfgridModule.FarmPayoutV2AddressByFarmID", farm_id, stellar_address)
        ctx.emit("TfgridModule.FarmPayoutV2AddressRegistered", farm_id, stellar_address)

    def add_farm_ip(self, ctx: Context, who: bytes, farm_id: int, ip: bytes, gw: bytes) -> None:
        farm = own_farm(ctx, who, farm_id, "CannotUpdateFarmWrongTwin")
        _check_public_ip(ctx, ip, gw)
        ctx.need(all(one["ip"] != ip for one in farm["public_ips"]), "TfgridModule.IpExists")
        ctx.need(len(farm["public_ips"]) < 256, "TfgridModule.InvalidPublicIP")
        entry = {"ip": ip, "gateway": gw, "contract_id": 0}
        store_farm(ctx, {**farm, "public_ips": [*farm["public_ips"], entry]})

    def remove_farm_ip(self, ctx: Context, who: bytes, farm_id: int, ip: bytes) -> None:
        farm = own_farm(ctx, who, farm_id, "CannotUpdateFarmWrongTwin")
        left = [one for one in farm["public_ips"] if one["ip"] != ip or one["contract_id"]]
        ctx.need(len(left) < len(farm["public_ips"]), "TfgridModule.IpNotExists")
        store_farm(ctx, {**farm, "public_ips": left})

    # Nodes

    def create_node(self, ctx: Context, who: bytes, **wanted: Any) -> None:
        farm_id = wanted["farm_id"]
        ctx.need(ctx.has("TfgridModule.Farms", farm_id), "TfgridModule.FarmNotExists")
        twin = twin_of(ctx, who)
        ctx.need(not ctx.has("TfgridModule.NodeIdByTwinID", twin), "TfgridModule.NodeWithTwinIdExists")
        _check_node(ctx, wanted)
        id = ctx.count("TfgridModule.NodeID")
        node = {
            "version": 5,
            "id": id,
            "twin_id": twin,
            "public_config": None,
            "created": ctx.seconds,
            "farming_policy_id": 0,
            "certification": "Diy",
            "connection_price": ctx.get("TfgridModule.ConnectionPrice"),
            **wanted,
        }
        node["farming_policy_id"] = first_policy(ctx, node)
        ctx.put("TfgridModule.Nodes", id, node)
        ctx.put("TfgridModule.NodeIdByTwinID", twin, id)
        nodes = ctx.get("TfgridModule.NodesByFarmID", farm_id)
        ctx.put("TfgridModule.NodesByFarmID", farm_id, [*nodes, id])
        for watcher in self._watchers:
            watcher.node_changed(ctx, None, node)
        ctx.emit("TfgridModule.NodeStored", node)

    def update_node(self, ctx: Context, who: bytes, node_id: int, **wanted: Any) -> None:
        twin = twin_of(ctx, who)
        old = ctx.get("TfgridModule.Nodes", node_id)
        ctx.need(old, "TfgridModule.NodeNotExists")
        ctx.need(old["twin_id"] == twin, "TfgridModule.NodeUpdateNotAuthorized")
        farm_id = wanted["farm_id"]
        ctx.need(ctx.has("TfgridModule.Farms", farm_id), "TfgridModule.FarmNotExists")
        _check_node(ctx, wanted)
        node = {**old, **wanted}
        if old["certification"] == "Certified" and differs(old["resources"], wanted["resources"]):
            node["certification"] = "Diy"
            ctx.emit("TfgridModule.NodeCertificationSet", node_id, "Diy")
        if old["farm_id"] != farm_id:
            left = [id for id in ctx.get("TfgridModule.NodesByFarmID", old["farm_id"]) if id != node_id]
            ctx.put("TfgridModule.NodesByFarmID", old["farm_id"], left)
            ctx.put("TfgridModule.NodesByFarmID", farm_id, [*ctx.get("TfgridModule.NodesByFarmID", farm_id), node_id])
        ctx.put("TfgridModule.Nodes", node_id, node)
        for watcher in self._watchers:
            watcher.node_changed(ctx, old, node)
        ctx.emit("TfgridModule.NodeUpdated", node)

    def delete_node(self, ctx: Context, who: bytes, node_id: int) -> None:
        # Its entry in NodeIdByTwinID stays: that twin can never have a node again, here as on the real chain.
        node = ctx.get("TfgridModule.Nodes", node_id)
        ctx.need(node, "TfgridModule.NodeNotExists")
        ctx.need(node["twin_id"] == twin_of(ctx, who), "TfgridModule.NodeUpdateNotAuthorized")
        self._delete(ctx, node)

    def delete_node_farm(self, ctx: Context, who: bytes, node_id: int) -> None:
        node = ctx.get("TfgridModule.Nodes", node_id)
        ctx.need(node, "TfgridModule.NodeNotExists")
        own_farm(ctx, who, node["farm_id"], "FarmerNotAuthorized")
        self._delete(ctx, node)
        ctx.drop("TfgridModule.NodeIdByTwinID", node["twin_id"])

    def _delete(self, ctx: Context, node: dict[str, Any]) -> None:
        for watcher in self._watchers:
            watcher.node_deleted(ctx, node)
        left = [id for id in ctx.get("TfgridModule.NodesByFarmID", node["farm_id"]) if id != node["id"]]
        ctx.put("TfgridModule.NodesByFarmID", node["farm_id"], left)
        ctx.drop("TfgridModule.Nodes", node["id"])
        ctx.emit("TfgridModule.NodeDeleted", node["id"])

    def add_node_public_config(self, ctx: Context, who: bytes, farm_id: int, node_id: int, public_config: Any) -> None:
        node = ctx.get("TfgridModule.Nodes", node_id)
        ctx.need(node, "TfgridModule.NodeNotExists")
        ctx.need(node["farm_id"] == farm_id, "TfgridModule.NodeUpdateNotAuthorized")
        own_farm(ctx, who, farm_id, "NodeUpdateNotAuthorized")
        if public_config is not None:
            ip4 = public_config["ip4"]
            ctx.need(_is_public(ip4["ip"], ip4["gw"]), "TfgridModule.InvalidPublicConfig")
            ip6 = public_config["ip6"]
            ctx.need(ip6 is None or _is_public(ip6["ip"], ip6["gw"], 6), "TfgridModule.InvalidPublicConfig")
            domain = public_config["domain"]
            ctx.need(domain is None or _DOMAIN.fullmatch(domain), "TfgridModule.InvalidPublicConfig")
        ctx.put("TfgridModule.Nodes", node_id, {**node, "public_config": public_config})
        ctx.emit("TfgridModule.NodePublicConfigStored", node_id, public_config)

    def report_uptime(self, ctx: Context, who: bytes, uptime: int) -> None:
        self.report_uptime_v2(ctx, who, uptime, ctx.seconds)

    def report_uptime_v2(self, ctx: Context, who: bytes, uptime: int, timestamp_hint: int) -> None:
        node = node_of(ctx, who)
        ctx.need(abs(timestamp_hint - ctx.seconds) <= DRIFT, "TfgridModule.InvalidTimestampHint")
        ctx.emit("TfgridModule.NodeUptimeReported", node, ctx.seconds, uptime)

    def change_power_state(self, ctx: Context, who: bytes, power_state: str) -> None:
        node = node_of(ctx, who)
        power = ctx.get("TfgridModule.NodePower", node)
        state: Any = "Up" if power_state == "Up" else {"Down": ctx.block}
        if power["state"] == state:
            return
        ctx.put("TfgridModule.NodePower", node, {**power, "state": state})
        for watcher in self._watchers:
            watcher.power_changed(ctx, node)
        farm = ctx.get("TfgridModule.Nodes", node)["farm_id"]
        ctx.emit("TfgridModule.PowerStateChanged", farm_id=farm, node_id=node, power_state=state)

    def change_power_target(self, ctx: Context, who: bytes, node_id: int, power_target: str) -> None:
        node = ctx.get("TfgridModule.Nodes", node_id)
        ctx.need(node, "TfgridModule.NodeNotExists")
        own_farm(ctx, who, node["farm_id"], "UnauthorizedToChangePowerTarget")
        power = ctx.get("TfgridModule.NodePower", node_id)
        ctx.put("TfgridModule.NodePower", node_id, {**power, "target": power_target})
        ctx.emit("TfgridModule.PowerTargetChanged", farm_id=node["farm_id"], node_id=node_id, power_target=power_target)


def _check_farm_name(ctx: Context, name: bytes) -> None:
    ctx.need(len(name) >= 3, "TfgridModule.FarmNameTooShort")
    ctx.need(_NAME.fullmatch(name), "TfgridModule.InvalidFarmName")


def _check_relay(ctx: Context, relay: bytes | None) -> None:
    ctx.need(relay is None or _RELAY.fullmatch(relay), "TfgridModule.InvalidRelayAddress")


def _check_public_ip(ctx: Context, ip: bytes, gw: bytes) -> None:
    ctx.need(_is_public(ip, gw), "TfgridModule.InvalidPublicIP")


def _is_public(ip: bytes, gw: bytes, version: int = 4) -> bool:
    if b"/" not in ip:
        return False
    try:
        mine, way = ip_interface(ip.decode()), ip_address(gw.decode())
    except ValueError:
        return False
    if not mine.version == way.version == version:
        return False
    return mine.ip.is_global and way.is_global and mine.ip != way and way in mine.network


def _check_node(ctx: Context, wanted: dict[str, Any]) -> None:
    resources = wanted["resources"]
    ctx.need(resources["sru"] >= 100 * GIB, "TfgridModule.InvalidSRUInput")
    ctx.need(resources["cru"] >= 1, "TfgridModule.InvalidCRUInput")
    ctx.need(resources["mru"] >= 2 * GIB, "TfgridModule.InvalidMRUInput")
    _check_location(ctx, wanted["location"])
    for one in wanted["interfaces"]:
        ctx.need(len(one["name"]) >= 3, "TfgridModule.InterfaceNameTooShort")
        ctx.need(_INTERFACE.fullmatch(one["name"]), "TfgridModule.InvalidInterfaceName")
        ctx.need(len(one["mac"]) == 17, "TfgridModule.InterfaceMacTooShort")
        ctx.need(_MAC.fullmatch(one["mac"]), "TfgridModule.InvalidMacAddress")
        for ip in one["ips"]:
            ctx.need(_is_address(ip), "TfgridModule.InvalidInterfaceIP")
    serial = wanted["serial_number"]
    printable = serial is None or all(32 <= byte < 127 for byte in serial)
    ctx.need(printable, "TfgridModule.InvalidSerialNumber")


def _check_location(ctx: Context, location: dict[str, bytes]) -> None:
    ctx.need(location["city"], "TfgridModule.CityNameTooShort")
    ctx.need(len(location["country"]) >= 2, "TfgridModule.CountryNameTooShort")
    for name, limit in (("Latitude", 90.0), ("Longitude", 180.0)):
        text = location[name.lower()]
        ctx.need(text, f"TfgridModule.{name}InputTooShort")
        ctx.need(_is_degree(text, limit), f"TfgridModule.Invalid{name}Input")


def _is_degree(text: bytes, limit: float) -> bool:
    if text == b"Unknown":
        return True
    try:
        return abs(float(text.decode())) <= limit
    except ValueError:
        return False


def _is_address(text: bytes) -> bool:
    try:
        ip_address(text.decode())
    except ValueError:
        return False
    return True
