"""What provisiond refuses. Texts that clients show are the reference's."""

from zos.errors import Status, ZosError


class TwinMismatch(ZosError):
    """A deployment is its owner's business."""

    reason = "provisiond.twin_mismatch"
    status = Status.PERMISSION_DENIED
    text = "twin id mismatch (deployment: {deployment}, message: {sender})"


class NodeHasTooManyWaiting(ZosError):
    """What waits for contracts takes a bounded part of the node's memory, whoever sent it."""

    reason = "provisiond.node_has_too_many_waiting"
    status = Status.UNAVAILABLE
    text = "the node has too many deployments that no contract carries"
    hint = "send it again in some minutes, after its contract is on the chain"


class BadVersion(ZosError):
    """A first deployment has version 0."""

    reason = "provisiond.bad_version"
    status = Status.INVALID_ARGUMENT
    text = "expected version to be 0 on deployment creation: invalid version"


class PutAside(ZosError):
    """Work on it ended the daemon that serves all contracts."""

    reason = "provisiond.put_aside"
    status = Status.FAILED_PRECONDITION
    text = (
        "contract {contract} is put aside: the node's provisiond ended {count} times in the middle of it; "
        "what runs of it goes on as it is"
    )
    hint = "send another version of it, or cancel it; a farmer finds in provisiond's journal how it ended"


class DeploymentExists(ZosError):
    """The contract has its deployment already."""

    reason = "provisiond.exists"
    status = Status.ALREADY_EXISTS
    text = "exists: contract {contract} has a deployment already"
    hint = "send an update with the next version"


class TooManyWaiting(ZosError):
    """Documents for contracts that do not carry them would fill the disk."""

    reason = "provisiond.too_many_waiting"
    status = Status.RESOURCE_EXHAUSTED
    text = "twin {twin} has {count} deployments here that no contract carries"
    hint = "make their contracts, or wait until the node has dropped them"


class NameTaken(ZosError):
    """A network's name is the twin's on this node."""

    reason = "provisiond.name_taken"
    status = Status.ALREADY_EXISTS
    text = "global workload with the same name '{name}' exists: conflict"
    hint = "use another name, or add to the deployment of contract {contract}"


class NoSuchDeployment(ZosError):
    """Unknown, or somebody else's."""

    reason = "provisiond.no_such_deployment"
    status = Status.NOT_FOUND
    text = "deployment not found"


class TooMuchKept(ZosError):
    """A document costs its twin nothing by its length."""

    reason = "provisiond.too_much_kept"
    status = Status.RESOURCE_EXHAUSTED
    text = "twin {twin} has {count} deployments here {what} whose documents take {most} bytes"
    hint = "cancel contracts that you do not need, or send shorter documents"


class TooMuchToList(ZosError):
    """A list costs as much as what is listed, and its question next to nothing."""

    reason = "provisiond.too_much_to_list"
    status = Status.RESOURCE_EXHAUSTED
    text = "the list has more than {most} bytes: ask zos.deployment.get for one contract at a time"
    hint = "the chain knows which contracts a twin has on a node"


class NoSuchWorkload(ZosError):
    """The deployment has no workload of this name."""

    reason = "provisiond.no_such_workload"
    status = Status.NOT_FOUND
    text = "contract {contract} has no workload `{workload}`"


class BadUpdate(ZosError):
    """The update does not follow from what is there."""

    reason = "provisiond.bad_update"
    status = Status.INVALID_ARGUMENT
    text = "{problem}: upgrade validation error"


class WrongContract(ZosError):
    """The contract on the chain is not the deployment's."""

    reason = "provisiond.wrong_contract"
    status = Status.FAILED_PRECONDITION
    text = "{problem}"


class Unproven(ZosError):
    """A fetched document that would touch what is there, and nothing proves that its bytes are its owner's."""

    reason = "provisiond.unproven"
    status = Status.PERMISSION_DENIED
    text = "{what}, and the contract's data does not name the sha256 of the document that was fetched"
    hint = "put its sha256 into the contract's data, as `zos deploy` does, and update the contract again"


class OtherDocument(ZosError):
    """What was fetched is not what the contract names."""

    reason = "provisiond.other_document"
    status = Status.UNAVAILABLE
    text = "the sha256 of what lies at {place} is {found}; contract {contract} names {wanted}"
    hint = "put the signed deployment there; the node goes on trying"


class NotYet(ZosError):
    """The chain does not say so yet, and may in a moment."""

    reason = "provisiond.not_yet"
    status = Status.UNAVAILABLE
    text = "{what}"


class CannotFetch(ZosError):
    """The document that a contract names cannot be read now."""

    reason = "provisiond.cannot_fetch"
    status = Status.UNAVAILABLE
    text = "the deployment of contract {contract} cannot be fetched from {place}: {problem}"
    hint = "put the signed deployment there; the node goes on trying"


class NoMemory(ZosError):
    """The machine does not fit."""

    reason = "provisiond.no_memory"
    status = Status.RESOURCE_EXHAUSTED
    text = (
        "failed to satisfy required capacity: cannot fulfil required memory size {need} bytes "
        "out of usable {usable} bytes"
    )


class DeletionDisabled(ZosError):
    """Deployments end with their contract."""

    reason = "provisiond.deletion_disabled"
    status = Status.FAILED_PRECONDITION
    text = "deletion over the api is disabled, please cancel your contract instead"


class NotVerified(ZosError):
    """The farm wants to know its users, and does not know this one."""

    reason = "provisiond.not_verified"
    status = Status.PERMISSION_DENIED
    text = "user with twin id {twin} is not verified"
    hint = "verify your account with the grid's KYC service, or choose a farm that does not ask"


class CannotVerify(ZosError):
    """Nobody says whether the user is known."""

    reason = "provisiond.cannot_verify"
    status = Status.UNAVAILABLE
    text = "cannot find out whether twin {twin} is verified: {problem}"
