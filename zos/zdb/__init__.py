"""0-db: a key-value store of append-only files that speaks a part of Redis' protocol. Library and server.

The grid's 0-db (version 2: data files 3, index files 4) reads what this one wrote, and the other way round.
"""
