"""What is decided: ports that stay, one process for each disk, and nothing told twice."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zos.model.units import Bytes
from zos.runtime.ledger import Ledger
from zos.zdb import format as fmt
from zos.zdbd import plan
from zos.zdbd.api import BadNamespace, Mode, ModeChange, Namespace, NamespaceId, NoPort, TooManyNamespaces
from zos.zdbd.api.check import MAX_NAME, MAX_PASSWORD, check
from zos.zdbd.host import wire
from zos.zdbd.model import NamespaceRecord, ObservedServer, Report, SpaceReport
from zos.zdbd.steps import StartServer, StopServer, Tell

ADDRESSES = ("201::1", "5a1::1")


def namespace(id: str = "26-5-db1", pool: str = "a", mode: Mode = Mode.USER) -> Namespace:
    return Namespace(NamespaceId(id), pool, Path("/mnt") / pool / "volumes" / id, Bytes(1000), mode, "secret")


def test_a_disk_has_one_port_as_long_as_it_has_a_namespace() -> None:
    records: dict[str, NamespaceRecord] = {}
    for id, pool in (("x", "a"), ("y", "b"), ("z", "a")):
        records[id] = plan.admit(namespace(id, pool), records)
    assert [record.port for record in records.values()] == [9900, 9901, 9900]
    del records["x"]
    assert plan.admit(namespace("v", "c"), records).port == 9902
    del records["z"]
    assert plan.admit(namespace("w", "c"), records).port == 9900


def test_a_node_with_more_disks_than_ports_says_so() -> None:
    records = {str(n): NamespaceRecord(namespace(str(n), f"p{n}"), 9900 + n) for n in range(32)}
    assert plan.admit(namespace("more", "p31"), records).port == 9931
    with pytest.raises(NoPort):
        plan.admit(namespace("new", "p32"), records)


def test_a_disk_has_only_so_many_namespaces_and_those_may_change() -> None:
    records = {str(n): NamespaceRecord(namespace(str(n)), 9900) for n in range(plan.MOST_NAMESPACES)}
    assert plan.admit(namespace("7"), records) == records["7"]
    assert plan.admit(namespace("other", "b"), records).port == 9901
    with pytest.raises(TooManyNamespaces, match="8192"):
        plan.admit(namespace("more"), records)


def test_a_mode_cannot_change() -> None:
    records = {"26-5-db1": NamespaceRecord(namespace(), 9900)}
    with pytest.raises(ModeChange, match="26-5-db1 is of mode user"):
        plan.admit(namespace(mode=Mode.SEQ), records)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "default"),
        ("id", "../x"),
        ("id", "x" * 129),
        ("pool", "a/b"),
        ("path", Path("volumes/x")),
        ("path", Path("/mnt/a/../b")),
        ("size", Bytes(0)),
        ("password", "ü" * 32),
        ("password", "a\0b"),
    ],
)
def test_what_can_be_no_namespace_is_refused_by_its_field(field: str, value: object) -> None:
    check(namespace())
    with pytest.raises(BadNamespace, match=f": {field} "):
        check(dataclasses.replace(namespace(), **{field: value}))  # type: ignore[arg-type]


def test_the_bounds_are_those_of_the_files() -> None:
    assert (MAX_NAME, MAX_PASSWORD) == (fmt.MAX_NAME, fmt.MAX_PASSWORD)


NAMES = st.sampled_from(["a", "b", "c", "d"])
POOLS = st.sampled_from(["p", "q", "r"])


@given(asked=st.lists(st.tuples(NAMES, POOLS), max_size=12), gone=st.sets(NAMES))
def test_each_disk_is_told_of_its_own_and_what_was_told_is_not_told_again(
    asked: list[tuple[str, str]], gone: set[str]
) -> None:
    records: dict[str, NamespaceRecord] = {}
    for id, pool in asked:
        records[id] = plan.admit(namespace(id, pool), records)
    for id in gone & records.keys():
        del records[id]
    for pool in ("p", "q", "r"):
        mine = {id for id, record in records.items() if record.namespace.pool == pool}
        desired = plan.desired(pool, records.values(), ADDRESSES, True)
        assert ({space.id for space in desired.spaces} if desired else set()) == mine
        steps = plan.plan(pool, desired, None)
        assert steps == ((StartServer(pool), Tell(pool, desired)) if desired else ())
        told = ObservedServer(desired, Report({id: SpaceReport() for id in mine}))
        assert plan.plan(pool, desired, told) == (() if desired else (StopServer(pool),))
        if desired:
            again = ObservedServer(desired, Report({id: SpaceReport(problem="it is in use") for id in mine}))
            assert plan.plan(pool, desired, again) == (Tell(pool, desired),)
    ports = {(record.namespace.pool, record.port) for record in records.values()}
    assert len(ports) == len({pool for pool, _ in ports}) == len({port for _, port in ports})


def test_what_is_said_over_the_pipe_comes_back_whole() -> None:
    desired = plan.desired("a", [NamespaceRecord(namespace(), 9900)], ADDRESSES, False)
    assert wire.parse_question(wire.question(7, desired)) == (7, desired)
    assert wire.parse_question(wire.question(8, None)) == (8, None)
    report = Report({"26-5-db1": SpaceReport(3, 20, "")}, "no")
    assert wire.parse_answer(wire.answer(9, report)) == (9, report)


def test_the_ledger_of_version_1_is_read(tmp_path: Path) -> None:
    proof = json.loads((Path(__file__).parent / "ledger/v1.json").read_text())
    (tmp_path / "record.json").write_text(json.dumps(proof["namespaces"]))
    kept = Ledger(tmp_path, NamespaceRecord).get("26-5-db1")
    pool = "6f1f3c5e-3c0e-4a52-9d1f-0d6f5a3f2b11"
    written = dataclasses.replace(namespace(pool=pool, mode=Mode.SEQ), public=True, frozen=True)
    assert kept == NamespaceRecord(written, 9901)
