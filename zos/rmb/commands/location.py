"""`zos.location.*`: where the node stands."""

from __future__ import annotations

import dataclasses
from typing import Any

from zos.rmb.router import Call, Command


async def get(call: Call) -> dict[str, Any]:
    """`{longitude, latitude, continent, country_name, country_code, city_name}`."""
    return dataclasses.asdict(await call.node.capacityd.location())


COMMANDS = (Command("zos.location.get", get),)
