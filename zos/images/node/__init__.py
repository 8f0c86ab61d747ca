"""Builds the image that a node boots: Debian's packages and this program, pruned, as one signed EFI file."""
