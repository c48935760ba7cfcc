# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the real programs print. Messages marked (guess) have not been seen on a Mac; the others come from one."""

from __future__ import annotations

import errno

NOT_FOUND = (
    "Failed to get VM config: The virtual machine could not be found. "
    "The virtual machine is not registered in the virtual machine directory on your Mac."
)
SERVICE_DOWN = (
    "Login failed: Unable to connect to Parallels Service. "
    "Please restart your Mac and try launching Parallels Desktop again."
)
EDITION = "This feature is not available in this edition of Parallels Desktop."
_INVALID_ARGUMENT = "Invalid argument. An invalid argument was passed."
JOB_ERROR = f"PrlJob_GetRetCode: {_INVALID_ARGUMENT}"
LOGONS = "Login failed: The maximum number of simultaneous logon attempts has been reached."  # (guess)
DATA_SYNC = (
    "The operation cannot be performed at the moment. Data synchronization is currently in progress. "
    "Try to perform the operation later."
)
CREDENTIALS = "To perform this operation, you must enter the host OS administrator's credentials."
NO_SESSION = (
    "Unable to open new session in this virtual machine. Make sure your virtual machine has finished booting, "
    "runs the latest version of Parallels Tools, and is not isolated from the host OS."
)
CONFIRM_DELETE = 'Are you sure you want to delete the virtual machine "{name}"? [y/n] '  # (guess)
CANCELED = "Operation canceled."
NO_SNAPSHOT_ID = "Snapshot id is not specified."
FROZEN = "The virtual machine is not responding."  # (guess): only the exit code 254 is known

# What stands before the reason, in the words of each verb.
FAILED = {
    "start": "Failed to start the VM",
    "stop": "Failed to stop the VM",
    "restart": "Failed to restart the VM",
    "suspend": "Failed to suspend the VM",
    "resume": "Failed to resume the VM",
    "pause": "Failed to pause the VM",
    "reset": "Failed to reset the VM",
    "delete": "Failed to remove the VM",
    "register": "Failed to register the VM",
    "unregister": "Failed to unregister the VM",
    "clone": "Failed to clone the VM",
    "pack": "Failed to pack the VM",
    "unpack": "Failed to unpack the VM",
    "snapshot": "Failed to create snapshot",
    "snapshot-delete": "Failed to delete snapshot",
    "snapshot-switch": "Failed to switch to the snapshot",
    "snapshot-list": "Failed to list snapshots",
    "set": "Failed to configure the VM",
    "exec": "Failed to execute the command",
    "list": "Failed to get VM list",
    "status": "Failed to get VM config",
}

BEGIN = {
    "start": "Starting the VM...",
    "stop": "Stopping the VM...",
    "restart": "Restarting the VM...",
    "suspend": "Suspending the VM...",
    "resume": "Resuming the VM...",
    "pause": "Pause the VM...",
    "reset": "Resetting the VM...",
    "delete": "Removing the VM...",
    "register": "Register the VM...",
    "unregister": "Unregister the VM...",
    "pack": "Packing the VM...",  # (guess)
    "unpack": "Unpacking the VM...",  # (guess)
    "snapshot": "Creating the snapshot...",
    "snapshot-delete": "Delete the snapshot...",
}

DONE = {
    "start": "The VM has been successfully started.",
    "stop": "The VM has been successfully stopped.",
    "kill": "The VM has been forcibly stopped",
    "restart": "The VM has been successfully restarted.",
    "suspend": "The VM has been successfully suspended.",
    "resume": "The VM has been successfully resumed.",
    "pause": "The VM has been successfully paused.",
    "reset": "The VM has been successfully reset.",
    "delete": "The VM has been successfully removed.",
    "register": "The VM has been successfully registered.",
    "unregister": "The VM has been successfully unregistered.",
    "clone": "The VM has been successfully cloned.",
    "pack": "The VM has been successfully packed.",  # (guess)
    "unpack": "The VM has been successfully unpacked.",  # (guess)
    "snapshot-delete": "The snapshot has been successfully deleted.",
    "snapshot-switch": "The VM has been successfully switched.",
    "set": "The VM has been successfully configured.",
}

# What a VM that cannot be touched now is doing, as the busy message ends.
DOING = {
    "running": "running",
    "paused": "running",
    "stopping": "running",
    "starting": "being started",
    "suspending": "being suspended",
    "resuming": "being resumed",
    "snapshooting": "creating a snapshot",
    "del_snapshot": "deleting a snapshot",
}


def invalid_argument(function: str) -> str:
    """Return the error of prlctl when its handle is gone before the guest's command begins."""
    return f"{function}: {_INVALID_ARGUMENT}"


def failed(verb: str, reason: str) -> str:
    """Return an error as the programs write it on stderr."""
    return f"{FAILED.get(verb, 'Failed to perform the operation')}: {reason}"


def busy(doing: str) -> str:
    """Return why a VM cannot be touched now; C(doing) is a state, or words such as C(being cloned)."""
    return (
        "Unable to perform the action because the virtual machine is busy. "
        f"The virtual machine is currently {DOING.get(doing, doing)}. Please try again later."
    )


def not_started(name: str) -> str:
    """Return what C(stop) says of a VM that does not run."""
    return (
        f'Unable to perform the operation because the virtual machine "{name}" is not started. '
        "This operation can be performed for running virtual machines only."
    )


def wrong_state(name: str, state: str) -> str:
    """Return what an operation says of a VM in the wrong state (the quote is missing in the real one, too)."""
    return (
        "Unable to complete the operation. This operation cannot be completed because the virtual machine "
        f'"{name} is in the "{state}" state.'
    )


def already_registered(name: str) -> str:
    """Return what C(register) says of a VM that is there."""
    return f'"{name}" is already registered.'


def disk_full(volume: str) -> str:
    """Return what an operation says when the disk is full."""
    return (
        f"Not enough free space on the physical disk drive {volume}. "
        "Free some space on the physical disk drive and try again."
    )


def os_error(verb: str, error: OSError) -> str:
    """Return what a program says when the system refuses something (guess, but for the full disk)."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return failed(verb, disk_full(f'"{error.filename or ""}"'))
    return failed(verb, f"{error.strerror or error} ({error.filename or 'unknown path'}).")


def exists(path: str) -> str:
    """Return what an operation says when its target is there (guess)."""
    return f'Unable to perform the operation because "{path}" already exists.'


def intermediate(name: str, verb: str, config: str) -> str:
    """Return what Parallels 17 says of a VM that is halfway unpacked (for a packed one, it is a guess)."""
    return (
        f'Unable to perform the operation because "{name}" is in the intermediate state. {verb.capitalize()}ing '
        f'"{config}" has been started but not finished yet. Please finish {verb}ing.'
    )


def not_possible(name: str, because: str) -> str:
    """Return the reason of a refusal nobody has seen on a Mac (guess)."""
    return f'Unable to perform the operation because the virtual machine "{name}" {because}.'
