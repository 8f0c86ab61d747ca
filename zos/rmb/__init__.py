"""Reliable message bus: envelopes, the node's end of it, and the commands that twins may send."""
