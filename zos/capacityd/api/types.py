"""What capacityd's door speaks of. Sizes in bytes, cru in logical processors."""

from __future__ import annotations

from dataclasses import dataclass

from zos.model.capacity import Capacity


@dataclass(frozen=True, slots=True)
class Inventory:
    """The machine."""

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
