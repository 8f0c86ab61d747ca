"""Reads what dmidecode prints: the firmware's table of the hardware. Pure.

Handle 0x0002, DMI type 2, 15 bytes
Base Board Information
\tManufacturer: ACME
\tFeatures:
\t\tBoard is a hosting board
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from zos.capacityd.api.types import Dmi, Property, Section, Subsection

MOST_SECTIONS = 2000

# The grid's names of the types, in their order; the odd spelling is what clients look for.
# fmt: off
KINDS = (
    "BIOS", "System", "Baseboard", "Chassis", "Processor", "MemoryController", "MemoryModule", "Cache",
    "PortConnector", "SystemSlots", "OnBoardDevices", "OEMSettings", "SystemConfigurationOptions", "BIOSLanguage",
    "GroupAssociations", "SystemEventLog", "PhysicalMemoryArray", "MemoryDevice", "32BitMemoryError",
    "MemoryArrayMappedAddress", "MemoryDeviceMappedAddress", "BuiltinPointingDevice", "PortableBattery",
    "SystemReset", "HardwareSecurity", "SystemPowerControls", "VoltageProbe", "CoolingDevice", "TempratureProbe",
    "ElectricalCurrentProbe", "OutOfBandRemoteAccess", "BootIntegrityServices", "SystemBoot", "64BitMemoryError",
    "ManagementDevice", "ManagementDeviceComponent", "ManagementThresholdData", "MemoryChannel", "IPMIDevice",
    "PowerSupply", "AdditionalInformation", "OnboardDeviceExtendedInformation",
    "ManagementControllerHostInterface",
)
# fmt: on

_HANDLE = re.compile(r"Handle .*DMI type (\d{1,3})\b")


def parse(text: str) -> Dmi:
    """The table; lines that say nothing are passed over."""
    lines = text.splitlines()
    tool = next((line.lstrip("# ").strip() for line in lines if line.startswith("#")), "")
    return Dmi(tool or "unknown", tuple(_sections(lines)))


def _sections(lines: list[str]) -> Iterator[Section]:
    starts = [index for index, line in enumerate(lines) if _HANDLE.match(line)][:MOST_SECTIONS]
    for start, end in itertools.pairwise([*starts, len(lines)]):
        match = _HANDLE.match(lines[start])
        number = int(match[1]) if match else 0
        kind = KINDS[number] if number < len(KINDS) else f"Custom Type {number}"
        yield Section(lines[start].strip(), kind, number, tuple(_subsections(lines[start + 1 : end])))


def _subsections(lines: list[str]) -> Iterator[Subsection]:
    title, properties, last = "", dict[str, Property](), ""
    for line in lines:
        depth = len(line) - len(line.lstrip("\t "))
        if not line.strip():
            continue
        if depth == 0:
            if title:
                yield Subsection(title, properties)
            title, properties, last = line.strip(), {}, ""
        elif depth == 1 or not last:
            name, _, value = line.strip().partition(":")
            last = name.strip()
            properties[last] = Property(value.strip())
        else:
            properties[last] = Property(properties[last].value, (*properties[last].items, line.strip()))
    if title:
        yield Subsection(title, properties)
