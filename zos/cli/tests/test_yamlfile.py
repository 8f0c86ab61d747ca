"""Values of the user's YAML are what they look like."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from zos.cli.client import compose, spec
from zos.cli.client.yamlfile import BadSpec, Table, load
from zos.model.units import GiB

FILE = """\
name: demo
networks: {net: {access: yes}}
machines:
  no:
    flist: a.flist
    entrypoint: 1.10
    env:
      MODE: 0755
      AT: 12:30
      VERSION: 1.10
      ANSWER: yes
      NOTHING: null
      EMPTY:
      BIG: 1e3
      DAY: 2026-11-30
      HEX: 0x1F
"""


def test_text_stays_as_it_is_written_and_a_flag_is_one_where_a_flag_is_wanted() -> None:
    found = spec.parse(FILE)
    (machine,) = found.machines
    assert (machine.name, machine.entrypoint, found.networks[0].access) == ("no", "1.10", True)
    assert machine.env == {
        "MODE": "0755",
        "AT": "12:30",
        "VERSION": "1.10",
        "ANSWER": "yes",
        "NOTHING": "null",
        "EMPTY": "",
        "BIG": "1e3",
        "DAY": "2026-11-30",
        "HEX": "0x1F",
    }


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ("name: a\nname: b\n", "line 2", "`name` is there twice; the first is in line 1"),
        ("a:\n  b: 1\n  c: 2\n  b: 3\n", "line 4", "`b` is there twice; the first is in line 2"),
        ("? [1]\n: 2\n", "line 1", "must be text"),
    ],
)
def test_a_key_twice_is_an_error_that_names_its_line(text: str, path: str, words: str) -> None:
    with pytest.raises(BadSpec) as refused:
        load(text)
    assert (refused.value.facts["path"], words in refused.value.facts["problem"]) == (path, True)


def test_a_merged_key_may_be_said_again() -> None:
    assert load("a: &x {b: 1, c: 2}\nd: {<<: *x, b: 3}\n")["d"] == {"b": "3", "c": "2"}


def test_half_a_character_is_refused_by_its_path() -> None:
    with pytest.raises(BadSpec, match="half of a character"):
        Table(load('a: "\\ud800"\n'), "top").text("a")


@given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=20))
def test_what_yaml_writers_write_is_read_back_as_it_was(text: str) -> None:
    assert Table(load(yaml.safe_dump({"a": {"b": text}}, allow_unicode=True)), "").texts("a") == {"b": text}


@pytest.mark.parametrize("range", ["100.64.0.0/16", "8.8.0.0/16", "169.254.0.0/16", "0.0.0.0/16"])
def test_a_network_of_somebody_else_is_refused(range: str) -> None:
    with pytest.raises(BadSpec, match="must lie in 10"):
        spec.parse(f"name: x\nnetworks: {{n: {{range: {range}}}}}\n")


ALONE = """\
name: x
networks: {n: {}}
disks: {d: {size: 2GiB, node: 2}}
volumes: {v: {size: 1GiB}}
machines:
  m: {flist: a, disks: {d: {at: /d}}, volumes: {v: {at: /v}, w: {at: /w, size: 1GiB}}}
"""


def test_a_disk_may_stand_by_itself_and_be_mounted_by_its_name() -> None:
    found = compose.assign(spec.parse(ALONE), [1, 2])
    assert [(one.name, one.kind, one.size, one.node) for one in found.stores] == [
        ("d", "zmount", GiB(2), 2),
        ("v", "volume", GiB(1), 2),
    ]
    assert [(one.name, one.size, one.is_alone) for one in found.machines[0].mounts] == [
        ("d", GiB(2), True),
        ("v", GiB(1), True),
        ("w", GiB(1), False),
    ]
    only = compose.assign(spec.parse("name: x\ndisks: {d: {size: 2GiB}}\n"), [1, 2])
    assert [one.node for one in only.stores] == [1]
    (deployment,) = compose.compose(only, 7, {}, pick=lambda ports: ports[0]).deployments.values()
    assert [(one.name, one.type, one.data) for one in deployment.workloads] == [("d", "zmount", {"size": GiB(2)})]
    with pytest.raises(BadSpec, match="mounted by m already"):
        spec.parse(ALONE + "  other: {flist: a, disks: {d: {at: /d}}}\n")
    with pytest.raises(compose.Elsewhere, match="machine m is for node 1, and what it mounts is on node 2"):
        compose.assign(spec.parse(ALONE.replace("m: {flist", "m: {node: 1, flist")), [1, 2])


def test_a_size_that_no_disk_can_have_is_shown_as_it_will_be() -> None:
    text = "name: x\ndisks: {d: {size: 1000000001}, e: {size: 1GiB}}\nvolumes: {v: {size: 1000000001}}\n"
    assert list(spec.rounded(spec.parse(text))) == ["disk d: 1000000001 bytes are rounded up to 1000001536"]
