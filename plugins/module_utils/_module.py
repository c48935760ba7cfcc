# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""How every module of this collection ends: with a result, or with a sentence; never with a bare traceback."""

from __future__ import annotations

import errno
import traceback
from typing import Any, Callable

from ansible.module_utils.basic import AnsibleModule

from ._errors import TaskError


def run_module(module: AnsibleModule, work: Callable[[AnsibleModule], dict[str, Any]]) -> None:
    """Call C(work) with the module, and end the module with what it returns or raises.

    C(work) returns the keys for C(exit_json), C(changed) among them for a module that changes something.
    """
    try:
        result = work(module)
    except TaskError as error:
        module.fail_json(**error.result())
    except OSError as error:
        module.fail_json(msg=describe_os_error(error), exception=traceback.format_exc())
    except Exception as error:  # a mistake of ours: say so, and keep the traceback out of the message
        module.fail_json(
            msg=f"{module._name} met an error that it does not know: {type(error).__name__}: {error}. "
            "Please report it, with the output of this task at -vvv.",
            exception=traceback.format_exc(),
        )
    module.exit_json(**result)


def describe_os_error(error: OSError) -> str:
    """Return what the operating system refused, and what to do about it."""
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk is full{where}: {error.strerror}. Free some space, then run the same command again."
    if error.errno in (errno.EACCES, errno.EPERM):
        return (
            f"Access was refused{where}: {error.strerror}. Run as the user who owns the virtual machines; on macOS, "
            "folders such as Desktop, Documents and external disks also need Full Disk Access for sshd-keygen-wrapper."
        )
    return f"The operating system refused{where}: {error.strerror or error}."
