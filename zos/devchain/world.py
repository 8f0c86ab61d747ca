"""For tests and benches: the runtime without network, signatures and fees."""

from __future__ import annotations

from typing import Any

from zos.devchain.context import Context
from zos.devchain.genesis import Genesis, author, build
from zos.devchain.pallets.balances import mint
from zos.devchain.runtime import BY_NAME, Runtime
from zos.devchain.state import Overlay, State, Typed
from zos.scale.types import decode

GIB = 1024**3


class World:
    """The runtime without network, signatures and fees: calls are dispatched as they come, time passes on order."""

    def __init__(self, genesis: Genesis | None = None, now: int = 1_700_000_000) -> None:
        self.genesis = genesis or Genesis()
        self.runtime = Runtime(self.genesis.billing, surcharge=self.genesis.certified_surcharge)
        state = State()
        build(self.genesis, Typed(BY_NAME, state))
        self.store = Overlay(state)
        self.block = 1
        self.now = now
        """Unix seconds."""
        self.events: list[tuple[str, Any]] = []
        """`Pallet.Event` and what it carries, of everything so far."""

    def context(self) -> Context:
        """For looking at storage, and for changing it past the calls."""
        return Context(Typed(BY_NAME, self.store), BY_NAME, self.block, self.now * 1000, author())

    def get(self, name: str, *keys: Any) -> Any:
        return self.context().get(name, *keys)

    def call(self, who: bytes, name: str, /, **arguments: Any) -> list[tuple[str, Any]]:
        """Dispatch `Pallet.call`; returns its events, raises Refusal."""
        pallet, _, call = name.partition(".")
        ctx = self.context()
        ctx.extrinsic = 1
        self.runtime.dispatch(ctx, who, {pallet: {call: arguments} if arguments else call})
        return self._record_events(ctx)

    def step(self, seconds: int = 6) -> list[tuple[str, Any]]:
        """The next block's own work, so much later; returns its events."""
        self.block += 1
        self.now += seconds
        ctx = self.context()
        self.runtime.on_block(ctx)
        return self._record_events(ctx)

    def _record_events(self, ctx: Context) -> list[tuple[str, Any]]:
        events = [_named(record["event"]) for record in ctx.events]
        self.events += events
        return events

    def free(self, who: bytes) -> int:
        """What an account has, locked or not."""
        return int(self.get("System.Account", who)["data"]["free"])

    def fund(self, who: bytes, units: int) -> None:
        """Creates that many units of money in the account."""
        mint(self.context(), who, units)

    def held(self) -> int:
        """What all accounts have together, reserved or not."""
        prefix = BY_NAME["System"].key("Account")
        keys = {key for key in (*self.store.base.all_keys(prefix), *self.store.changes) if key.startswith(prefix)}
        account = BY_NAME["System"].item("Account").value
        known = [decode(account, raw)["data"] for key in keys if (raw := self.store.get(key)) is not None]
        return sum(data["free"] + data["reserved"] for data in known)

    # A farm with nodes, and people

    def twin(self, who: bytes) -> int:
        """The account with money, terms accepted, and a twin."""
        self.fund(who, 10_000)
        self.call(
            who, "TfgridModule.user_accept_tc", document_link=b"http://zos.tf/terms/v0.1", document_hash=b"9021d4"
        )
        self.call(who, "TfgridModule.create_twin", relay=None, pk=None)
        return int(self.get("TfgridModule.TwinIdByAccountID", who))

    def farm(self, who: bytes, name: bytes = b"farm", ips: int = 0) -> int:
        """A farm of a new twin, with public addresses."""
        self.twin(who)
        listed = [{"ip": b"185.206.%d.%d/16" % divmod(n + 2, 250), "gw": b"185.206.0.1"} for n in range(ips)]
        self.call(who, "TfgridModule.create_farm", name=name, public_ips=listed)
        return int(self.get("TfgridModule.FarmID"))

    def node(self, who: bytes, farm: int, **resources: int) -> int:
        """A node of a new twin."""
        self.twin(who)
        self.call(
            who,
            "TfgridModule.create_node",
            farm_id=farm,
            resources={"hru": 0, "sru": 512 * GIB, "cru": 8, "mru": 32 * GIB} | resources,
            location={"city": b"Ghent", "country": b"Belgium", "latitude": b"51.0", "longitude": b"3.7"},
            interfaces=[{"name": b"zos", "mac": b"54:b2:03:12:34:56", "ips": [b"10.0.0.5"]}],
            secure_boot=False,
            virtualized=False,
            serial_number=None,
        )
        return int(self.get("TfgridModule.NodeID"))

    def contract(self, who: bytes, node: int, ips: int = 0, provider: int | None = None) -> int:
        """Creates a node contract and answers its id."""
        id = int(self.get("SmartContractModule.ContractID")) + 1
        self.call(
            who,
            "SmartContractModule.create_node_contract",
            node_id=node,
            deployment_hash=b"%032x" % id,
            deployment_data=b"{}",
            public_ips=ips,
            solution_provider_id=provider,
        )
        return id

    def use(self, node: bytes, contract: int, **used: int) -> None:
        """The node says what a contract uses."""
        report = {"contract_id": contract, "used": {"hru": 0, "sru": 0, "cru": 0, "mru": 0} | used}
        self.call(node, "SmartContractModule.report_contract_resources", contract_resources=[report])


def _named(event: dict[str, Any]) -> tuple[str, Any]:
    ((pallet, inner),) = event.items()
    if isinstance(inner, str):
        return f"{pallet}.{inner}", None
    ((name, content),) = inner.items()
    return f"{pallet}.{name}", content
