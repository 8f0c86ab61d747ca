"""The users of a node's processes: fixed numbers, since disks keep what they own from one release to the next.

A user's group has his number. Who is in a daemon's group may connect to its socket. Nothing needs their names, which
`systemd/zos.sysusers.conf` gives to people.
"""

from __future__ import annotations

CORE0 = 71000
"""core-0 is root; this is the group of those who call it."""
STORAGED, NETWORKD, MYCELIUM, CHAIN, FLISTD, VMD, PROVISIOND, CAPACITYD, RMB, ZDBD = range(71001, 71011)
NAMES = {
    STORAGED: "storaged",
    NETWORKD: "networkd",
    MYCELIUM: "mycelium",
    CHAIN: "chain",
    FLISTD: "flistd",
    VMD: "vmd",
    PROVISIOND: "provisiond",
    CAPACITYD: "capacityd",
    RMB: "rmb",
    ZDBD: "zdbd",
}
"""The daemon that each of them is."""
GUESTS = range(73728, 90112)
"""One for each machine that a node may have at a time."""
