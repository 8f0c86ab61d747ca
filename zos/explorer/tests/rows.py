"""A made-up grid as rows, for tests and benchmarks that need no chain; the same every time."""

from __future__ import annotations

import random
from typing import Any

from zos.explorer.rules import FEATURES, features_mask
from zos.explorer.store.changes import Changes, Cursor, EventFacts, Row
from zos.explorer.store.countries import region
from zos.explorer.store.schema import PRICED_UNITS
from zos.explorer.store.writer import Store

GiB = 1024**3
NOW = 1_700_000_000
PLACES = (
    ("Belgium", "Ghent"),
    ("Egypt", "Cairo"),
    ("United States", "Reno"),
    ("Türkiye", "İzmir"),
    ("Nowhere", "100%_sure"),
)
CURSOR = Cursor("0x00", "0x01", 100, "0x64", NOW)


def farm(id: int, ips: int = 4, dedicated: bool = False, **more: Any) -> tuple[Row, list[Row]]:
    addresses = [
        {
            "farm_id": id,
            "ip": f"185.{id // 250}.{id % 250}.{number + 2}/24",
            "gateway": f"185.{id // 250}.{id % 250}.1",
            "contract_id": 0 if number % 2 else id * 100 + number,
        }
        for number in range(ips)
    ]
    row = {
        "farm_id": id,
        "name": f"Farm-{id}",
        "name_key": f"farm-{id}",
        "twin_id": id,
        "pricing_policy_id": 1,
        "certification": "Gold" if id % 7 == 0 else "NotCertified",
        "stellar_address": f"G{id:055d}",
        "dedicated": dedicated,
        "grid_version": 4,
        "total_ips": ips,
        "free_ips": sum(not one["contract_id"] for one in addresses),
        **more,
    }
    return row, addresses


def node(id: int, farm: int = 1, place: int = 0, **more: Any) -> tuple[Row, list[Row]]:
    country, city = PLACES[place]
    has_config = bool(more.get("ipv4"))
    row = {
        "node_id": id,
        "farm_id": farm,
        "twin_id": 10_000 + id,
        "grid_version": 5,
        "country": country,
        "country_key": country.casefold(),
        "city": city,
        "city_key": city.casefold(),
        "region": region(country),
        "longitude": "3.71",
        "latitude": "Unknown" if id % 5 == 0 else "51.05",
        "total_hru": 0,
        "total_sru": 1000 * GiB,
        "total_cru": 16,
        "total_mru": 64 * GiB,
        "created": NOW - 1000,
        "farming_policy_id": 1,
        "connection_price": 80,
        "certification": "Diy",
        "secure": False,
        "virtualized": False,
        "serial_number": "Unknown",
        "power_state": None,
        "power_target": None,
        "extra_fee": 0,
        "has_public_config": has_config,
        **dict.fromkeys(("ipv4", "gw4", "ipv6", "gw6", "domain"), ""),
        **more,
    }
    return row, [{"node_id": id, "position": 0, "name": "zos", "mac": "54:b2:03:12:34:56", "ips": "10.0.0.5,fe80::1"}]


def twin(id: int) -> Row:
    return {"twin_id": id, "account_id": f"5{id:047d}", "relay": "relay.lab" if id % 2 else None, "public_key": None}


def contract(id: int, kind: str = "node", **more: Any) -> Row:
    is_node = kind == "node"
    return {
        "contract_id": id,
        "type": kind,
        "twin_id": 1,
        "state": "Created",
        "created_at": NOW - 3600,
        "grid_version": 4,
        "solution_provider_id": 0,
        "node_id": 0 if kind == "name" else 1,
        "name": f"name{id}" if kind == "name" else "",
        "deployment_data": f'{{"version":3,"type":"vm","name":"vm{id}","projectName":""}}' if is_node else "",
        "deployment_hash": f"{id:032x}" if is_node else "",
        "number_of_public_ips": 0,
        "used_hru": 0,
        "used_sru": 10 * GiB if is_node else 0,
        "used_cru": 1 if is_node else 0,
        "used_mru": 2 * GiB if is_node else 0,
        **more,
    }


def bill(number: int, contract: int, amount: int = 1000, timestamp: int = NOW) -> Row:
    return {
        "block": number,
        "position": 0,
        "contract_id": contract,
        "timestamp": timestamp,
        "amount": amount,
        "discount": "Gold",
    }


def pricing() -> Row:
    prices = {"su": 50_000, "cu": 100_000, "nu": 15_000, "ipu": 40_000, "unique_name": 2_500, "domain_name": 5_000}
    return {
        "pricing_policy_id": 1,
        "grid_version": 1,
        "name": "prices",
        **prices,
        **{f"{name}_unit": "Gigabytes" for name in PRICED_UNITS},
        "foundation_account": "5F",
        "certified_sales_account": "5S",
        "discount": 50,
    }


def small(store: Store, now: int = NOW) -> None:
    """Two farms, five nodes, contracts of all kinds."""
    config: dict[str, Any] = {
        "ipv4": "185.0.1.9/24",
        "gw4": "185.0.1.1",
        "ipv6": "",
        "gw6": "",
        "domain": "gw.example.org",
    }
    touched = EventFacts(
        uptimes={1: (now - 60, 500), 2: (now - 60, 600), 3: (now - 3 * 3600, 700), 5: (now - 60, 800)},
        uptime_reports={(1, now - 60): 500, (1, now - 10_000): 400, (2, now - 60): 600},
        bills=[bill(1, 1, 5_000_000, now - 3600), bill(2, 1, 20_000_000, now), bill(3, 2, 7)],
    )
    changes = Changes(
        farms={1: farm(1), 2: farm(2, ips=0, dedicated=True, name="50%_Off", name_key="50%_off")},
        nodes={
            1: node(1, **config),
            2: node(2, farm=2, place=1, certification="Certified"),
            3: node(3, place=2, power_state="Down", power_target="Down"),
            4: node(4, place=4, extra_fee=5000, created=now - 10**6),
            5: node(5, place=3),
        },
        twins={id: twin(id) for id in (1, 2, 3)},
        contracts={
            1: contract(1),
            2: contract(2, twin_id=2, state="GracePeriod", number_of_public_ips=1),
            3: contract(3, "name"),
            4: contract(4, "rent", node_id=2, twin_id=3),
            5: contract(5, state="Deleted"),
        },
        pricing={1: pricing()},
        is_whole=True,
    )
    store.apply(changes, touched, CURSOR)
    gpu = {
        "node_id": 5,
        "id": "0000:01:00.0/10de/2684",
        "vendor": "NVIDIA",
        "device": "RTX 4090",
        "contract": 0,
        "updated_at": now,
    }
    store.replace_gpus(
        5, [gpu, gpu | {"id": "0000:02:00.0/1002/744c", "vendor": "AMD", "device": "Navi 31", "contract": 9}]
    )
    offered = ["zmachine", "network", "wireguard", "zmachine-light"]
    columns = {"features": features_mask(offered), "healthy": True, "num_gpu": 2, "has_ipv6": True, "workloads": 3}
    report = {
        "features": offered,
        "features_at": now,
        "bios": {"vendor": "AMI", "version": "1"},
        "upload": 1e9,
        "download": 2e9,
    }
    store.save_answer(5, columns, report)


def large(store: Store, nodes: int = 10_000, contracts: int = 100_000, now: int = NOW) -> None:
    """A grid of this size: a tenth as many farms as nodes, a fifth as many twins as contracts."""
    chance = random.Random(1)
    farms, twins = max(nodes // 10, 1), max(contracts // 5, 1)
    changes = Changes(is_whole=True, pricing={1: pricing()})
    changes.farms = {id: farm(id, ips=id % 9, dedicated=id % 10 == 0) for id in range(1, farms + 1)}
    changes.twins = {id: twin(id) for id in range(1, twins + 1)}
    for id in range(1, nodes + 1):
        config = {"ipv4": "185.1.1.1/24", "gw4": "185.1.1.254", "domain": "gw.example.org"} if id % 20 == 0 else {}
        total = {"total_cru": chance.choice((4, 8, 16, 64)), "total_mru": chance.choice((8, 32, 256)) * GiB}
        changes.nodes[id] = node(id, chance.randint(1, farms), chance.randrange(len(PLACES)), **config, **total)
    for id in range(1, contracts + 1):
        kind = chance.choices(("node", "name", "rent"), (90, 6, 4))[0]
        state = chance.choices(("Created", "GracePeriod", "Deleted"), (30, 2, 68))[0]
        on = 0 if kind == "name" else chance.randint(1, nodes)
        begun = now - chance.randint(0, 10**7)
        changes.contracts[id] = contract(
            id, kind, twin_id=chance.randint(1, twins), state=state, node_id=on, created_at=begun
        )
    touched = EventFacts(uptimes={id: (now - chance.choice((60, 60, 60, 10**5)), 5) for id in changes.nodes})
    touched.bills = [bill(number, chance.randint(1, contracts), 10, now - number) for number in range(1, contracts)]
    store.apply(changes, touched, CURSOR)
    for id in range(1, nodes + 1, 10):
        offered = list(chance.sample(FEATURES, 8))
        columns = {"features": features_mask(offered), "healthy": True, "num_gpu": id % 2}
        store.save_answer(id, columns, {"features": offered, "features_at": now})
