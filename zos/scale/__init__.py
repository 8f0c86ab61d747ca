"""What each pallet stores, calls, emits and refuses, as types; and the metadata that tells clients so.

One declaration serves three ends: the devchain's codec, its metadata, and the tests' oracle. Pure.
"""
