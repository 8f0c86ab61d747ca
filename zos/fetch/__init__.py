"""Every HTTP request that this program sends. One policy judges the connected address, one deadline covers all of it.

`policy` and `exchange` are pure; `aio` (daemons, commands) and `blocking` (mount processes) bring bytes to and fro.
This package imports nothing by itself: a mount process starts before it knows whether it will ever fetch.
"""
