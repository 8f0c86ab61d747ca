"""The REST API as grid clients use it: filters, order, pages, shapes, refusals."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from sqlalchemy import Engine

from zos.explorer import rules
from zos.explorer.rest import api, filters, openapi, params, queries
from zos.explorer.rest.routes import ROUTES
from zos.explorer.tests import rows
from zos.explorer.tests.grid import FakeNode, GiB, Web
from zos.explorer.tests.served import served

NODE_FILTERS = [
    ("status=up", [1, 2, 5]),
    ("status=down", [4]),
    ("status=standby", [3]),
    ("status=down,standby", [3, 4]),
    ("status=up&status=standby", [1, 2, 3, 5]),
    (f"free_mru={int(60 * GiB)}", []),
    (f"free_mru={int(57 * GiB)}", [2, 3, 4, 5]),
    (f"free_sru={int(975 * GiB)}", [2, 3, 4, 5]),
    ("free_hru=1", []),
    ("total_cru=16&total_mru=1&total_sru=1", [1, 2, 3, 4, 5]),
    ("total_hru=1", []),
    ("country=belgium", [1]),
    ("country=TÜRKIYE", [5]),
    ("country_contains=ED+ST", [3]),
    ("city=%C4%B0zmir", [5]),
    ("city_contains=0%25_S", [4]),
    ("city_contains=0_S", []),
    ("region=asia", [5]),
    ("region=americas", [3]),
    ("farm_name=farm-1", [1, 3, 4, 5]),
    ("farm_name_contains=%25_", [2]),
    ("farm_ids=2,9", [2]),
    ("farm_id=2", [2]),
    ("free_ips=1", [1, 3, 4, 5]),
    ("free_ips=0", [1, 2, 3, 4, 5]),
    ("ipv4=true", [1]),
    ("ipv4=false&ipv6=false&domain=false", [2, 3, 4, 5]),
    ("domain=true", [1]),
    ("dedicated=false", [1]),
    ("in_dedicated_farm=true", [2]),
    ("rentable=true", [3, 4, 5]),
    ("rented=true", [2]),
    ("rented_by=3", [2]),
    ("owned_by=2", [2]),
    ("rentable_or_rented_by=3", [2, 3, 4, 5]),
    ("available_for=3", [2, 1, 3, 5]),
    ("available_for=9", [1, 3, 5]),
    ("node_id=4", [4]),
    ("node_ids=4,1", [1, 4]),
    ("twin_id=10002", [2]),
    ("certification_type=certified", [2]),
    ("has_gpu=true", [5]),
    ("has_gpu=false", [1, 2, 3, 4]),
    ("num_gpu=2", [5]),
    ("total_gpu=2", [5]),
    ("free_gpu=1", [5]),
    ("gpu_vendor_name=nvidia&gpu_available=true", [5]),
    ("gpu_vendor_name=amd&gpu_available=true", []),
    ("gpu_device_name=rtx&gpu_device_id=2684&gpu_vendor_id=10de", [5]),
    ("healthy=true", [5]),
    ("healthy=false", []),
    ("has_ipv6=true", [5]),
    ("has_ipv6=false", [1, 2, 3, 4]),
    ("features=zmachine,network", [5]),
    ("features=zmachine,qsfs", []),
    ("excluded=1,2,3", [4, 5]),
    ("price_max=1", []),
    ("price_min=1", [1, 2, 3, 4, 5]),
    ("sort_by=node_id&sort_order=desc", [5, 4, 3, 2, 1]),
    ("sort_by=status", [1, 2, 5, 3, 4]),
    ("sort_by=country&size=2", [1, 2]),
    ("sort_by=free_cru&sort_order=DESC", [5, 4, 3, 2, 1]),
    ("certification_type=Gold", []),
    ("page=2&size=2", [3, 4]),
    ("size=0", []),
    ("free_mru=&status=&node_id=4", [4]),
]


@pytest.mark.parametrize(("query", "ids"), NODE_FILTERS)
async def test_nodes_are_filtered_and_ordered(web: Web, query: str, ids: list[int]) -> None:
    found = [node["nodeId"] for node in await web.get(f"/nodes?{query}&ret_count=true")]
    assert found == (ids if "sort_by" in query or "available" in query or "page" in query else sorted(ids))


def test_every_filter_of_nodes_is_tried() -> None:
    tried = {part.partition("=")[0] for query, _ in NODE_FILTERS for part in query.split("&")}
    assert {param.name for param in filters.NODES} <= tried


LISTS = [
    ("/farms", "farmId", "name=50%25_off", [2]),
    ("/farms", "farmId", "name_contains=FARM", [1]),
    ("/farms", "farmId", "farm_name=FARM-1", [1]),
    ("/farms", "farmId", "free_ips=2", [1]),
    ("/farms", "farmId", "total_ips=4&dedicated=false", [1]),
    ("/farms", "farmId", "farm_id=2", [2]),
    ("/farms", "farmId", "twin_id=1&pricing_policy_id=1", [1]),
    ("/farms", "farmId", "certification_type=NotCertified", [1, 2]),
    ("/farms", "farmId", "certification_type=DIY", []),
    ("/farms", "farmId", f"stellar_address=G{1:055d}", [1]),
    ("/farms", "farmId", "node_certified=true&node_status=up", [2]),
    ("/farms", "farmId", "node_has_gpu=true&node_features=zmachine&node_has_ipv6=true", [1]),
    ("/farms", "farmId", "node_has_gpu=true&node_status=down", []),
    ("/farms", "farmId", "node_rented_by=3", [2]),
    ("/farms", "farmId", "node_available_for=3", [2, 1]),
    ("/farms", "farmId", "node_available_for=4", [1]),
    ("/farms", "farmId", "node_total_cru=16&node_free_mru=1&node_free_sru=1", [1, 2]),
    ("/farms", "farmId", "node_free_hru=1", []),
    ("/farms", "farmId", "country=egypt&region=Africa", [2]),
    ("/farms", "farmId", "sort_by=used_ips&sort_order=asc", [2, 1]),
    ("/twins", "twinId", "twin_id=2", [2]),
    ("/twins", "twinId", "relay=relay.lab", [1, 3]),
    ("/twins", "twinId", f"account_id=5{3:047d}", [3]),
    ("/twins", "twinId", "public_key=0x02", []),
    ("/contracts", "contract_id", "type=rent", [4]),
    ("/contracts", "contract_id", "state=created", [1, 3, 4]),
    ("/contracts", "contract_id", "state=GracePeriod,Deleted", [2, 5]),
    ("/contracts", "contract_id", "twin_id=2&node_id=1", [2]),
    ("/contracts", "contract_id", "name=name3", [3]),
    ("/contracts", "contract_id", "number_of_public_ips=1", [2]),
    ("/contracts", "contract_id", f"deployment_hash={1:032x}", [1]),
    ("/contracts", "contract_id", "farm_name=Farm-1&contract_id=1", [1]),
    ("/contracts", "contract_id", "farm_id=2", [4]),
    ("/contracts", "contract_id", "deployment_data=x", []),
    ("/contracts", "contract_id", "sort_by=type&sort_order=desc&size=1", [4]),
    ("/public_ips", "ip", "free=true&farm_ids=1", ["185.0.1.3/24", "185.0.1.5/24"]),
    ("/public_ips", "ip", "ip=185.0.1.2/24&gateway=185.0.1.1", ["185.0.1.2/24"]),
]


@pytest.mark.parametrize(("path", "key", "query", "keys"), LISTS)
async def test_lists_are_filtered_and_ordered(web: Web, path: str, key: str, query: str, keys: list[Any]) -> None:
    assert [one[key] for one in await web.get(f"{path}?{query}")] == keys


@pytest.mark.parametrize(
    ("path", "known"),
    [
        ("/farms", filters.FARMS),
        ("/twins", filters.TWINS),
        ("/contracts", filters.CONTRACTS),
        ("/public_ips", filters.PUBLIC_IPS),
    ],
)
def test_every_filter_of_lists_is_tried(path: str, known: tuple[params.Param, ...]) -> None:
    tried = {part.partition("=")[0] for one, _, query, _ in LISTS if one == path for part in query.split("&")}
    assert {param.name for param in known} <= tried


@pytest.mark.parametrize(
    ("path", "sorts"),
    [
        ("/nodes", queries.NODE_SORTS),
        ("/gateways", queries.NODE_SORTS),
        ("/farms", queries.FARM_SORTS),
        ("/twins", queries.TWIN_SORTS),
        ("/contracts", queries.CONTRACT_SORTS),
        ("/contracts/1/bills", queries.BILL_SORTS),
        ("/public_ips", queries.IP_SORTS),
    ],
)
async def test_every_order_is_the_other_one_backwards(web: Web, path: str, sorts: dict[str, Any]) -> None:
    for word in sorts:
        up = await web.get(f"{path}?sort_by={word}")
        assert up == list(reversed(await web.get(f"{path}?sort_by={word}&sort_order=desc"))), word
    assert len(await web.get(f"{path}?randomize=true")) == len(up)


async def test_a_node_of_a_list_has_the_shape_that_clients_read(web: Web) -> None:
    (node,) = await web.get("/nodes?node_id=5")
    assert node["gpus"][0]["device"] == "RTX 4090"
    assert node["dmi"] == {
        "bios": {"vendor": "AMI", "version": "1"},
        "baseboard": {"manufacturer": "", "product_name": ""},
        "processor": [],
        "memory": [],
    }
    assert node["speed"] == {"upload": 1e9, "download": 2e9}
    assert node["features"] == ["zmachine", "network", "wireguard", "zmachine-light"]
    assert node["location"] == {"country": "Türkiye", "city": "İzmir", "longitude": 3.71, "latitude": None}
    assert node["used_resources"] == {"cru": 0, "sru": 20 * GiB, "hru": 0, "mru": rules.reserved_mru(64 * GiB)}
    alone = await web.get("/nodes/5")
    total, used = node.pop("total_resources"), node.pop("used_resources")
    assert alone == node | {"capacity": {"total_resources": total, "used_resources": used}}


async def test_a_rented_node_says_by_whom(web: Web) -> None:
    node = await web.get("/nodes/2")
    assert (node["rentContractId"], node["rentedByTwinId"], node["rented"], node["rentable"]) == (4, 3, True, False)
    assert (node["inDedicatedFarm"], node["dedicated"]) == (True, True)


async def test_contracts_of_all_types_have_their_details(web: Web) -> None:
    assert (await web.get("/contracts/3"))["details"] == {"name": "name3"}
    assert (await web.get("/contracts/4"))["details"] == {"nodeId": 2, "farm_name": "50%_Off", "farm_id": 2}
    assert (await web.get("/contracts/2"))["details"]["number_of_public_ips"] == 1
    assert await web.get("/contracts/9", 404) == {"error": "contract not found"}


async def test_paging_headers_come_when_they_are_asked_for(web: Web) -> None:
    async with web.session.get(f"{web.url}/nodes?size=2&page=3&ret_count=true") as answer:
        told = {name: answer.headers[name] for name in ("count", "size", "pages")}
        assert told == {"count": "5", "size": "2", "pages": "3"}
        assert [node["nodeId"] for node in await answer.json()] == [5]
    async with web.session.get(f"{web.url}/nodes?size=0&ret_count=true") as answer:
        assert {name: answer.headers[name] for name in told} == {"count": "5", "size": "0", "pages": "0"}
    async with web.session.get(f"{web.url}/nodes?size=2") as answer:
        assert "count" not in answer.headers
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.headers["Access-Control-Expose-Headers"] == "*"


async def test_bills_and_what_a_twin_pays(web: Web) -> None:
    bills = await web.get("/contracts/1/bills?ret_count=true")
    assert bills == [
        {"amountBilled": 20_000_000, "discountReceived": "Gold", "timestamp": rows.NOW},
        {"amountBilled": 5_000_000, "discountReceived": "Gold", "timestamp": rows.NOW - 3600},
    ]
    assert await web.get("/contracts/99/bills") == []
    assert await web.get("/twins/1/consumption") == {"last_hour_consumption": 2.0, "overall_consumption": 2.5}
    assert await web.get("/twins/77/consumption") == {"last_hour_consumption": 0.0, "overall_consumption": 0.0}


async def test_sums_over_the_grid(web: Web) -> None:
    stats = await web.get("/stats")
    assert (stats["nodes"], stats["farms"], stats["countries"], stats["totalCru"]) == (5, 2, 5, 80)
    assert (stats["accessNodes"], stats["gateways"], stats["gpus"], stats["dedicatedNodes"]) == (1, 1, 1, 4)
    assert (stats["twins"], stats["contracts"], stats["publicIps"], stats["workloads_number"]) == (3, 5, 4, 3)
    assert stats["nodesDistribution"]["Belgium"] == 1
    assert (await web.get("/stats?status=standby"))["nodes"] == 1


@pytest.mark.parametrize(
    "path",
    [
        "/nodes?nodeid=1",
        "/nodes?node_id=one",
        "/nodes?node_id=-1",
        "/nodes?node_id=1.5",
        "/nodes?node_id=%2B1",
        f"/nodes?node_id={2**64}",
        "/nodes?sort_order=sideways",
        "/nodes?ipv4=yes",
        "/nodes?price_min=nan",
        "/nodes?price_min=1e400",
        "/nodes?country=%00",
        "/nodes?farm_ids=1,two",
        "/nodes?country=" + "x" * 20_000,
        "/nodes?balance=--5",
        "/nodes?node_ids=" + ",".join(["1"] * 10_001),
        "/farms?farmname=x",
        "/nodes/one",
        f"/nodes/{2**70}",
        "/contracts/x/bills",
        "/stats?country=Belgium",
    ],
)
async def test_what_means_nothing_is_refused_with_a_reason(web: Web, path: str) -> None:
    assert list(await web.get(path, 400)) == ["error"]


async def test_unknown_pages_and_methods_are_refused_as_json(web: Web) -> None:
    assert list(await web.get("/nothing", 404)) == ["error"]
    assert await web.get("/nodes/77", 404) == {"error": "node not found"}
    assert await web.get("/gateways/2", 404) == {"error": "gateway not found"}
    async with web.session.delete(f"{web.url}/nodes") as answer:
        assert (answer.status, list(await answer.json())) == (405, ["error"])
    async with web.session.options(f"{web.url}/graphql") as answer:
        assert answer.status == 204
        assert "POST" in answer.headers["Access-Control-Allow-Methods"]


async def test_small_pages_are_as_clients_expect(web: Web) -> None:
    assert await web.get("/ping") == {"ping": "pong"}
    assert (await web.get("/version"))["version"].startswith("v")
    health = await web.get("/health")
    assert (health["db_conn"], health["indexers"]["features"]["updated_at"]) == ("ok", rows.NOW)
    assert "[/nodes/{node_id}/status]" in await web.get("/")
    assert (await web.get("/gateways/1/status")) == {"status": "up"}


async def test_health_says_whether_nodes_can_be_asked(filled: Engine, web: Web) -> None:
    assert "cannot be asked" in (await web.get("/health"))["rmb_conn"]
    node = FakeNode({})
    async with served(filled, node) as asking:
        assert (await asking.get("/health"))["rmb_conn"] == "ok"
        node.trouble = "ws://relay: refused"
        health = await asking.get("/health")
        assert (health["rmb_conn"], health["total_state_ok"]) == ("ws://relay: refused", False)


async def test_only_so_many_questions_to_nodes_are_under_way(filled: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "MAX_NODE_CALLS", 6)
    node = FakeNode({"zos.gpu.list": []})
    node.dead[10_001] = asyncio.Event()
    async with served(filled, node) as web, asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(web.get("/nodes/1/gpu"))
        async with asyncio.timeout(20):
            while len(node.asked) < 3:
                await asyncio.sleep(0.01)
        assert "too many" in (await web.get("/nodes/2/gpu", 503))["error"]
        connector = aiohttp.TCPConnector(local_addr=("127.0.0.2", 0))
        async with (
            aiohttp.ClientSession(connector=connector) as other,
            other.get(f"{web.url}/nodes/2/gpu") as answer,
        ):
            assert answer.status == 200, "another network has its share"
        async with web.session.get(f"{web.url}/nodes/2/gpu") as answer:
            assert answer.headers["Retry-After"] == "1"
        node.dead.pop(10_001).set()


async def test_the_document_is_where_people_look_for_it(web: Web) -> None:
    document = await web.get("/openapi.json")
    for path in ("/swagger/doc.json", "/swagger/", "/swagger/index.html"):
        assert await web.get(path) == document
    async with web.session.head(f"{web.url}/nodes?ret_count=true") as answer:
        assert (answer.status, answer.headers["count"], await answer.read()) == (200, "5", b"")


async def test_what_only_the_node_knows_is_asked_of_it(filled: Engine, web: Web) -> None:
    numbers = {"cru": 1, "hru": 2, "ipv4u": 3, "mru": 4, "sru": 5}
    users = {"deployments": 1, "workloads": 2, "last_deployment_timestamp": 3}
    statistics = {"system": numbers, "total": numbers, "used": numbers, "users": users}
    card = {"id": "0000:01", "vendor": "NVIDIA", "device": "RTX", "contract": 7}
    node = FakeNode({"zos.statistics.get": statistics | {"open_connections": 9}, "zos.gpu.list": [card | {"vram": 8}]})
    async with served(filled, node) as asking:
        assert await asking.get("/nodes/1/statistics") == statistics
        assert await asking.get("/nodes/1/gpu") == [{"node_twin_id": 10_001, **card}]
        assert {twin for twin, _ in node.asked} == {10_001}
        assert "standby" in (await asking.get("/nodes/3/statistics", 500))["error"]
        del node.answers["zos.gpu.list"]
        assert "no answer" in (await asking.get("/nodes/1/gpu", 500))["error"]
        node.answers["zos.gpu.list"] = {"not": "a list"}
        assert "a list was expected" in (await asking.get("/nodes/1/gpu", 500))["error"]
    assert "cannot be asked" in (await web.get("/nodes/1/gpu", 500))["error"]


async def test_the_document_tells_every_route_and_parameter(web: Web) -> None:
    document = await web.get("/openapi.json")
    assert set(document["paths"]) == {route.path for route in ROUTES}
    nodes = {one["name"] for one in document["paths"]["/nodes"]["get"]["parameters"]}
    assert {"status", "rentable_or_rented_by", "sort_by", "ret_count"} <= nodes
    assert json.loads(json.dumps(openapi.document(ROUTES))) == document


async def test_the_price_filter_agrees_with_the_price_shown(web: Web) -> None:
    for balance in (0, 100, 500, 5000):
        shown = {one["nodeId"]: one["price_usd"] for one in await web.get(f"/nodes?balance={balance}")}
        limit = sorted(shown.values())[2] + 0.01
        cheap = await web.get(f"/nodes?balance={balance}&price_max={limit:.3f}")
        assert {one["nodeId"] for one in cheap} == {id for id, price in shown.items() if price <= limit}
