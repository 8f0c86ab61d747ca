"""capacityd: what the node has, what of it is used, and the reports of it to the chain."""
