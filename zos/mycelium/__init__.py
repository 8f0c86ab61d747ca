"""mycelium: the node's place in the Mycelium overlay (IPv6, 400::/7), wire-compatible with its version 0.7."""
