from zos.provisiond.daemon import Provisiond
from zos.runtime import daemon

if __name__ == "__main__":
    daemon.run(Provisiond)
