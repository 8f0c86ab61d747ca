"""What capacity costs: the worked example of the runtime's billing, and each formula by itself."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zos.devchain import pricing, weight
from zos.devchain.fixed import num, percent, rounded
from zos.devchain.pricing import Rates

GIB = 1024**3
RATES = Rates(su=50_000, cu=100_000, nu=15_000, ipu=40_000, unique_name=2_500)
USED = {"hru": 0, "sru": 50 * GIB, "cru": 2, "mru": 4 * GIB}
EXAMPLE = 233_031
HOUR = 3600


def test_the_worked_example_costs_its_units() -> None:
    assert pricing.storage_units(0, 50 * GIB) == num(1) // 4
    assert pricing.compute_units(2, 4 * GIB) == num(1)
    capacity = pricing.resources_cost(RATES, USED, 1, HOUR, with_resources=True)
    traffic = pricing.traffic_cost(RATES, 5 * GIB, HOUR)
    assert (capacity, traffic) == (152_500, 80_531)
    assert capacity + traffic == EXAMPLE


def test_units_of_larger_machines() -> None:
    assert pricing.compute_units(8, 32 * GIB) == num(8)
    assert pricing.storage_units(2400 * GIB, 400 * GIB) == num(4)


@pytest.mark.parametrize(("price", "expected"), [(50, 4_660_620), (10, 23_303_100), (80, 2_912_887)])
def test_units_become_tokens(price: int, expected: int) -> None:
    due, level = pricing.discounted(pricing.tokens(EXAMPLE, price), HOUR, 0, certified=False)
    assert (due, level) == (expected, "None")


LEVELS = [
    (0, "None", 4_660_620, 5_825_775),
    (5_033_469_599, "None", 4_660_620, 5_825_775),
    (5_033_469_600, "Default", 3_728_496, 4_660_620),
    (10_066_939_199, "Default", 3_728_496, 4_660_620),
    (10_066_939_200, "Bronze", 3_262_434, 4_078_042),
    (20_133_878_400, "Silver", 2_796_372, 3_495_465),
    (60_401_635_199, "Silver", 2_796_372, 3_495_465),
    (60_401_635_200, "Gold", 1_864_248, 2_330_310),
]


@pytest.mark.parametrize(("balance", "level", "plain", "certified"), LEVELS)
def test_a_discount_begins_exactly_at_its_months(balance: int, level: str, plain: int, certified: int) -> None:
    amount = pricing.tokens(EXAMPLE, 50)
    assert pricing.discounted(amount, HOUR, balance, certified=False) == (plain, level)
    assert pricing.discounted(amount, HOUR, balance, certified=True) == (certified, level)


def test_a_factor_is_the_double_that_the_runtime_wrote() -> None:
    # 0.7 as a double is a little less, so a half falls down.
    assert pricing.discounted(5, 30 * 24 * HOUR, 16, certified=False) == (3, "Bronze")


def test_the_price_stays_between_its_bounds() -> None:
    assert pricing.price_used(0, 10, 1000) == 10
    assert pricing.price_used(5000, 10, 1000) == 1000
    assert pricing.price_used(50, 10, 1000) == 50


def test_a_rented_node_costs_half_and_its_contracts_no_capacity() -> None:
    node = {"hru": 0, "sru": 512 * GIB, "cru": 8, "mru": 32 * GIB}
    whole = pricing.resources_cost(RATES, node, 0, HOUR, with_resources=True)
    assert whole == 8 * 100_000 + 128_000
    assert pricing.rent_cost(RATES, node, HOUR) == whole // 2
    assert pricing.resources_cost(RATES, USED, 1, HOUR, with_resources=False) == 40_000


def test_names_extra_fees_and_services() -> None:
    assert pricing.name_cost(RATES, HOUR) == 2_500
    assert pricing.name_cost(RATES, 1) == 1
    assert pricing.extra_fee_cost(100_000, 30 * 24 * HOUR) == 100_000 * 10_000
    assert pricing.extra_fee_cost(100_000, HOUR) == 1_388_889
    assert pricing.service_cost(100, 50, HOUR // 2) == 1_000_000
    assert pricing.variable_limit(100, HOUR // 2) == 50


def test_traffic_costs_by_gigabyte_and_hour_of_window() -> None:
    assert pricing.traffic_cost(RATES, 5 * GIB, 2 * HOUR) == 161_061


@given(st.integers(0, 100), st.integers(0, 2**80))
def test_a_percentage_is_the_nearest_unit_and_a_half_goes_down(part: int, amount: int) -> None:
    exact = Fraction(amount * part, 100)
    got = percent(part, amount)
    assert abs(got - exact) <= Fraction(1, 2)
    assert got <= exact or got - exact < Fraction(1, 2)


@given(st.integers(0, 2**128))
def test_rounding_takes_a_half_up(value: int) -> None:
    assert rounded(value) == (Fraction(value, 2**64) + Fraction(1, 2)).__floor__()


@given(st.integers(0, 2**50), st.integers(1, 2**30), st.integers(0, 2**60))
def test_a_discount_is_never_more_than_the_amount(amount: int, seconds: int, balance: int) -> None:
    due, level = pricing.discounted(amount, seconds, balance, certified=False)
    assert due <= amount
    assert (level == "None") == (due == amount) or amount < 3


def test_a_farm_weighs_its_disks_and_the_smallest_of_its_parts() -> None:
    node = {"hru": 0, "sru": 512 * GIB, "cru": 8, "mru": 32 * GIB}
    # sru 512 / 50 = 10.24, cru 8 * 2 = 16: the disks decide; 512 / 250 = 2.
    assert (weight.compute_units(node), weight.storage_units(node)) == (20, 2)
    assert weight.weight(node) == 42
    equal = {**node, "sru": 800 * GIB}
    assert weight.compute_units(equal) == 0
