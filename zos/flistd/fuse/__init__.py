"""The process behind a mounted flist: the kernel's FUSE protocol, answered from an index and a block source.

Imported by a small process of its own, so it takes nothing but the standard library until a block must be fetched.
"""
