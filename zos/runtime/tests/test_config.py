"""Configuration: defaults, file, environment, kernel command line; misspelt keys are errors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from zos.runtime.config import BadConfig, NodeConfig, Sources, read


@dataclass(frozen=True, slots=True)
class Config:
    devices: tuple[str, ...] = ()
    every: float = 5.0
    folder: Path = Path("/x")
    uplink: str | None = None
    quiet: bool = False


def sources(tmp_path: Path, text: str = "", cmdline: str = "", **environ: str) -> Sources:
    file = tmp_path / "zos.toml"
    file.write_text(text)
    return Sources(file, cmdline, environ)


def test_defaults_hold_when_nothing_is_said(tmp_path: Path):
    assert read(Sources(tmp_path / "absent"), "storaged", Config) == Config()


def test_each_source_overrides_the_one_before(tmp_path: Path):
    file = '[storaged]\ndevices = ["/dev/a"]\nevery = 1.0\nfolder = "/y"\n'
    cmdline = "quiet zos.storaged.devices=/dev/c zos.storaged.devices=/dev/d zos.storaged.quiet"
    found = read(sources(tmp_path, file, cmdline, ZOS_STORAGED_EVERY="2.5"), "storaged", Config)
    assert found == Config(("/dev/c", "/dev/d"), 2.5, Path("/y"), None, True)


def test_the_reference_names_on_the_kernel_command_line_are_known(tmp_path: Path):
    cmdline = "farmer_id=12 substrate=ws://a substrate=ws://b runmode=dev zos-debug"
    node = read(sources(tmp_path, cmdline=cmdline), "node", NodeConfig)
    assert (node.farm_id, node.chain, node.runmode, node.debug) == (12, ("ws://a", "ws://b"), "dev", True)


def test_a_misspelt_key_names_the_file_and_the_key_that_was_meant(tmp_path: Path):
    with pytest.raises(BadConfig, match=r"zos\.toml: \[storaged\] has no key `device`; did you mean `devices`\?"):
        read(sources(tmp_path, '[storaged]\ndevice = ["/dev/a"]\n'), "storaged", Config)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("[storaged]\nevery = 'soon'\n", r"\[storaged\]: Expected `float`"),
        ("[storaged\n", "zos.toml"),
        ("storaged = 3\n", "not a table"),
    ],
)
def test_a_bad_file_is_refused_with_its_name(tmp_path: Path, text: str, match: str):
    with pytest.raises(BadConfig, match=match):
        read(sources(tmp_path, text), "storaged", Config)


def test_a_bad_number_on_the_command_line_is_refused(tmp_path: Path):
    with pytest.raises(BadConfig, match="farm_id: `abc` is not a number"):
        read(sources(tmp_path, cmdline="farmer_id=abc"), "node", NodeConfig)
