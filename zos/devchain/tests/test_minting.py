"""What farmers earn: periods, units, bars of uptime, and reports that are not believed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zos.devchain import minting
from zos.devchain.minting import FIRST, LENGTH, Happened, Period, Reward, mint
from zos.devchain.uptime import Uptime

GIB = 1024**3
PERIOD = Period(FIRST + 100 * LENGTH)
START = PERIOD.start
STEP = 2400
POLICY = {
    "id": 1,
    "cu": 2400,
    "su": 1000,
    "nu": 30,
    "ipv4": 5,
    "minimal_uptime": 95,
    "immutable": False,
    "default": True,
}
TWIN = {"relay": b"relay.example", "pk": b"k" * 33}
RESOURCES = {"hru": 1200 * GIB, "sru": 500 * GIB, "cru": 8, "mru": 33 * GIB}


def record(**more: Any) -> dict[str, Any]:
    return {
        "id": 1,
        "farm_id": 1,
        "twin_id": 2,
        "resources": RESOURCES,
        "created": START - LENGTH,
        "farming_policy_id": 1,
        "certification": "Diy",
        "virtualized": False,
        "connection_price": 80,
    } | more


def reports(since: int, until: int, boot: int) -> list[Happened]:
    return [(at, "NodeUptimeReported", (1, at, at - boot)) for at in range(since, until, STEP)]


def earned(happened: list[Happened], policy: dict[str, Any] = POLICY, twin: Any = TWIN, **more: Any) -> Reward:
    events = [(START - LENGTH, "NodeStored", record(**more)), *happened]
    (reward,) = mint(PERIOD, sorted(events, key=lambda one: one[0]), {policy["id"]: policy}, {2: twin} if twin else {})
    return reward


ALWAYS = reports(START - STEP, PERIOD.end + STEP, START - LENGTH)


def test_periods_follow_each_other() -> None:
    assert Period.of(FIRST).start == FIRST
    assert Period.of(FIRST + LENGTH).number == 1
    assert Period.of(FIRST + LENGTH - 1).number == 0
    assert Period.of_month(2025, 2).number == Period.of(1_739_577_600).number
    assert PERIOD.end - PERIOD.start == LENGTH


def test_a_node_that_is_always_up_earns_all() -> None:
    reward = earned(ALWAYS)
    # CU = min(16, 32 / 4, 500 / 50) = 8; SU = 1 + 2 = 3.
    assert (reward.cu, reward.su) == (8_000_000, 3_000_000)
    assert reward.permille == 1000
    assert reward.reward_musd == 8 * 2400 + 3 * 1000 == reward.full_musd
    assert reward.units == 22_200 * 10**7 // 80
    assert (reward.violation, reward.carbon_musd) == ("", 0)


def test_manual_prices_are_those_of_the_first_policy() -> None:
    # The manual says 30 TFT per CU, 12.5 per SU and 0.06 per address and hour, at 0.08 dollar.
    assert minting.full_reward(10**6, 0, 0, 0, POLICY, "Diy") * 10**7 // 80 == 30 * 10**7
    assert minting.full_reward(0, 10**6, 0, 0, POLICY, "Diy") * 10 // 80 == 125
    assert minting.full_reward(0, 0, 0, 3600, POLICY, "Diy") * 10_000 // 80 == 625


def test_certified_nodes_on_the_first_policy_earn_a_quarter_more() -> None:
    assert earned(ALWAYS, certification="Certified").reward_musd == 22_200 * 5 // 4
    second = {**POLICY, "id": 2, "cu": 3000, "su": 1250}
    reward = earned(ALWAYS, second, certification="Certified", farming_policy_id=2)
    assert reward.reward_musd == 8 * 3000 + 3 * 1250


@pytest.mark.parametrize(
    ("policy", "certification", "permille", "paid"),
    [
        (POLICY, "Diy", 949, 0),
        (POLICY, "Diy", 950, 950),
        (POLICY, "Certified", 979, 0),
        (POLICY, "Certified", 980, 980),
        (POLICY | {"id": 3, "default": False}, "Diy", 960, 960),
        (POLICY | {"id": 3, "default": False, "immutable": True}, "Diy", 500, 1000),
        (POLICY | {"id": 7}, "Diy", 95, 1000),
        (POLICY | {"id": 7}, "Diy", 94, 0),
    ],
)
def test_the_bar_of_uptime(policy: dict[str, Any], certification: str, permille: int, paid: int) -> None:
    assert minting.paid_permille(permille, policy, certification) == paid


def test_who_joins_late_earns_nothing_in_that_period() -> None:
    late = reports(START + LENGTH // 10, PERIOD.end + STEP, START + LENGTH // 10)
    reward = earned(late, created=START + LENGTH // 10)
    assert reward.permille < 950
    assert reward.units == 0


def test_the_smallest_resources_of_the_period_count() -> None:
    smaller = record(resources=RESOURCES | {"mru": 17 * GIB})
    back = record()
    happened = [*ALWAYS, (START + 100, "NodeUpdated", smaller), (START + 200, "NodeUpdated", back)]
    assert earned(happened).cu == 4_000_000
    before = [*ALWAYS, (START - 200, "NodeUpdated", smaller), (START - 100, "NodeUpdated", back)]
    assert earned(before).cu == 8_000_000


def contract(at: int, ips: int) -> Happened:
    body = {"node_id": 1, "public_ips_list": [{}] * ips}
    return at, "ContractCreated", {"contract_id": 9, "contract_type": {"NodeContract": body}}


def test_addresses_and_traffic_are_paid_while_they_last() -> None:
    happened = [
        *ALWAYS,
        contract(START - 3600, 2),
        (START + 100, "NruConsumptionReportReceived", {"contract_id": 9, "nru": 3 * GIB}),
        (START + 7200, "IPsFreed", {"contract_id": 9, "public_ips": []}),
        (START + 7200, "NodeContractCanceled", {"contract_id": 9, "node_id": 1, "twin_id": 3}),
        (START + 7300, "NruConsumptionReportReceived", {"contract_id": 9, "nru": 3 * GIB}),
    ]
    reward = earned(happened)
    assert (reward.ip_seconds, reward.nu) == (2 * 7200, 3_000_000)
    assert reward.full_musd == 22_200 + 3 * 30 + 2 * 2 * 5


def test_addresses_that_are_kept_count_to_the_end() -> None:
    assert earned([*ALWAYS, contract(PERIOD.end - 3600, 1)]).ip_seconds == 3600


@pytest.mark.parametrize(
    ("twin", "violation"),
    [
        (None, "MissingTwin"),
        ({"relay": None, "pk": None}, "MissingRelay"),
        ({"relay": b"r", "pk": b"short"}, "InvalidPublicKey"),
    ],
)
def test_a_twin_that_cannot_be_reached_costs_the_reward(twin: Any, violation: str) -> None:
    reward = earned(ALWAYS, twin=twin)
    assert (reward.violation, reward.units) == (violation, 0)


def test_a_virtual_node_earns_nothing() -> None:
    assert earned(ALWAYS, virtualized=True).units == 0


def test_carbon_was_kept_back_until_2025() -> None:
    old = Period.of(minting.CARBON_END - 3 * LENGTH)
    happened: list[Happened] = [
        (old.start - LENGTH, "NodeStored", record(created=old.start - LENGTH)),
        *reports(old.start - STEP, old.end + STEP, old.start - LENGTH),
    ]
    (reward,) = mint(old, happened, {1: POLICY}, {2: TWIN})
    assert reward.carbon_musd == 8 * 354 + 3 * 122
    assert reward.units == (22_200 - reward.carbon_musd) * 10**7 // 80


# Uptime


def up(*told: tuple[int, int], start: int = 0, end: int = 10**6) -> Uptime:
    made = Uptime(start, end)
    for at, uptime in told:
        made.report(at, uptime)
    return made


def test_an_interval_is_credited_with_41_minutes_at_most() -> None:
    assert up((1000, 1000), (1000 + 2 * 3600, 1000 + 2 * 3600)).credited == 1000 + 41 * 60


def test_a_reboot_is_credited_from_the_boot() -> None:
    made = up((10_000, 10_000), (12_400, 300))
    assert (made.credited - 41 * 60, made.violation) == (300, "")


@pytest.mark.parametrize(
    ("told", "violation"),
    [
        (((10_000, 1000), (12_400, 3461)), "UptimeTooHigh"),
        (((10_000, 1000), (12_400, 3460)), ""),
        (((10_000, 5000), (12_400, 7339)), "UptimeTooLow"),
        (((10_000, 5000), (12_400, 7340)), ""),
        (((10_000, 5000), (12_400, 2401)), "InvalidReboot"),
        (((10_000, 5000), (12_400, 2400)), ""),
        (((10_000, 5000), (12_400, 7460), (14_800, 9920)), "ClockSkew"),
        (((10_000, 5000), (12_400, 7459), (14_800, 9919)), ""),
    ],
)
def test_reports_that_are_not_believed(told: tuple[tuple[int, int], ...], violation: str) -> None:
    assert up(*told).violation == violation


def test_the_first_violation_is_kept() -> None:
    assert up((10_000, 1000), (12_400, 9000), (14_800, 10_000)).violation == "UptimeTooHigh"


def asleep(called: int | None, woke: int, uptime: int = 60) -> Uptime:
    """Asleep from 10 000 on."""
    made = up((9_000, 9_000))
    made.target(9_500, "Down")
    made.state(10_000, {"Down": 5})
    if called is not None:
        made.target(called, "Up")
    made.report(woke, uptime)
    return made


def test_ordered_sleep_counts_as_uptime() -> None:
    slept = asleep(40_000, 41_060).credited - asleep(None, 41_060).credited
    assert slept == 41_000 - 10_000


def test_sleep_of_more_than_a_day_is_not_credited_and_no_fault() -> None:
    made = asleep(100_000, 101_060)
    assert (made.credited, made.violation) == (asleep(None, 101_060).credited, "")


def test_one_late_waking_is_forgiven_the_second_is_not() -> None:
    made = asleep(40_000, 50_000)
    assert (made.credited, made.violation) == (asleep(None, 50_000).credited, "")
    made.target(51_000, "Down")
    made.state(52_000, {"Down": 9})
    made.target(60_000, "Up")
    made.report(70_000, 60)
    assert made.violation == "BootRequestExpired"


@given(st.lists(st.tuples(st.integers(0, 10**5), st.integers(0, 10**5)), max_size=40))
def test_no_reports_earn_more_than_the_time_there_was(told: list[tuple[int, int]]) -> None:
    at = 0
    made = Uptime(1000, 50_000)
    for step, uptime in told:
        at += step
        made.report(at, uptime)
    assert made.violation or made.credited <= 49_000
