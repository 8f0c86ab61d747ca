"""chain: the node's one connection to the chain: what is read, what is signed and sent, what happens there."""
