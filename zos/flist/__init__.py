"""flists: file trees by hash, fetched on use. Reads and writes rfs' `.fl`, names, seals, fetches and keeps blocks.

0-fs' archives, the older kind, are read too: `archive` turns one into a `.fl` before anything else looks at it.

Shared by flistd, hub, images and the command line. Modules are imported one by one: the process behind a mount loads
only what it uses.
"""
