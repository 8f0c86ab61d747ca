"""Strict clients (subxt: rmb-rs, tfchain-client-rs) refuse a chain whose types are not built as TFChain's are."""

from __future__ import annotations

from pathlib import Path

from zos.devchain.layout import METADATA
from zos.devchain.tests.shapes import Metadata, differences

TFCHAIN = (Path(__file__).parent / "tfchain-spec145.scale").read_bytes()
"""Metadata V14 as TFChain's runtime 145 answers it."""


def test_every_item_that_the_devchain_offers_has_the_structure_that_it_has_on_tfchain() -> None:
    found = differences(METADATA, TFCHAIN)
    assert not found, "\n".join(map(str, found[:5]))


def test_all_that_clients_use_is_compared() -> None:
    items = Metadata(METADATA).items
    wanted = {
        "System.storage.Account",
        "System.constant.Version",
        "TfgridModule.storage.Twins",
        "TfgridModule.storage.TwinIdByAccountID",
        "TfgridModule.call.create_twin",
        "TfgridModule.event.TwinUpdated",
        "SmartContractModule.storage.Contracts",
        "SmartContractModule.call.create_node_contract",
        "SmartContractModule.event.ContractCreated",
    }
    assert wanted <= items.keys()
    assert len(items) > 400
