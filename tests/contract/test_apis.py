"""Every API is whole: generated code is what its definition says, clients and services speak all of it."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from zos.bus.client import DaemonClient
from zos.bus.generate import ROOT, generate, protos
from zos.errors import ZosError

ALL = protos()
APIS = [path for path in ALL if "\nservice " in (ROOT / path).read_text()]
"""The others are formats of the grid."""


@pytest.mark.tools
def test_generated_code_is_what_the_definitions_say(tmp_path: Path):
    assert generate(tmp_path, ALL) == 0
    made = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert made
    stale = [str(path) for path in made if (ROOT / path).read_bytes() != (tmp_path / path).read_bytes()]
    assert not stale, "run `make proto`"


@pytest.mark.parametrize("proto", APIS, ids=lambda path: path.stem)
def test_an_api_is_one_service_in_the_package_of_its_owner(proto: Path):
    module = importlib.import_module(str(proto.with_suffix("")).replace("/", ".") + "_pb2")
    services = list(module.DESCRIPTOR.services_by_name)
    assert len(services) == 1
    if proto.parent.name == "api":
        assert module.DESCRIPTOR.package == f"zos.{proto.stem}.v1"


@pytest.mark.parametrize("proto", [p for p in APIS if p.parent.name == "api"], ids=lambda path: path.stem)
def test_the_service_answers_every_call_of_its_api(proto: Path):
    owner = proto.stem
    messages = importlib.import_module(f"zos.{owner}.api.{owner}_pb2")
    service = importlib.import_module(f"zos.{owner}.service")
    (definition,) = messages.DESCRIPTOR.services_by_name.values()
    servicers = [cls for name, cls in vars(service).items() if isinstance(cls, type) and name.endswith("Service")]
    for method in definition.methods:
        assert any(method.name in vars(cls) for cls in servicers), f"{owner} does not answer {method.name}"


@pytest.mark.parametrize("proto", [p for p in APIS if p.parent.name == "api"], ids=lambda path: path.stem)
def test_the_client_is_one_of_the_right_name(proto: Path):
    client = importlib.import_module(f"zos.{proto.stem}.api.client")
    clients = [
        cls
        for cls in vars(client).values()
        if isinstance(cls, type) and issubclass(cls, DaemonClient) and cls is not DaemonClient
    ]
    assert [client.name for client in clients] == [proto.stem]


def test_every_refusal_has_a_reason_of_its_package_and_a_text_that_renders():
    for proto in APIS:
        if (proto.parent / "errors.py").exists():
            importlib.import_module(str(proto.parent / "errors").replace("/", "."))
    assert ZosError.known
    for reason, cls in ZosError.known.items():
        assert reason.count(".") >= 1, f"{cls.__name__} has no package in its reason"
        assert str(cls())
