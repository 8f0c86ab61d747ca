"""volume: a folder with a limit, shared with machines of the same deployment."""

from zos.primitives.volume.plan import Volume

PRIMITIVE = Volume()
