"""The ports that a node's own programs listen on, for daemons, the firewall and the check of tenants' ports."""

from __future__ import annotations

MYCELIUM = 9651
"""TCP; other routers of the grid have QUIC on the same number of UDP."""
MYCELIUM_BEACON = 9650
"""UDP."""
YGGDRASIL = (9943, 9944, 9945)
"""TCP: by configuration, by TLS, and where neighbours connect to."""
YGGDRASIL_BEACON = 9001
"""UDP."""
GRID = (80, 443, 300, 8082)
"""What every node of the grid keeps for itself beside these."""
PRIVILEGED = range(1, 1024)
"""The machine's own: DHCP's clients (68, 546), name and time servers. The grid's clients choose from 1024 on."""
RESERVED = tuple(sorted({*GRID, MYCELIUM, MYCELIUM_BEACON, *YGGDRASIL, YGGDRASIL_BEACON}))
"""Not for tenants' WireGuard, as the privileged ones."""
