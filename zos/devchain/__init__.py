"""TFChain in small: a Substrate chain in one process, for labs, tests and farmers who want to try policies.

It owns its blocks, its state and its rules; clients meet it by JSON-RPC alone.
"""
