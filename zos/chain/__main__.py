from zos.chain.daemon import ChainDaemon
from zos.runtime import daemon

if __name__ == "__main__":
    daemon.run(ChainDaemon)
