"""async-substrate-interface as an unchanged client. `async_scenario.py URL REGISTRY`; prints one JSON object.

It brings no keys: the smallest ones that it accepts are here.
"""

import asyncio
import hashlib
import json
import sys
from typing import Any

import base58
import sr25519
from async_substrate_interface import AsyncSubstrateInterface
from async_substrate_interface.errors import SubstrateRequestException
from nacl.signing import SigningKey

GIB = 1024**3
HASH = "1fcdb75ce0bccc19c57a0011c5193616"
SEED = bytes.fromhex("fac7959dbfe72f052e5a0c3c8d6530f202b02fd8f9f5ca3580ec8deb7797479e")


class Key:
    """A key pair: the development account of a name (sr25519), or of a seed (ed25519)."""

    ss58_format = 42

    def __init__(self, name: str = "", seed: bytes = b"") -> None:
        self.crypto_type = 1 if name else 0
        self._signing = SigningKey(seed) if seed else None
        if self._signing is not None:
            self.public_key = bytes(self._signing.verify_key)
        else:
            code = (bytes([len(name) << 2]) + name.encode()).ljust(32, b"\0")
            _, self.public_key, self._private = sr25519.hard_derive_keypair((code, *sr25519.pair_from_seed(SEED)), b"")
        body = b"\x2a" + self.public_key
        self.ss58_address = base58.b58encode(body + hashlib.blake2b(b"SS58PRE" + body).digest()[:2]).decode()

    def sign(self, data: bytes | str) -> bytes:
        raw = bytes.fromhex(data[2:]) if isinstance(data, str) else bytes(data)
        if self._signing is not None:
            return bytes(self._signing.sign(raw).signature)
        return bytes(sr25519.sign((self.public_key, self._private), raw))


async def main(url: str, registry: str) -> dict[str, Any]:
    alice, bob, node = Key("Alice"), Key("Bob"), Key(seed=b"\7" * 32)
    told: dict[str, Any] = {"errors": {}, "events": {}}
    async with AsyncSubstrateInterface(url, ss58_format=42, type_registry=json.loads(registry) or None) as chain:

        async def send(module: str, name: str, params: dict[str, Any], who: Key, **how: Any) -> Any:
            call = await chain.compose_call(module, name, params)
            extrinsic = await chain.create_signed_extrinsic(call, who, **how)
            return await chain.submit_extrinsic(extrinsic, wait_for_finalization=True)

        async def good(*args: Any, **how: Any) -> list[str]:
            receipt = await send(*args, **how)
            assert await receipt.is_success, await receipt.error_message
            return [event["event"]["event_id"] for event in await receipt.triggered_events]

        async def value(module: str, name: str, *params: Any, at: str | None = None) -> Any:
            found = await chain.query(module, name, list(params), block_hash=at)
            return getattr(found, "value", found)

        told["chain"] = chain.chain
        told["spec"] = await chain.get_block_runtime_version_for(await chain.get_chain_head())
        told["genesis"] = await chain.get_block_hash(0)
        deposit = await chain.get_constant("Balances", "ExistentialDeposit")
        told["deposit"] = getattr(deposit, "value", deposit)
        told["free"] = (await value("System", "Account", alice.ss58_address))["data"]["free"]
        numbers: list[int] = []

        async def on_header(header: dict[str, Any], *_: Any) -> Any:
            number = header["header"]["number"]
            numbers.append(number if isinstance(number, int) else int(number, 16))
            return numbers if len(numbers) == 3 else None

        told["heads"] = await chain.subscribe_block_headers(on_header)
        terms = {"document_link": "http://zos.tf/terms/v0.1", "document_hash": "9021d4dee05a661e2cb6838152c67f25"}
        twin = {"relay": None, "pk": None}
        receipt = await send("TfgridModule", "create_twin", twin, alice)
        assert not await receipt.is_success
        told["errors"]["terms"] = (await receipt.error_message)["name"]
        await good("TfgridModule", "user_accept_tc", terms, alice)
        await good("TfgridModule", "create_twin", twin, alice)
        # The library has a bounded list as a tuple of one list.
        ips = [[{"ip": "185.206.122.33/24", "gw": "185.206.122.1"}]]
        await good("TfgridModule", "create_farm", {"name": "asi_farm", "public_ips": ips}, alice)
        told["farm"] = (await value("TfgridModule", "Farms", 1))["name"]
        paid = {"dest": node.ss58_address, "value": 10_000_000}
        transfer = await chain.compose_call("Balances", "transfer_keep_alive", paid)
        # Its get_payment_info wants metadata V15, which no TFChain tells.
        signed = await chain.create_signed_extrinsic(transfer, Key("Charlie"))
        info = await chain.rpc_request("payment_queryInfo", [signed.data.to_hex()])
        told["fee"] = int(info["result"]["partialFee"])
        await good("Balances", "transfer_keep_alive", paid, alice)
        await good("TfgridModule", "user_accept_tc", terms, node)
        await good("TfgridModule", "create_twin", twin, node)
        record = {
            "farm_id": 1,
            "resources": {"hru": 0, "sru": 512 * GIB, "cru": 8, "mru": 32 * GIB},
            "location": {"city": "Ghent", "country": "Belgium", "latitude": "51.0", "longitude": "3.7"},
            "interfaces": [[{"name": "zos", "mac": "54:b2:03:12:34:56", "ips": [["10.0.0.5"]]}]],
            "secure_boot": False,
            "virtualized": True,
            "serial_number": None,
        }
        await good("TfgridModule", "create_node", record, node)
        told["node"] = [(await value("TfgridModule", "Nodes", 1))[name] for name in ("id", "twin_id")]
        now = await value("Timestamp", "Now") // 1000
        await good("TfgridModule", "report_uptime_v2", {"uptime": 3600, "timestamp_hint": now}, node)
        contract = {
            "node_id": 1,
            "deployment_hash": "0x" + HASH.encode().hex(),
            "deployment_data": "{}",
            "public_ips": 1,
            "solution_provider_id": None,
        }
        told["made"] = await good("SmartContractModule", "create_node_contract", contract, alice)
        before = await chain.get_chain_finalised_head()
        used = {"contract_id": 1, "used": {"hru": 0, "sru": 50 * GIB, "cru": 2, "mru": 4 * GIB}}
        await good("SmartContractModule", "report_contract_resources", {"contract_resources": [used]}, node)
        farms = await chain.query_map("TfgridModule", "Farms")
        told["farms"] = [[key, getattr(farm, "value", farm)["name"]] async for key, farm in farms]
        told["cancelled"] = await good("SmartContractModule", "cancel_contract", {"contract_id": 1}, alice)
        told["gone"] = await value("SmartContractModule", "Contracts", 1) is None
        told["past"] = (await value("SmartContractModule", "Contracts", 1, at=before))["contract_id"]
        await good("System", "remark", {"remark": "0x01"}, bob, era={"period": 64}, tip=7)
        try:
            await send("System", "remark", {"remark": "0x01"}, bob, nonce=0)
        except SubstrateRequestException as err:
            told["pool"] = str(err)
        last = await chain.get_block_number(await chain.get_chain_finalised_head())
        for number in range(last + 1):
            for event in await chain.get_events(await chain.get_block_hash(number)):
                name = f"{event['event']['module_id']}.{event['event']['event_id']}"
                told["events"][name] = told["events"].get(name, 0) + 1
        told["blocks"] = last + 1
    return told


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1], sys.argv[2]))))
