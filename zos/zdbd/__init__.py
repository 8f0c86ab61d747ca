"""zdbd: serves the 0-db namespaces of the node, one process for each disk."""
