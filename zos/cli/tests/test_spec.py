"""The user's file: what it may say, and that every mistake is named by its path."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import zos
from zos.cli.client.spec import parse
from zos.cli.client.yamlfile import BadSpec
from zos.errors import ZosError
from zos.model.units import GiB, MiB

EXAMPLE = Path(zos.__file__).parent.parent / "examples" / "vm.yaml"


def document(**changes: Any) -> dict[str, Any]:
    machine = {"flist": "http://hub/web.fl", "disks": {"d1": {"size": "1GiB", "at": "/data"}}}
    return {"name": "demo", "networks": {"net": {}}, "machines": {"vm": machine}, **changes}


def with_machine(**changes: Any) -> dict[str, Any]:
    body = document()
    body["machines"]["vm"].update(changes)
    return body


def test_the_example_says_what_its_comments_say() -> None:
    spec = parse(EXAMPLE.read_text())
    assert [machine.node for machine in spec.machines] == [1, 2]
    assert spec.networks[0].access
    assert [store.size for machine in spec.machines for store in machine.mounts] == [GiB(1), GiB(1)]


def test_what_is_left_out_has_its_default() -> None:
    (machine,) = parse(yaml.safe_dump(document())).machines
    assert (machine.node, machine.network, machine.cpu, machine.memory) == (0, "net", 1, MiB(512))
    assert machine.ip is None


@pytest.mark.parametrize(
    ("size", "bytes"), [("1GiB", GiB(1)), ("512 MB", MiB(512)), ("1.5G", MiB(1536)), (1073741824, GiB(1))]
)
def test_sizes_are_powers_of_two_however_they_are_written(size: Any, bytes: int) -> None:
    (machine,) = parse(yaml.safe_dump(with_machine(memory=size))).machines
    assert machine.memory == bytes


def test_a_fixed_address_is_kept() -> None:
    (machine,) = parse(yaml.safe_dump(with_machine(ip="10.20.7.9"))).machines
    assert machine.ip == IPv4Address("10.20.7.9")


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (document(name="no spaces here"), "name"),
        (document(nmae="demo"), "nmae"),
        (document(networks={"net": {"range": "10.20.0.0/24"}}), "networks.net.range"),
        (document(networks={"net": {"range": "here"}}), "networks.net.range"),
        (document(networks={"net": {"access": "yes please"}}), "networks.net.access"),
        (document(networks={"net": {"nodes": ["one"]}}), "networks.net.nodes"),
        (document(networks={"net": [1]}), "networks.net"),
        (document(networks={"net": {}, "vm": {}}), "machines.vm.network"),
        (with_machine(network="other"), "machines.vm.network"),
        (with_machine(flist=None), "machines.vm.flist"),
        (with_machine(memory="10MiB"), "machines.vm.memory"),
        (with_machine(memory="much"), "machines.vm.memory"),
        (with_machine(memory=True), "machines.vm.memory"),
        (with_machine(cpu=0), "machines.vm.cpu"),
        (with_machine(cpu="two"), "machines.vm.cpu"),
        (with_machine(ip="10.20.1.9"), "machines.vm.ip"),
        (with_machine(ip="10.21.7.9"), "machines.vm.ip"),
        (with_machine(ip="10.20.7.1"), "machines.vm.ip"),
        (with_machine(ip="web"), "machines.vm.ip"),
        (with_machine(colour="red"), "machines.vm.colour"),
        (with_machine(env={"PEER": "${nobody.ip}"}), "machines.vm.env.PEER"),
        (with_machine(disks={"d1": {"at": "/data"}}), "machines.vm.disks.d1.size"),
        (with_machine(disks={"d1": {"size": "0", "at": "/data"}}), "machines.vm.disks.d1.size"),
        (with_machine(disks={"d1": {"size": "1GiB", "at": "data"}}), "machines.vm.disks.d1.at"),
        (with_machine(disks={"d1": {"size": "1GiB", "at": "/"}}), "machines.vm.disks.d1.at"),
        (with_machine(volumes={"d1": {"size": "1GiB", "at": "/more"}}), "machines.vm.d1"),
        (document(zdb={"db1": {}}), "zdb.db1.size"),
        (document(zdb={"db1": {"size": 0}}), "zdb.db1.size"),
        (document(zdb={"db1": {"size": "1GiB", "mode": "direct"}}), "zdb.db1.mode"),
        (document(zdb={"db1": {"size": "1GiB", "password": "x" * 64}}), "zdb.db1.password"),
        (document(zdb={"vm": {"size": "1GiB"}}, machines={"vm": {"flist": "x"}}, networks={"n": {}}), "machines.vm"),
        ({"name": "demo"}, "the file"),
        ([1, 2], "the file"),
    ],
)
def test_a_mistake_is_named_by_its_path(body: Any, path: str) -> None:
    with pytest.raises(BadSpec) as refused:
        parse(yaml.safe_dump(body))
    assert refused.value.facts["path"] == path


def test_one_address_for_two_machines_is_refused() -> None:
    body = with_machine(ip="10.20.7.9")
    body["machines"]["other"] = {"flist": "http://hub/web.fl", "ip": "10.20.7.9"}
    with pytest.raises(BadSpec, match=r"is (other|vm)'s"):
        parse(yaml.safe_dump(body))


def test_text_that_is_no_yaml_is_said_to_be_none() -> None:
    with pytest.raises(BadSpec, match="is not YAML"):
        parse("machines: [")


TEXTS = st.text(max_size=20)


@settings(max_examples=50)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | TEXTS,
        lambda inner: st.dictionaries(TEXTS, inner, max_size=4),
        max_leaves=10,
    )
)
def test_whatever_the_file_holds_it_is_a_spec_or_a_refusal(body: Any) -> None:
    try:
        parse(yaml.safe_dump(body))
    except ZosError:
        return
    raise AssertionError("random values are no deployment")
