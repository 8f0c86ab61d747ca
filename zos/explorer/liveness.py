"""Whether a node is up, on standby or down: by its last uptime report and its power. Pure, and the same as SQL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, and_, case, false, not_, or_

from zos.explorer.schema import NODE
from zos.runtime.clock import Clock

UP_FOR = 80 * 60
STANDBY_FOR = 24 * 3600


class Status(StrEnum):
    """As clients write it."""

    UP = "up"
    STANDBY = "standby"
    DOWN = "down"


class Now:
    """The time to judge reports by: this machine's, or the chain's where that is ahead (a lab may travel in time)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead = 0

    def heard(self, chain: int) -> None:
        """A block that is final now carries this time (unix seconds)."""
        ahead = chain - int(self._clock.time())
        # A minute is what the clocks of a healthy grid may differ by.
        self._ahead = ahead if ahead > 60 else 0

    def time(self) -> int:
        """Unix seconds."""
        return int(self._clock.time()) + self._ahead


def status(node: Mapping[Any, Any], now: int) -> Status:
    """Of a row of `node`."""
    is_on = node["power_state"] in (None, "Up") and node["power_target"] in (None, "Up")
    if is_on:
        return Status.UP if node["updated_at"] >= now - UP_FOR else Status.DOWN
    return Status.STANDBY if node["updated_at"] >= now - STANDBY_FOR else Status.DOWN


def _is_on() -> ColumnElement[bool]:
    power = (NODE.c.power_state, NODE.c.power_target)
    return and_(*(or_(column.is_(None), column == "Up") for column in power))


def has_status(wanted: Iterable[str], now: int) -> ColumnElement[bool]:
    """The condition for any of these."""
    on, fresh, late = _is_on(), NODE.c.updated_at >= now - UP_FOR, NODE.c.updated_at >= now - STANDBY_FOR
    conditions = {
        Status.UP: and_(on, fresh),
        Status.STANDBY: and_(not_(on), late),
        Status.DOWN: or_(and_(on, not_(fresh)), and_(not_(on), not_(late))),
    }
    return or_(false(), *(conditions[Status(one)] for one in wanted))


def order(now: int) -> ColumnElement[int]:
    """Up before standby before down."""
    return case((has_status([Status.UP], now), 1), (has_status([Status.STANDBY], now), 2), else_=3)
