"""Machines: what was asked for runs as libvirt domains, outlives every daemon, and is never deleted for crashing."""
