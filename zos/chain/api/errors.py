"""What chain refuses, beside what zos.substrate does."""

from zos.errors import Status, ZosError


class NoSuchContract(ZosError):
    """Read as absent, by its id, at a finalized block of a chain that answered sanely: the contract is over."""

    reason = "chain.no_such_contract"
    status = Status.NOT_FOUND
    text = "contract {contract} is not on the chain (read at finalized block {block})"

    @property
    def block(self) -> int:
        """Number of the finalized block."""
        return int(self.facts["block"])


class ChainBehind(ZosError):
    """The contract is newer than the last finalized block."""

    reason = "chain.behind"
    status = Status.UNAVAILABLE
    text = "contract {contract} is not finalized yet (finalized block {block})"
    hint = "the node looks again by itself"


class ChainDoubtful(ZosError):
    """An answer that a healthy chain does not give; it is no word about any contract."""

    reason = "chain.doubtful"
    status = Status.UNAVAILABLE
    text = "the chain at {url} gives doubtful answers: {problem}"
    hint = "nothing is decided on it; another endpoint or a later answer will tell"


class NotANodeContract(ZosError):
    """A name or rent contract."""

    reason = "chain.not_a_node_contract"
    status = Status.FAILED_PRECONDITION
    text = "contract {contract} is a {kind}, not a node contract"


class NoSuchTwin(ZosError):
    """The chain answered that no twin has this id; a chain that is silent is `ChainUnreachable`."""

    reason = "chain.no_such_twin"
    status = Status.NOT_FOUND
    text = "there is no twin {twin} on the chain"


class NoSuchFarm(ZosError):
    """The chain answered that no farm has this id; a chain that is silent is `ChainUnreachable`."""

    reason = "chain.no_such_farm"
    status = Status.NOT_FOUND
    text = "there is no farm {farm} on the chain"


class NotRegistered(ZosError):
    """The node has no id on the chain yet."""

    reason = "chain.not_registered"
    status = Status.UNAVAILABLE
    text = "this node is not registered on the chain yet"
    hint = "it registers by itself; `zos status` tells what it waits for"


class Orphan(ZosError):
    """No farm id was given."""

    reason = "chain.orphan"
    status = Status.FAILED_PRECONDITION
    text = "this node belongs to no farm"
    hint = "boot an image that bears a farm id, or set farm_id in [node]"


class NoFunds(ZosError):
    """The node's account cannot pay a fee."""

    reason = "chain.no_funds"
    status = Status.UNAVAILABLE
    text = "the node's account {address} has {free} units and cannot pay a fee"
    hint = "send it some TFT, or name an activation service in [chain]"


class BadRelay(ZosError):
    """A relay is not named by a URL with a host."""

    reason = "chain.bad_relay"
    status = Status.INVALID_ARGUMENT
    text = "the relays `{urls}` cannot be published: each must be a URL such as wss://relay.example.org"
    hint = "correct `relay` in /etc/zos/zos.toml or on the kernel command line"
