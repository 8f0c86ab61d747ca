"""The types of capacityd's API. Sizes in bytes, cru in logical processors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from zos.model.capacity import Capacity


@dataclass(frozen=True, slots=True)
class Inventory:
    """The node's hardware as it is registered on the chain."""

    total: Capacity
    virtualized: bool
    hypervisor: str
    """The hypervisor's name; "" on bare metal."""
    secure_boot: bool
    serial_number: str
    """The board's; "" when it tells none."""
    uptime: int
    """Seconds since boot."""


@dataclass(frozen=True, slots=True)
class Counters:
    """Capacity and its use; `used` includes `system`, and 0 <= free <= total always."""

    total: Capacity
    used: Capacity
    system: Capacity
    free: Capacity
    deployments: int
    workloads: int
    last_deployment: int
    """Unix seconds."""
    open_connections: int


@dataclass(frozen=True, slots=True)
class Property:
    """A line of a DMI section, with the lines below it."""

    value: str
    items: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Subsection:
    """A titled part of a DMI section."""

    title: str
    properties: Mapping[str, Property]


@dataclass(frozen=True, slots=True)
class Section:
    """One structure of the firmware's table."""

    handle: str
    """The whole line that begins it."""
    kind: str
    """The type's name as the grid writes it, like `Baseboard`."""
    number: int
    """The type."""
    subsections: tuple[Subsection, ...]


@dataclass(frozen=True, slots=True)
class Dmi:
    """The firmware's table of the hardware."""

    tool: str
    """What read the table, with its version."""
    sections: tuple[Section, ...]


@dataclass(frozen=True, slots=True)
class Location:
    """Where the node's address is, as a GeoIP service says; `Unknown` where that does not."""

    longitude: float = 0.0
    latitude: float = 0.0
    continent: str = "Unknown"
    country_name: str = "Unknown"
    country_code: str = ""
    city_name: str = "Unknown"
