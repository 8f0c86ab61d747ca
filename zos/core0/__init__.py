"""core-0: supervises the daemons in boot stages, holds the node's key and signs for its siblings.

High in authority, low in knowledge: it orders units by name and imports no sibling.
"""
