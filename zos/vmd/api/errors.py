"""What vmd refuses."""

from zos.errors import Status, ZosError


class BadMachine(ZosError):
    """The request cannot be a machine."""

    reason = "vmd.bad_machine"
    status = Status.INVALID_ARGUMENT
    text = "machine {id}: {problem}"


class NoSuchMachine(ZosError):
    """No machine of this id was asked for."""

    reason = "vmd.no_such_machine"
    status = Status.NOT_FOUND
    text = "there is no machine {id}"


class MachineNotRunning(ZosError):
    """The call needs a running guest."""

    reason = "vmd.machine_not_running"
    status = Status.FAILED_PRECONDITION
    text = "machine {id} does not run ({state})"
    hint = "its console's past can still be read; `zos why` tells why it does not run"


class LibvirtUnreachable(ZosError):
    """libvirtd does not answer; guests go on without it."""

    reason = "vmd.libvirt_unreachable"
    status = Status.UNAVAILABLE
    text = "libvirt does not answer at {uri}: {problem}"
    hint = "running guests are not affected; starts wait until libvirtd is back"


class LibvirtRefused(ZosError):
    """libvirt answered a call with an error; it may go better later."""

    reason = "vmd.libvirt_refused"
    status = Status.UNAVAILABLE
    text = "libvirt: {problem}"


class StartFailed(ZosError):
    """A start did not succeed; it is tried again with back-off."""

    reason = "vmd.start_failed"
    status = Status.UNAVAILABLE
    text = "machine {id} could not be started: {problem}"
    hint = "it is tried again by itself"


class PartsMissing(ZosError):
    """Something that the machine is made of is not there (yet): after a boot, mounts and taps take their time."""

    reason = "vmd.parts_missing"
    status = Status.UNAVAILABLE
    text = "machine {id} waits for {part}"
    hint = "it is started as soon as that is there"


class GuestAssetsMissing(ZosError):
    """The guest kernel or initramfs is not there."""

    reason = "vmd.guest_assets_missing"
    status = Status.UNAVAILABLE
    text = "the guest kernel and initramfs are not in {folder}"
    hint = "make them with `python -m zos.images.guest --out {folder}`"
