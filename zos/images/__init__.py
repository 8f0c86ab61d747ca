"""Recipes to boot images: what nodes and their machines boot. Their data is in the root's `images/`."""
