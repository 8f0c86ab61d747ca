"""networkd: the node's uplink, one network resource per tenant network, taps for machines."""
