"""GraphQL as grid clients send it, and as nobody should."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import pytest
from graphql import build_client_schema, get_introspection_query
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from zos.explorer.graphql import types
from zos.explorer.graphql.endpoint import GraphqlEndpoint
from zos.explorer.store import pool as pool_module
from zos.explorer.store.database import open_database
from zos.explorer.store.pool import Frontend, QueryPool
from zos.explorer.store.writer import Store
from zos.explorer.tests import rows
from zos.explorer.tests.grid import Web


async def asked(web: Web, query: str, **variables: Any) -> Any:
    body = await web.query(query, **variables)
    assert "errors" not in body, body
    return body["data"]


async def test_the_first_query_of_clients_is_answered(web: Web) -> None:
    assert await asked(web, "query { __typename }") == {"__typename": "Query"}


async def test_a_nodes_twin_is_found(web: Web) -> None:
    query = "query getNode($nodeId: Int!) { nodes(where: { nodeID_eq: $nodeId }) { twinID } }"
    assert await asked(web, query, nodeId=2) == {"nodes": [{"twinID": 10_002}]}
    assert await asked(web, query, nodeId=99) == {"nodes": []}


async def test_contracts_are_counted_and_then_listed_as_the_client_does(web: Web) -> None:
    count = """query getNodeContractsCount($twinId: Int!, $stateIn: [ContractState!]) {
      items: nodeContractsConnection(where: {twinID_eq: $twinId, state_in: $stateIn}, orderBy: twinID_ASC) {
        count: totalCount } }"""
    states = ["Created", "GracePeriod"]
    assert await asked(web, count, twinId=1, stateIn=states) == {"items": {"count": 1}}
    listed = """query getContracts($twinId: Int!, $limit: Int!) {
      nodeContracts(where: {twinID_eq: $twinId, state_in: [Created, GracePeriod],
          AND: [{deploymentData_contains: "\\"type\\":\\"vm\\""}, {deploymentData_contains: "\\"name\\":\\"vm1\\""}]},
        limit: $limit) {
        contractID deploymentData state createdAt nodeID numberOfPublicIPs } }"""
    found = await asked(web, listed, twinId=1, limit=50)
    assert found == {
        "nodeContracts": [
            {
                "contractID": "1",
                "deploymentData": '{"version":3,"type":"vm","name":"vm1","projectName":""}',
                "state": "Created",
                "createdAt": str(rows.NOW - 3600),
                "nodeID": 1,
                "numberOfPublicIPs": 0,
            }
        ]
    }


async def test_name_and_rent_contracts_and_bills(web: Web) -> None:
    query = """{ nameContracts { contractID createdAt name solutionProviderID state twinID }
      rentContracts(where: {nodeID_eq: 2}) { contractID twinID nodeID state }
      contractBillReports(where: {contractID_eq: "1"}, orderBy: timestamp_DESC) {
        amountBilled timestamp discountReceived } }"""
    data = await asked(web, query)
    (named,) = data["nameContracts"]
    assert (named["contractID"], named["name"], named["state"]) == ("3", "name3", "Created")
    assert data["rentContracts"] == [{"contractID": "4", "twinID": 3, "nodeID": 2, "state": "Created"}]
    assert [bill["amountBilled"] for bill in data["contractBillReports"]] == ["20000000", "5000000"]
    assert data["contractBillReports"][0]["discountReceived"] == "Gold"


async def test_links_are_followed(web: Web) -> None:
    query = """{ nodes(where: {nodeID_in: [1, 2]}, orderBy: [nodeID_DESC]) {
        id nodeID location { latitude longitude } publicConfig { ipv4 ipv6 domain node { nodeID } }
        resourcesTotal { cru mru } interfaces { name mac ips node { farmID } } power { state target }
        certification country uptime updatedAt dedicated extraFee }
      farms(orderBy: farmID_ASC) { name publicIPs { ip contractId farm { farmID } } certification }
      publicConfigs { domain node { nodeID } } twins(where: {relay_isNull: false}) { twinID accountID relay } }"""
    data = await asked(web, query)
    two, one = data["nodes"]
    assert (two["nodeID"], two["publicConfig"], two["dedicated"], two["power"]) == (2, None, True, None)
    assert one["publicConfig"] == {
        "ipv4": "185.0.1.9/24",
        "ipv6": None,
        "domain": "gw.example.org",
        "node": {"nodeID": 1},
    }
    assert one["resourcesTotal"] == {"cru": "16", "mru": str(64 * 1024**3)}
    assert one["interfaces"][0]["ips"] == "10.0.0.5,fe80::1"
    assert one["interfaces"][0]["node"] == {"farmID": 1}
    assert [len(farm["publicIPs"]) for farm in data["farms"]] == [4, 0]
    assert data["farms"][0]["publicIPs"][0]["farm"] == {"farmID": 1}
    assert data["publicConfigs"] == [{"domain": "gw.example.org", "node": {"nodeID": 1}}]
    assert [twin["twinID"] for twin in data["twins"]] == [1, 3]


# What the npm client of GraphQL makes of `uptimeEvents`, `countries`, `interfaces` and `nodeById`, variables and all.
LISTED = """query TFGridClientQuery($limit{0}: Int, $offset{0}: Int, $orderBy{0}: [{1}OrderByInput!],
  $where{0}: {1}WhereInput) {{
  {0}(limit: $limit{0}, offset: $offset{0}, orderBy: $orderBy{0}, where: $where{0},) {{ {2} }} }}"""


async def test_a_dashboard_works_out_how_long_a_node_was_up(web: Web) -> None:
    query = LISTED.format("uptimeEvents", "UptimeEvent", "timestamp,uptime")
    where = {"nodeID_eq": 1, "timestamp_gt": rows.NOW - 3600}
    data = await asked(web, query, whereuptimeEvents=where, orderByuptimeEvents=["timestamp_ASC"])
    assert data == {"uptimeEvents": [{"timestamp": str(rows.NOW - 60), "uptime": "500"}]}


async def test_a_dashboard_lists_countries_by_region(web: Web) -> None:
    data = await asked(web, LISTED.format("countries", "Country", "name,region,subregion,code,lat"))
    found = {one["name"]: one for one in data["countries"]}
    assert found["Belgium"] == {
        "name": "Belgium",
        "region": "Europe",
        "subregion": "Western Europe",
        "code": "BE",
        "lat": None,
    }
    assert {"United States", "United Kingdom", "Czechia"} <= set(found)
    assert all(one["region"] and one["subregion"] and len(one["code"]) == 2 for one in data["countries"])


async def test_a_dashboard_shows_a_nodes_interfaces(web: Web) -> None:
    query = LISTED.format("interfaces", "Interfaces", "name,ips,mac")
    data = await asked(web, query, whereinterfaces={"node": {"nodeID_eq": 2}})
    assert data == {"interfaces": [{"name": "zos", "ips": "10.0.0.5,fe80::1", "mac": "54:b2:03:12:34:56"}]}


async def test_ids_may_be_declared_as_ids_or_as_texts(web: Web) -> None:
    for kind in ("ID", "String"):
        query = f"query($id: {kind}!) {{ nodeById(id: $id) {{ nodeID }} }}"
        assert await asked(web, query, id="node-2") == {"nodeById": {"nodeID": 2}}


async def test_lists_are_ordered_by_what_they_link_to(web: Web) -> None:
    query = "{ interfaces(orderBy: [node_city_DESC, id_ASC]) { node { city } } }"
    cities = [one["node"]["city"] for one in (await asked(web, query))["interfaces"]]
    assert sorted(cities) == sorted(city for _, city in rows.PLACES)
    assert cities[0] == "İzmir"


async def test_consumption_is_asked_for_with_a_number_as_id(web: Web) -> None:
    query = """query getConsumption($contractId: BigInt!){
      contractBillReports(where: {contractID_eq: $contractId}, limit: 2 , orderBy: timestamp_DESC) {
        amountBilled timestamp }
      nodeContracts(where: {contractID_eq: $contractId}) { createdAt }
      nameContracts(where: {contractID_eq: $contractId}) { createdAt }
      rentContracts(where: {contractID_eq: $contractId}) { createdAt } }"""
    data = await asked(web, query, contractId=1)
    assert [one["timestamp"] for one in data["contractBillReports"]] == [str(rows.NOW), str(rows.NOW - 3600)]
    assert [data["nodeContracts"], data["nameContracts"]] == [[{"createdAt": str(rows.NOW - 3600)}], []]


WHERES = [
    ("nodes", "nodeID", "{nodeID_gt: 3}", [4, 5]),
    ("nodes", "nodeID", "{nodeID_gte: 3, nodeID_lt: 5}", [3, 4]),
    ("nodes", "nodeID", "{nodeID_not_in: [1, 2], nodeID_lte: 4}", [3, 4]),
    ("nodes", "nodeID", "{nodeID_not_eq: 1, OR: [{nodeID_eq: 1}]}", [1, 2, 3, 4, 5]),
    ("nodes", "nodeID", '{OR: [{nodeID_eq: 1}, {city_eq: "Cairo"}]}', [1, 2]),
    ("nodes", "nodeID", '{AND: {nodeID_in: [1, 2, 3]}, country_not_eq: "Egypt"}', [1, 3]),
    ("nodes", "nodeID", "{publicConfig_isNull: false}", [1]),
    ("nodes", "nodeID", "{publicConfig_isNull: true, nodeID_lt: 4}", [2, 3]),
    ("nodes", "nodeID", '{publicConfig: {domain_startsWith: "gw."}}', [1]),
    ("nodes", "nodeID", "{power_isNull: false, power: {state_eq: Down}}", [3]),
    ("nodes", "nodeID", '{resourcesTotal: {cru_gte: "16", mru_gt: 5}}', [1, 2, 3, 4, 5]),
    ("nodes", "nodeID", '{interfaces_some: {name_eq: "zos"}}', [1, 2, 3, 4, 5]),
    ("nodes", "nodeID", '{interfaces_none: {name_eq: "zos"}}', []),
    ("nodes", "nodeID", "{certification_eq: Certified}", [2]),
    ("nodes", "nodeID", '{country_contains: "g"}', [1, 2]),
    ("nodes", "nodeID", '{country_contains: "G"}', []),
    ("nodes", "nodeID", '{country_containsInsensitive: "E", country_not_containsInsensitive: "EGY"}', [1, 3, 4, 5]),
    ("nodes", "nodeID", '{city_endsWith: "%_sure"}', [4]),
    ("nodes", "nodeID", '{OR: [{city_startsWith: "10_"}, {city_startsWith: "1%_"}, {city_endsWith: "0_sure"}]}', []),
    ("nodes", "nodeID", "{dedicated_eq: true}", [2, 4]),
    ("nodes", "nodeID", "{extraFee_gt: 4999}", [4]),
    ("nodes", "nodeID", '{id_in: ["node-3"]}', [3]),
    ("farms", "farmID", "{publicIPs_some: {contractId_eq: 0}}", [1]),
    ("farms", "farmID", "{publicIPs_every: {contractId_gt: 0}}", [2]),
    ("farms", "farmID", "{dedicatedFarm_eq: true}", [2]),
    ("twins", "twinID", "{relay_isNull: true}", [2]),
    ("twins", "twinID", "{relay_eq: null}", [2]),
    ("nodeContracts", "contractID", "{resourcesUsed: {cru_gt: 0}, state_not_in: [Deleted]}", ["1", "2"]),
    ("publicIps", "ip", "{farm: {farmID_eq: 1}, contractId_not_eq: 0}", ["185.0.1.2/24", "185.0.1.4/24"]),
    ("solutionProviders", "solutionProviderID", "{providers_isNull: false}", []),
    ("pricingPolicies", "pricingPolicyID", "{cu: {value_gt: 1}}", [1]),
]


@pytest.mark.parametrize(("plural", "key", "where", "keys"), WHERES)
async def test_where_means_what_it_means_to_the_indexer(
    web: Web, plural: str, key: str, where: str, keys: list[Any]
) -> None:
    counted = f"c: {plural}Connection(orderBy: id_ASC, where: {where}) {{ totalCount }}"
    data = await asked(web, f"{{ {plural}(where: {where}) {{ {key} }} {counted} }}")
    assert [one[key] for one in data[plural]] == keys
    assert data["c"]["totalCount"] == len(keys)


async def test_pages_by_offset_and_by_cursor(web: Web) -> None:
    data = await asked(web, "{ nodes(limit: 2, offset: 1, orderBy: [country_DESC, nodeID_ASC]) { country } }")
    assert [one["country"] for one in data["nodes"]] == ["Türkiye", "Nowhere"] or len(data["nodes"]) == 2
    page = """query($after: String) { nodesConnection(orderBy: nodeID_ASC, first: 2, after: $after) {
      edges { cursor node { nodeID } } pageInfo { hasNextPage hasPreviousPage endCursor } totalCount } }"""
    seen, after = [], None
    while True:
        found = (await asked(web, page, after=after))["nodesConnection"]
        seen += [edge["node"]["nodeID"] for edge in found["edges"]]
        assert found["totalCount"] == 5
        after = found["pageInfo"]["endCursor"]
        if not found["pageInfo"]["hasNextPage"]:
            break
    assert seen == [1, 2, 3, 4, 5]


async def test_one_by_id(web: Web) -> None:
    query = """{ nodeById(id: "node-3") { nodeID } farmByUniqueInput(where: {id: "farm-2"}) { name }
      x: nodeById(id: "?") { id } }"""
    data = await asked(web, query)
    assert data == {"nodeById": {"nodeID": 3}, "farmByUniqueInput": {"name": "50%_Off"}, "x": None}


async def test_tools_can_read_the_schema(web: Web) -> None:
    built = build_client_schema(await asked(web, get_introspection_query()))
    assert "nodeContractsConnection" in built.query_type.fields  # type: ignore[union-attr]


NEVER_NULL = ("nodeID_gt", "nodeID_in", "city_contains", "city_not_containsInsensitive", "uptime_lte", "country_not_in")
DEEP = "{ farms { publicIPs { farm { publicIPs { farm { publicIPs { farm { publicIPs { ip } } } } } } } } }"
BAD = [
    b"",
    b"[]",
    b"{}",
    b'{"query": 5}',
    b'{"query": "{"}',
    b'{"query": "{ nothing }"}',
    b'{"query": "{ nodes { nothing } }"}',
    b'{"query": "{ nodes { nodeID } }", "variables": []}',
    b'{"query": "{ nodes { nodeID } }", "operationName": 5}',
    b'{"query": "{ nodes(where: {nodeID_eq: 1.5}) { nodeID } }"}',
    json.dumps({"query": DEEP}).encode(),
    json.dumps({"query": "{" + "a" * 5 + "(x:" + "[" * 500 + "]" * 500 + ") }"}).encode(),
    json.dumps({"query": "{ " + " ".join(f"a{i}: nodes {{ id }}" for i in range(50)) + " }"}).encode(),
    json.dumps({"query": "query { ...a } fragment a on Query { ...b } fragment b on Query { ...a }"}).encode(),
    json.dumps({"query": '{ nodes(where: {city_eq: "\0"}) { id } }'}).encode(),
    b'{"query": "mutation { x }"}',
    ("[" * 100_000).encode(),
]


@pytest.mark.parametrize("body", BAD, ids=range(len(BAD)))
async def test_what_cannot_be_meant_is_refused_at_once(web: Web, body: bytes) -> None:
    async with web.session.post(f"{web.url}/graphql", data=body) as answer:
        assert answer.status == 400
        assert (await answer.json())["errors"][0]["message"]


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        ("{ nodes(limit: -1) { id } }", {}),
        ("{ nodes(offset: -1) { id } }", {}),
        ("{ nodesConnection(first: -1, orderBy: id_ASC) { edges { cursor } } }", {}),
        ('{ nodesConnection(after: "x", orderBy: id_ASC) { totalCount } }', {}),
        ("query($x: [Int!]) { nodes(where: {nodeID_in: $x}) { id } }", {"x": [1] * 6000}),
        ("query($x: Int!) { nodes(where: {nodeID_eq: $x}) { id } }", {"x": "one"}),
        ("query($x: BigInt!) { nodes(where: {uptime_eq: $x}) { id } }", {"x": 2**80}),
        *((f"{{ nodes(where: {{{one}: null}}) {{ id }} }}", {}) for one in NEVER_NULL),
        ("query a { farms { id } } query b { farms { id } }", {}),
        (f"{{ farms(where: {'{publicIPs_some: {farm: ' * 3 + '{}' + '}}' * 3}) {{ id }} }}", {}),
    ],
)
async def test_wrong_values_are_told_and_are_no_failure_of_ours(
    web: Web, query: str, variables: dict[str, Any]
) -> None:
    (error,) = (await web.query(query, **variables))["errors"]
    assert "internal" not in error["message"]


async def test_a_request_reads_only_so_many_rows(empty: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    rows.small(Store(empty))
    monkeypatch.setattr(types, "MAX_ROWS", 7)
    pool = QueryPool(empty)
    graph = GraphqlEndpoint(pool)
    _, body = await graph.answer(b'{"query": "{ nodes { id } }"}')
    assert len(body["data"]["nodes"]) == 5
    _, body = await graph.answer(b'{"query": "{ a: nodes { id } b: nodes { id } }"}')
    assert "use limit and offset" in body["errors"][0]["message"]
    _, body = await graph.answer(b'{"query": "{ nodes { interfaces { id } } }"}')
    assert "use limit and offset" in body["errors"][0]["message"]
    pool.close()


async def test_dear_questions_of_one_network_leave_threads_to_others_and_to_light_ones(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "DEADLINE", 2.0)
    engine = open_database(empty_url)
    pool = QueryPool(engine)
    endless = text("WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n")

    async def asked(network: str, frontend: Frontend, query: Any) -> Any:
        pool_module.CLIENT.set(network)
        return await pool.run(lambda db: db.execute(query).scalar(), frontend)

    loud = [asyncio.create_task(asked("a", frontend, endless)) for frontend in Frontend for _ in range(8)]
    await asyncio.sleep(0.05)
    async with asyncio.timeout(1):
        for frontend in Frontend:
            assert await asyncio.create_task(asked("b", frontend, text("SELECT 1"))) == 1
    for task in loud:
        task.cancel()
    await asyncio.gather(*loud, return_exceptions=True)
    await asyncio.to_thread(pool.close)
    engine.dispose()


class _Refusing:
    async def run(self, query: Any, frontend: Frontend) -> Any:
        return query(None)


REFUSING = GraphqlEndpoint(cast(QueryPool, _Refusing()))


@settings(max_examples=60, deadline=None)
@given(
    st.binary(max_size=200)
    | st.text('{}()[]: nodesidwheraq_"\\$!', max_size=200).map(lambda text: json.dumps({"query": text}).encode())
)
def test_no_request_is_our_failure(body: bytes) -> None:
    status, answer = asyncio.run(REFUSING.answer(body))
    assert status == 400
    assert answer["errors"]
