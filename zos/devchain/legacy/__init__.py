"""The devchain as TFChain was before its metadata described types: specs 49 and 61 over today's pallets.

`modules` says what those runtimes declare, `values` how values and calls of spec 145 look there, `build` puts both
around the pallets. What those runtimes did not have stays in the storage, unseen by clients.
"""

from zos.devchain.legacy.build import NAMES, generation

__all__ = ["NAMES", "generation"]
