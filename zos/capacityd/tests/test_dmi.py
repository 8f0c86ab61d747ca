"""What is read out of the firmware's table."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from zos.capacityd.api.types import Dmi, Property, Subsection
from zos.capacityd.dmi import KINDS, MOST_SECTIONS, parse

TABLE = """# dmidecode 3.4
Getting SMBIOS data from sysfs.
SMBIOS 2.8 present.

Handle 0x0400, DMI type 4, 42 bytes
Processor Information
\tVersion: AMD EPYC 7282: 16-Core
\tFlags:
\t\tFPU (Floating-point unit on-chip)
\t\tVME (Virtual mode extension)
\tThread Count: 32
\tInactive

Handle 0x0C00, DMI type 12, 5 bytes
System Configuration Options
\tOption 1: none
On Board Things
\tA: b

Handle 0x7F00, DMI type 127, 4 bytes
End Of Table
"""


def test_sections_properties_and_their_items_are_read() -> None:
    found = parse(TABLE)
    assert found.tool == "dmidecode 3.4"
    assert [(one.kind, one.number) for one in found.sections] == [
        ("Processor", 4),
        ("SystemConfigurationOptions", 12),
        ("Custom Type 127", 127),
    ]
    assert found.sections[0].handle == "Handle 0x0400, DMI type 4, 42 bytes"
    assert found.sections[0].subsections == (
        Subsection(
            "Processor Information",
            {
                "Version": Property("AMD EPYC 7282: 16-Core"),
                "Flags": Property("", ("FPU (Floating-point unit on-chip)", "VME (Virtual mode extension)")),
                "Thread Count": Property("32"),
                "Inactive": Property(""),
            },
        ),
    )
    assert [one.title for one in found.sections[1].subsections] == ["System Configuration Options", "On Board Things"]
    assert found.sections[2].subsections == (Subsection("End Of Table", {}),)


def test_every_type_of_the_standard_has_the_grids_name() -> None:
    assert (KINDS[0], KINDS[2], KINDS[17], KINDS[42], len(KINDS)) == (
        "BIOS",
        "Baseboard",
        "MemoryDevice",
        "ManagementControllerHostInterface",
        43,
    )


def test_nothing_is_a_table_without_sections() -> None:
    assert parse("") == Dmi("unknown", ())


def test_a_table_without_end_is_cut() -> None:
    assert len(parse("Handle 0x0, DMI type 1, 1 bytes\n" * (MOST_SECTIONS + 5)).sections) == MOST_SECTIONS


@given(st.lists(st.sampled_from([*TABLE.splitlines(), "\t\t\tx", " : ", "\t", "Handle", "Handle 0, DMI type 999"])))
def test_no_order_of_lines_crashes_the_reader(lines: list[str]) -> None:
    found = parse("\n".join(lines))
    assert len(found.sections) <= len(lines)
