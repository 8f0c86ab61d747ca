"""The lab: several nodes, a chain, a hub and a user on one machine, out of namespaces."""
