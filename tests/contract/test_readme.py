"""Every `zos` command in README.md is one that the command line takes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from zos.cli.main import parser

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()
BLOCKS = re.findall(r"^```[a-z]*\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
LINES = [line for block in BLOCKS for line in block.splitlines() if line.startswith("zos ")]
INLINE = [found for found in re.findall(r"`(zos [^`]+)`", README) if not found.endswith("...")]


def test_the_terraform_example_says_what_the_provider_reads_back() -> None:
    """Else every plan after an apply wants to change it."""
    example = (Path(__file__).resolve().parents[2] / "examples/grid.tf").read_text()
    for resource, words in (("grid_network", ["solution_type"]), ("grid_deployment", ["solution_type", "    node "])):
        body = example.partition(f'resource "{resource}"')[2].partition("\n}\n")[0]
        assert all(word in body for word in words)


def test_readme_has_commands() -> None:
    assert len(LINES) > 10
    assert "zos deploy" in " ".join(LINES)


@pytest.mark.parametrize("line", [*LINES, *INLINE])
def test_a_command_of_the_readme_is_understood(line: str) -> None:
    command = re.sub(r"\s+[#>]\s.*", "", line).replace("CONTRACT", "1")
    words = shlex.split(command)[1:]
    parser(words).parse_args(words)
