"""zmount: a virtual disk for machines of the same deployment."""

from zos.primitives.zmount.plan import Zmount

PRIMITIVE = Zmount()
