# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Runs a module and ends it with a result or an error message for the admin, never with a bare traceback.

The one door for what a module says: no text from outside, such as a VM's name or a server's answer, reaches a terminal
as it is. The data of a result keep it, because playbooks compare it and use it again.
"""

from __future__ import annotations

import errno
import traceback
from typing import Any, Callable

from ansible.module_utils.basic import AnsibleModule

from ._common.awake import kept_awake
from ._common.errors import Interrupted, TaskError
from ._common.given import refuse_unprintable_paths
from ._common.interrupt import interruptible
from ._common.notice import Notice
from ._common.space import free_where
from ._common.text import printable, printable_data, printable_message, sendable
from ._common.unreadable import advice_for_denied
from ._jobs.job import ForegroundJob, Job, JobOrder, run_as_job
from ._parallels.cli import Prlctl

# What is returned to be read by people, not by playbooks.
_FOR_PEOPLE = ("advice", "diff", "reasons")


def notice_of(module: AnsibleModule) -> Notice:
    """Return what shows a notice as a warning of a module."""
    return lambda sentence: module.warn(printable_message(sentence))


def prlctl_of(module: AnsibleModule) -> Prlctl:
    """Return Parallels' programs for a module that has the option C(executable)."""
    return Prlctl(
        module.run_command, module.params["executable"], notice=notice_of(module), mends=not module.check_mode
    )


def run_module(
    module: AnsibleModule,
    work: Callable[[AnsibleModule], dict[str, Any]],
    why_interrupted: Callable[[], str] = lambda: "",
) -> None:
    """Call C(work) with the module, and end the module with what it returns or raises.

    C(work) returns the keys for C(exit_json), C(changed) among them for a module that changes something.
    C(why_interrupted) may return the reason for an interruption.
    """
    failure: dict[str, Any] = {}
    exception = ""  # for -vvv; passed on as text, because Ansible would take it from the error as it is
    try:
        with interruptible(why_interrupted):
            refuse_unprintable_paths(module.argument_spec, module.params)
            result = work(module)
    except TaskError as error:
        failure = error.result()
        # Where it was raised, without the words of its causes: an address with a secret may be in them.
        exception = "".join(traceback.format_tb(error.__traceback__)) if module._verbosity >= 3 else ""
    except Interrupted as error:
        failure = {
            "msg": f"{error.reason} Unfinished work was cleaned up where possible. Run the same command again to "
            "resume.",
            "interrupted": True,
        }
    except OSError as error:
        failure, exception = {"msg": describe_os_error(error)}, traceback.format_exc()
    except Exception as error:  # a bug of ours: say so, and keep the traceback out of the message
        exception = traceback.format_exc()
        failure = {
            "msg": f"{module._name} failed with an unexpected error: {type(error).__name__}: {error}. Please report "
            "it, with the output of this task at -vvv."
        }
    else:
        _end_well(module, result)
    _fail(module, failure, exception)


def _end_well(module: AnsibleModule, result: dict[str, Any]) -> None:
    """End the module with a result."""
    shown = {name: printable_data(result[name]) for name in _FOR_PEOPLE if name in result}
    if "msg" in result:
        shown["msg"] = printable_message(result["msg"])
    module.exit_json(**{**sendable(result), **shown})


def _fail(module: AnsibleModule, failure: dict[str, Any], exception: str) -> None:
    """End the module with a failure. Ansible prints all of it."""
    shown = {**printable_data(failure), "msg": printable_message(failure["msg"])}
    module.fail_json(**shown, **({"exception": printable(exception)} if exception else {}))


def run_long_module(
    module: AnsibleModule,
    work: Callable[[AnsibleModule, Job], dict[str, Any]],
    *,
    joins: bool = True,
    keeps_answer: Callable[[dict[str, Any]], bool] = lambda _answer: False,
) -> None:
    """Like C(run_module), for long work: run it as a job when the action plugin has ordered one.

    For C(joins) and C(keeps_answer) see C(run_as_job).
    """
    order = JobOrder.from_environment()
    if module.check_mode:
        run_module(module, lambda module: work(module, ForegroundJob()))
        return

    def in_foreground(module: AnsibleModule) -> dict[str, Any]:
        with kept_awake():
            return work(module, ForegroundJob())

    if order is None:
        run_module(module, in_foreground)
        return
    ordered = order

    def in_child(job: Job) -> None:
        def do(module: AnsibleModule) -> dict[str, Any]:
            try:
                with kept_awake():
                    return work(module, job)
            finally:
                job.make_room()
                if job.unwritten:
                    notice_of(module)(
                        f"The progress of the work could not be written ({job.unwritten}), so it seemed to stand "
                        "still. The work itself continued. Free up space if the disk is full."
                    )

        run_module(module, do, job.why_interrupted)

    def start_or_join(module: AnsibleModule) -> dict[str, Any]:
        try:
            run_as_job(
                ordered,
                module._name.rpartition(".")[2],
                _options_that_tell_work_apart(module),
                in_child,
                joins=joins,
                keeps_answer=keeps_answer,
                notice=notice_of(module),
            )
        except OSError as error:
            # Such as work that frees space on a full disk: running it without a job is better than not running it.
            notice_of(module)(
                f"The work runs without a job, so it stops when the connection is lost. {describe_os_error(error)}"
            )
        return in_foreground(module)

    run_module(module, start_or_join)


def _options_that_tell_work_apart(module: AnsibleModule) -> dict[str, Any]:
    """Return the options without secrets: the same work with other credentials is still the same work."""
    secret = {name for name, option in module.argument_spec.items() if option.get("no_log")}
    return {name: value for name, value in module.params.items() if value is not None and name not in secret}


def describe_os_error(error: OSError) -> str:
    """Return what the operating system reported, and what to do about it."""
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"The disk is full{where}: {error.strerror}.{free_where(error.filename)} Free some space, then run the "
            "same command again."
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"Access denied{where}: {error.strerror}. {advice_for_denied(error.filename)}"
    return (
        f"The operating system reported an error{where}: {error.strerror or error}. Fix its cause, then run the same "
        "command again."
    )
