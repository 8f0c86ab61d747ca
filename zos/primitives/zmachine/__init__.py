"""zmachine: a virtual machine from a flist, on a user's network."""

from zos.primitives.zmachine.plan import Zmachine

PRIMITIVE = Zmachine()
