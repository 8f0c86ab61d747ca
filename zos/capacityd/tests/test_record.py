"""What the chain and users are told of a node's capacity."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zos.capacityd.api import Inventory, InventoryIncomplete, Location
from zos.capacityd.record import counters, interfaces, location, node_record, storage
from zos.model.capacity import Capacity
from zos.model.decode import Malformed
from zos.model.units import Bytes, GiB
from zos.networkd.api.types import Uplink
from zos.provisiond.api import Usage
from zos.storaged.api.types import Pool, PoolKind, PoolState

SIZES = st.integers(0, 2**50)


def pool(kind: PoolKind, size: int, state: PoolState = PoolState.READY, name: str = "p", system: int = 0) -> Pool:
    nothing = Bytes(0)
    return Pool(name, kind, "/dev/x", Bytes(size), Bytes(size), nothing, Bytes(system), nothing, state)


def machine(mru: int = GiB(32), sru: int = GiB(500), cru: int = 8) -> Inventory:
    return Inventory(Capacity(cru=cru, sru=sru, mru=mru), True, "kvm", False, "S\u00e9rial-1", 100)


def test_disks_count_by_kind_with_their_raw_size() -> None:
    pools = [pool(PoolKind.SSD, GiB(100)), pool(PoolKind.SSD, GiB(50)), pool(PoolKind.HDD, GiB(900))]
    assert storage(pools) == Capacity(sru=GiB(150), hru=GiB(900))


def test_a_pool_that_is_out_still_belongs_to_the_node_and_a_stranger_does_not() -> None:
    pools = [
        pool(PoolKind.SSD, 10),
        pool(PoolKind.SSD, 5, PoolState.MISSING),
        pool(PoolKind.SSD, 7, PoolState.FOREIGN, name=""),
    ]
    assert storage(pools).sru == 15


@pytest.mark.parametrize(
    "pools", [[], [pool(PoolKind.SSD, 1, PoolState.MAKING)], [pool(PoolKind.SSD, 1, PoolState.MISSING)]]
)
def test_an_incomplete_inventory_is_not_told(pools: list[Pool]) -> None:
    with pytest.raises(InventoryIncomplete):
        storage(pools)


@given(total=st.tuples(SIZES, SIZES, SIZES), used=st.tuples(SIZES, SIZES, SIZES), system=SIZES)
def test_free_is_never_below_nothing_nor_above_all(
    total: tuple[int, int, int], used: tuple[int, int, int], system: int
) -> None:
    inventory = machine(mru=total[0], sru=total[1], cru=total[2])
    usage = Usage(cru=used[2], sru=used[1], mru=used[0])
    found = counters(inventory, [pool(PoolKind.SSD, total[1], system=system)], usage, 3)
    for name in ("cru", "sru", "hru", "mru", "ipv4u"):
        assert 0 <= getattr(found.free, name) <= getattr(found.total, name)
        assert getattr(found.used, name) >= getattr(found.system, name)


def test_interfaces_are_named_and_addressed_as_the_chain_wants() -> None:
    cards = interfaces(
        [Uplink("zos", "02:AA:00:00:00:01", ("198.51.100.21/24",)), Uplink("Eth0", "02:00:00:00:00:02", ())]
    )
    assert [(one.name, one.mac, one.ips) for one in cards] == [("zos", "02:aa:00:00:00:01", ("198.51.100.21",))]
    with pytest.raises(InventoryIncomplete):
        interfaces([Uplink("zos", "02:aa:00:00:00:01", ())])


def test_a_serial_number_is_printable() -> None:
    record = node_record(7, machine(), ())
    assert (record.farm, record.serial_number, record.virtualized) == (7, "Srial-1", True)


def test_the_chain_is_told_where_the_node_is_in_the_bounds_it_has() -> None:
    record = node_record(7, machine(), (), Location(-4.35, 50.8466123, "Europe", "é" * 30, "BE", "Brussels"))
    assert (record.city, record.country) == ("Brussels", "é" * 28)
    assert (record.latitude, record.longitude) == ("50.8466", "-4.35")
    nowhere = node_record(7, machine(), ())
    assert {nowhere.city, nowhere.country, nowhere.latitude, nowhere.longitude} == {"Unknown"}


def test_a_location_is_what_the_service_says_and_unknown_where_it_does_not() -> None:
    answer = b'{"Longitude": -4, "latitude": 50.85, "country_name": "Bel\\u0000gium", "city_name": null, "x": []}'
    assert location(answer) == Location(-4.0, 50.85, "Unknown", "Belgium", "", "Unknown")


@pytest.mark.parametrize(
    "answer",
    [b"", b"[]", b"<html>", b'{"longitude": "4"}', b'{"longitude": 181}', b'{"latitude": -91}', b'{"latitude": 1e999}'],
)
def test_a_location_that_is_none_is_refused(answer: bytes) -> None:
    with pytest.raises(Malformed):
        location(answer)


@given(st.binary(max_size=100))
def test_no_answer_of_a_service_crashes_us(answer: bytes) -> None:
    try:
        found = location(answer)
    except Malformed:
        return
    assert -180 <= found.longitude <= 180


def test_a_place_whose_country_is_too_short_for_the_chain_is_unknown() -> None:
    found = location(b'{"longitude": 3, "latitude": 51, "country_name": "X", "city_name": "Y"}')
    assert (found.country_name, found.city_name) == ("Unknown", "Y")
