from zos.capacityd.daemon import Capacityd
from zos.runtime import daemon

if __name__ == "__main__":
    daemon.run(Capacityd)
