"""What differs between generations of TFChain's runtime, and nothing but that: all other code speaks as spec 145.

Three layers, each found by looking at the runtime that is connected and not at its number: `lift` gives old metadata
today's form, `calls` finds how a call is spelled here, `values` gives stored values and events today's names. Only the
data file `tfchain.json` knows numbers of specs, because metadata before V14 does not describe its types.
"""

from zos.substrate.compat.calls import OTHERWISE, Spelled, refit, spell
from zos.substrate.compat.lift import lift
from zos.substrate.compat.values import modern_event, modern_value

__all__ = ["OTHERWISE", "Spelled", "lift", "modern_event", "modern_value", "refit", "spell"]
