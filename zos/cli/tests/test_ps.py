"""What `zos ps` says of contracts that nodes, records and the chain know in part."""

from __future__ import annotations

from typing import Any

from zos.cli.commands.ps import COLUMNS, rows_of


def contract(id: int, **more: Any) -> dict[str, Any]:
    return {"id": id, "twin": 4, "node": 1, "type": "NodeContract", "state": "Created", "hash": "", "data": "", **more}


def body(*names: str) -> dict[str, Any]:
    result = {"state": "ok", "message": "", "data": {"ip": "10.20.2.2", "planetary_ip": ""}}
    return {
        "metadata": '{"name": "theirs"}',
        "workloads": [{"name": name, "type": "zmachine", "result": result} for name in names],
    }


RECORD = {"name": "mine", "contracts": {"1": 7, "2": 8}, "deployments": {"1": body("vm1"), "2": body("vm2")}}


def test_every_workload_has_a_row_with_the_name_that_its_user_gave() -> None:
    (row,) = rows_of(7, {7: contract(7)}, [RECORD], {7: body("vm1")})
    assert row == {
        "name": "mine",
        "workload": "vm1",
        "type": "zmachine",
        "state": "ok",
        "addresses": "10.20.2.2",
        "node": 1,
        "contract": 7,
        "message": "",
    }
    assert row.keys() == set(COLUMNS)


def test_a_node_that_cannot_be_asked_is_said_so() -> None:
    (row,) = rows_of(8, {8: contract(8, node=2)}, [RECORD], {})
    assert (row["workload"], row["state"], row["node"]) == ("vm2", "unknown", 2)
    assert "cannot be asked" in row["message"]


def test_what_only_the_chain_knows_is_listed_by_the_name_in_its_data() -> None:
    (row,) = rows_of(9, {9: contract(9, data='{"name": "other"}', state="GracePeriod")}, [RECORD], {})
    assert (row["name"], row["state"], row["workload"]) == ("other", "GracePeriod", "")
    (strange,) = rows_of(9, {9: contract(9, data="[1]")}, [], {})
    assert strange["name"] == ""
    (named,) = rows_of(9, {9: contract(9)}, [], {9: body("vm")})
    assert named["name"] == "theirs"
