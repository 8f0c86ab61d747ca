"""Starts core-0: first the zygote, while this process has one thread and no gRPC, then the supervisor."""

from zos.core0 import zygote

if __name__ == "__main__":
    _, control = zygote.spawn()

    from zos.core0.daemon import Core0
    from zos.runtime import daemon

    Core0.control = control
    daemon.run(Core0)
