"""Configuration: defaults, file, environment, kernel command line; misspelt keys are errors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from zos.runtime import grids
from zos.runtime.config import BadConfig, NodeConfig, Sources, read, read_node


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


def test_a_farm_id_alone_leads_to_the_public_grid(tmp_path: Path):
    node = read_node(sources(tmp_path, cmdline="farmer_id=12"))
    assert node.chain[0] == "wss://tfchain.grid.tf/"
    assert (node.relay, node.hub) == (("wss://relay.grid.tf",), "https://hub.threefold.me")
    for word, name in (("dev", "dev"), ("development", "dev"), ("qa", "qa"), ("testing", "test")):
        node = read_node(sources(tmp_path, cmdline=f"farmer_id=12 runmode={word}"))
        assert node.grid == grids.PUBLIC[name]
        assert node.grid.activation[0] == f"https://activation.{name}.grid.tf/activation/activate"
    assert read_node(sources(tmp_path, cmdline="farmer_id=12 runmode=production")).grid == grids.PUBLIC["prod"]


def test_a_private_chain_gets_nothing_of_a_public_grid(tmp_path: Path):
    node = read_node(sources(tmp_path, cmdline="farmer_id=12 substrate=ws://chain.lab:9944"))
    assert (node.chain, node.relay, node.hub, node.grid) == (("ws://chain.lab:9944",), (), "", grids.Grid())


def test_a_public_chain_that_is_named_has_its_grids_services_and_what_is_named_stays(tmp_path: Path):
    node = read_node(sources(tmp_path, cmdline="farmer_id=12 substrate=wss://tfchain.dev.grid.tf/ws relay=wss://mine"))
    assert node.chain == ("wss://tfchain.dev.grid.tf/ws",)
    assert (node.relay, node.hub, node.grid) == (("wss://mine",), "https://hub.threefold.me", grids.PUBLIC["dev"])


def test_an_orphan_joins_nothing(tmp_path: Path):
    node = read_node(sources(tmp_path, cmdline="runmode=dev"))
    assert (node.chain, node.relay, node.grid) == ((), (), grids.Grid())


def test_an_unknown_run_mode_is_refused_with_the_known_ones(tmp_path: Path):
    with pytest.raises(BadConfig, match="runmode `tset` is none of dev, qa, test, prod, development"):
        read_node(sources(tmp_path, cmdline="farmer_id=12 runmode=tset"))


def test_no_grid_has_more_relays_than_the_chain_keeps() -> None:
    assert all(0 < len(grid.relay) <= 4 for grid in grids.PUBLIC.values())
