"""zdb: a namespace of the node's 0-db, a key-value store on a hard disk."""

from zos.primitives.zdb.plan import Zdb

PRIMITIVE = Zdb()
