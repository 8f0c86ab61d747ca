"""substrate-interface as an unchanged client of a chain. `sync_scenario.py URL REGISTRY`; prints one JSON object.

It runs in a virtual environment of its own: its SCALE codec installs under the same name as ours.
"""

import hashlib
import json
import sys
from typing import Any

from substrateinterface import Keypair, KeypairType, SubstrateInterface
from substrateinterface.exceptions import SubstrateRequestException

GIB = 1024**3
HASH = "1fcdb75ce0bccc19c57a0011c5193616"


def main(url: str, registry: str) -> dict[str, Any]:
    types = json.loads(registry) or None
    chain = SubstrateInterface(
        url=url, ss58_format=42, type_registry=types, type_registry_preset="legacy" if types else None
    )
    alice, bob = Keypair.create_from_uri("//Alice"), Keypair.create_from_uri("//Bob")
    node = Keypair.create_from_seed("0x" + "07" * 32, crypto_type=KeypairType.ED25519)
    told: dict[str, Any] = {"errors": {}, "events": {}}
    calls = {call.name for call in chain.get_metadata_module("TfgridModule").calls}
    old = "report_uptime_v2" not in calls

    def send(module: str, name: str, params: dict[str, Any], who: Keypair, **how: Any) -> Any:
        call = chain.compose_call(module, name, params)
        extrinsic = chain.create_signed_extrinsic(call, who, **how)
        return chain.submit_extrinsic(extrinsic, wait_for_finalization=True)

    def good(*args: Any, **how: Any) -> list[dict[str, Any]]:
        receipt = send(*args, **how)
        assert receipt.is_success, receipt.error_message
        assert receipt.finalized
        return [record.value["event"] for record in receipt.triggered_events]

    def bad(*args: Any) -> str:
        receipt = send(*args)
        assert not receipt.is_success
        return str(receipt.error_message["name"])

    def one(events: list[dict[str, Any]], name: str) -> Any:
        return next(event["attributes"] for event in events if event["event_id"] == name)

    told["chain"] = chain.chain
    chain.init_runtime()
    told["spec"] = chain.runtime_version
    told["genesis"] = chain.get_block_hash(0)
    told["deposit"] = chain.get_constant("Balances", "ExistentialDeposit").value
    told["free"] = chain.query("System", "Account", [alice.ss58_address])["data"]["free"].value

    numbers: list[int] = []

    def on_header(header: dict[str, Any], update_nr: int, subscription_id: str) -> Any:
        numbers.append(header["header"]["number"])
        return numbers if len(numbers) == 3 else None

    told["heads"] = chain.subscribe_block_headers(on_header)
    seen: list[int] = []

    def changed(value: Any, update_nr: int, subscription_id: str) -> Any:
        seen.append(value.value)
        return seen if len(seen) == 3 else None

    told["numbers"] = chain.query("System", "Number", subscription_handler=changed)

    terms = {"document_link": "http://zos.tf/terms/v0.1", "document_hash": "9021d4dee05a661e2cb6838152c67f25"}
    twin = {"ip": "::1"} if old else {"relay": None, "pk": None}
    told["errors"]["terms"] = bad("TfgridModule", "create_twin", twin, alice)
    good("TfgridModule", "user_accept_tc", terms, alice)
    good("TfgridModule", "create_twin", twin, alice)
    ip = {"ip": "185.206.122.33/24", "gateway": "185.206.122.1", "contract_id": 0}
    ips = [ip] if old else [[{"ip": ip["ip"], "gw": ip["gateway"]}]]
    assert one(good("TfgridModule", "create_farm", {"name": "si_farm", "public_ips": ips}, alice), "FarmStored")
    told["farm"] = chain.query("TfgridModule", "Farms", [1]).value["name"]
    transfer = chain.compose_call("Balances", "transfer_keep_alive", {"dest": node.ss58_address, "value": 10_000_000})
    told["fee"] = chain.get_payment_info(transfer, alice)["partialFee"]
    good("Balances", "transfer_keep_alive", {"dest": node.ss58_address, "value": 10_000_000}, alice)
    good("TfgridModule", "user_accept_tc", terms, node)
    good("TfgridModule", "create_twin", twin, node)
    place = {"city": "Ghent", "country": "Belgium", "latitude": "51.0", "longitude": "3.7"}
    cards = [{"name": "zos", "mac": "54:b2:03:12:34:56", "ips": ["10.0.0.5"]}]
    record: dict[str, Any] = {
        "farm_id": 1,
        "resources": {"hru": 0, "sru": 512 * GIB, "cru": 8, "mru": 32 * GIB},
        "location": place,
        "interfaces": cards,
        "secure_boot": False,
        "virtualized": True,
        "serial_number": None,
    }
    if old:
        record |= {"city": place["city"], "country": place["country"], "serial_number": ""}
        record["location"] = {"latitude": place["latitude"], "longitude": place["longitude"]}
    else:
        record["interfaces"] = [[{**cards[0], "ips": [["10.0.0.5"]]}]]
    good("TfgridModule", "create_node", record, node)
    stored = chain.query("TfgridModule", "Nodes", [1]).value
    told["node"] = [stored["id"], stored["twin_id"], stored["resources"]["cru"]]
    now = chain.query("Timestamp", "Now").value // 1000
    if old:
        good("TfgridModule", "report_uptime", {"uptime": 3600}, node)
    else:
        good("TfgridModule", "report_uptime_v2", {"uptime": 3600, "timestamp_hint": now}, node)

    contract: dict[str, Any] = {
        "node_id": 1,
        "deployment_hash": HASH if old else "0x" + HASH.encode().hex(),
        "public_ips": 1,
    }
    contract |= {"data": "{}"} if old else {"deployment_data": "{}", "solution_provider_id": None}
    good("SmartContractModule", "create_node_contract", contract, alice)
    before = chain.get_chain_finalised_head()
    body = chain.query("SmartContractModule", "Contracts", [1]).value["contract_type"]["NodeContract"]
    told["hash"] = body["deployment_hash"]
    used = {"contract_id": 1, "used": {"hru": 0, "sru": 50 * GIB, "cru": 2, "mru": 4 * GIB}}
    good("SmartContractModule", "report_contract_resources", {"contract_resources": [used]}, node)
    told["farms"] = [[key.value, farm.value["name"]] for key, farm in chain.query_map("TfgridModule", "Farms")]
    good("SmartContractModule", "cancel_contract", {"contract_id": 1}, alice)
    gone = chain.query("SmartContractModule", "Contracts", [1]).value
    told["gone"] = gone is None or gone["contract_id"] == 0
    told["past"] = chain.query("SmartContractModule", "Contracts", [1], block_hash=before).value["contract_id"]
    good("System", "remark", {"_remark" if old else "remark": "0x01"}, bob, era={"period": 64}, tip=7)
    try:
        send("System", "remark", {"_remark" if old else "remark": "0x01"}, bob, nonce=0)
    except SubstrateRequestException as err:
        told["pool"] = str(err)

    last = chain.get_block_number(chain.get_chain_finalised_head())
    for number in range(last + 1):
        block = chain.get_block_hash(number)
        for event in chain.get_events(block):
            name = f"{event.value['module_id']}.{event.value['event_id']}"
            told["events"][name] = told["events"].get(name, 0) + 1
        assert chain.get_block(block)["header"]["number"] == number
        raw = chain.rpc_request("chain_getHeader", [block])["result"]
        assert number == 0 or hashed(raw) == block, number
    told["blocks"] = last + 1
    chain.close()
    return told


def hashed(header: dict[str, Any]) -> str:
    """A header's hash, from its JSON."""
    number = int(header["number"], 16)
    compact = bytes([number << 2]) if number < 64 else (number << 2 | 1).to_bytes(2, "little")
    logs = [bytes.fromhex(one[2:]) for one in header["digest"]["logs"]]
    raw = bytes.fromhex(header["parentHash"][2:]) + compact
    raw += bytes.fromhex(header["stateRoot"][2:]) + bytes.fromhex(header["extrinsicsRoot"][2:])
    raw += bytes([len(logs) << 2]) + b"".join(logs)
    return "0x" + hashlib.blake2b(raw, digest_size=32).hexdigest()


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2])))
