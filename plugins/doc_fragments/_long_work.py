# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""What modules have in common whose work can take long."""

from __future__ import annotations


class ModuleDocFragment:
    """Notes about the variables that control long work."""

    DOCUMENTATION = r"""
options: {}
notes:
  - The work runs as a job on the host. If the connection is lost, the job continues. The task finds it again and waits
    for its result. If the controller is lost, the next run with the same options joins the job.
  - Work that takes more than five seconds shows lines of progress, at most one every five seconds and one for each
    percent. Set the variable C(image_progress) to V(false) to turn them off. The lines appear in the output of
    Ansible's default callback, of callbacks made from it, and of AWX. With other callbacks, such as those that print
    JSON, they go to standard error.
  - A job that no playbook waits for continues for the number of seconds in the variable C(image_unattended_timeout).
    The default is 900. For the same time a task tries to reach a host whose connection was lost. A login that the host
    refuses, and a changed SSH host key, are not retried.
  - If the playbook is canceled (Ctrl-C), the job ends and undoes what it started. Set the variable C(image_on_cancel)
    to V(continue) to let it continue. The default is V(stop).
  - If another run waits for the same work, the task joins it and takes its result. Set the variable
    C(image_if_running) to V(fail) to fail instead. The default is V(join). M(macops.parallels.vm_exec) never joins.
  - The files of a job are in C(~/.ansible/macops.parallels/jobs) on the host. Only its user can read them. A result
    that was fetched stays there until M(macops.parallels.mac_jobs) runs, for at least a minute. One that nobody fetched
    stays for a week.
  - With C(no_log) on the task, no progress is shown, and the result is removed from the host when the task fetches it.
    If nobody fetches it, it is removed one minute after C(image_unattended_timeout), counted from the end of the work.
    If the host loses power before that, the next job of any kind removes it. If the connection is lost during the
    fetch, the result is lost. M(macops.parallels.vm_exec) then fails and does not run the command again. The other
    modules do the work again, which changes nothing that is done.
  - With C(async), and in check mode, the module runs without a job, like any other module. Ansible itself keeps the
    result of an C(async) task in C(~/.ansible_async) on the host, even with C(no_log).
"""
