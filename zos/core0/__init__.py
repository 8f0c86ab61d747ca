"""core-0: supervises the daemons in boot stages, holds the node's key and signs for the other daemons.

It imports none of them: `units.py` says what each starts after, what it may do, and what is signed for it.
"""
