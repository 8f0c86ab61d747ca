"""Who may call what: for each daemon the methods of each other that its code calls, and nothing beyond.

A daemon that parses what strangers send may be taken over one day. Then it is still held to this table, which every
daemon applies to its callers (`daemon.py`): the kernel says who they are (`bus/front.py`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from zos.bus.front import ROOT, Credentials
from zos.runtime import users

CALLS: Mapping[str, Mapping[str, frozenset[str]]] = {
    "storaged": {"chain": frozenset({"GetContract"})},
    "networkd": {"core0": frozenset({"Derive"}), "mycelium": frozenset({"GetOverlay"})},
    "mycelium": {"core0": frozenset({"Derive"})},
    "chain": {"core0": frozenset({"GetIdentity", "Sign"})},
    "zdbd": {
        "core0": frozenset({"Confine"}),
        "networkd": frozenset({"GetPlanetary", "GetPublicConfig"}),
        "mycelium": frozenset({"GetOverlay"}),
    },
    "provisiond": {
        "storaged": frozenset(
            {"EnsureDisk", "EnsureVolume", "FillDisk", "DropDisk", "DropVolume", "ListDisks", "ListVolumes"}
        ),
        "networkd": frozenset({"EnsureNetwork", "DropNetwork", "EnsureTap", "DropTap", "ListNetworks"}),
        "mycelium": frozenset({"EnsureIdentity", "KeepFormer", "DropIdentity", "GetIdentity"}),
        "flistd": frozenset({"EnsureMount", "DropMount", "ListMounts"}),
        "vmd": frozenset({"EnsureMachine", "DropMachine", "GetMachine", "ListMachines", "ReadConsole"}),
        "zdbd": frozenset({"EnsureNamespace", "DropNamespace"}),
        "chain": frozenset(
            {"GetStatus", "GetContract", "GetTwin", "ListNodeContracts", "WatchContracts", "ReportResources"}
        ),
        "rmb": frozenset({"FetchDeployment", "OpenDeployment"}),
    },
    "capacityd": {
        "storaged": frozenset({"ListPools"}),
        "networkd": frozenset({"ListUplinks", "GetPublicConfig", "SetPublicConfig"}),
        "chain": frozenset({"GetStatus", "GetPublicConfig", "Register", "ReportUptime"}),
        "provisiond": frozenset({"GetUsage"}),
    },
    "rmb": {
        "core0": frozenset({"Sign", "Agree", "ListUnits"}),
        "chain": frozenset({"GetStatus", "GetContract", "GetTwin", "GetFarm"}),
        "storaged": frozenset({"ListPools", "GetCache"}),
        "networkd": frozenset({"ListNetworks", "ListUplinks", "ListWgPorts", "GetPlanetary", "GetPublicConfig"}),
        "mycelium": frozenset({"GetOverlay"}),
        "vmd": frozenset({"GetMachine", "ReadConsole", "WatchConsole", "SendConsole"}),
        "provisiond": frozenset(
            {"Deploy", "Update", "GetDeployment", "ListDeployments", "ListChanges", "Explain", "Watch"}
        ),
        "capacityd": frozenset({"GetCounters", "GetInventory", "GetDmi", "GetLocation"}),
    },
}
"""By caller, by daemon. Whoever is missing calls nobody."""


def may_call(caller: str, method: str) -> bool:
    """Whether a caller may call a method (`/zos.vmd.v1.Vmd/GetMachine`); root may call all, health included."""
    if caller == ROOT:
        return True
    service, _, name = method.removeprefix("/").partition("/")
    package, _, rest = service.partition(".")
    return package == "zos" and name in CALLS.get(caller, {}).get(rest.partition(".")[0], ())


def name_of(caller: Credentials) -> str:
    """A caller's name by his user: a daemon's, root's, or one that may call nothing.

    Where all daemons are one ordinary user's (tests, a node in a checkout) he is to them what root is to a node.
    """
    name = users.NAMES.get(caller.uid, "")
    return name or (ROOT if caller.uid in (0, os.geteuid()) else f"user-{caller.uid}")
