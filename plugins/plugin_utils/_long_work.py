# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The controller's side of long work: starts it as a job, shows its progress, and reconnects to it.

See module_utils._jobs.job for what happens on the Mac. All network work is that of Ansible's own connection.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import time
from typing import Any, Callable, Optional, TypeVar

from ansible.errors import AnsibleActionFail, AnsibleAuthenticationFailure, AnsibleConnectionFailure
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from ..module_utils._common.errors import Interrupted
from ..module_utils._common.interrupt import interruptible
from ..module_utils._common.retry import spread
from ..module_utils._common.text import printable_message
from ..module_utils._jobs.folder import ROOT
from ..module_utils._jobs.job import ENVIRONMENT, FAIL, JOIN, RUNNING
from ._progress_lines import ProgressLines, duration
from ._show import show_line
from ._variables import is_blank, value_of

T = TypeVar("T")

# Seconds: work that is done by then is answered by the call that has started it.
_WAIT = 4.0
# Seconds between two polls: few at first, so that short work is answered soon.
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 5.0
# Less would end jobs between two polls over a slow connection.
LEAST_UNATTENDED = 15.0
# A job that reports nothing new for so many seconds may be dead: the module finds out.
_SILENCE = 30.0
# Seconds of retries when the Mac cannot be reached at the start of the work.
_START_PATIENCE = 120.0
# What ssh, sshpass, paramiko and libssh say when the host has refused the login. "Permission denied" alone may be about
# a file, such as a key that cannot be read.
_REFUSED_LOGIN = re.compile(
    r"permission denied(?: \([a-z0-9@., -]+\)|, please try again)|too many authentication failures"
    r"|authentication failed|failed to authenticate|no authentication methods available|access denied for '"
    r"|invalid/incorrect (?:username/)?password|(?:password|account) has expired",
    re.IGNORECASE,
)
# What they say when the host is not the one that is known, or not known.
_WRONG_HOST_KEY = re.compile(
    r"host key verification failed|remote host identification has changed|host key mismatch|host key is unknown",
    re.IGNORECASE,
)


class LongWork(ActionBase):
    """Runs the module of the same name as a job."""

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        """Return the module's result."""
        self._supports_check_mode = True
        self._supports_async = True
        task_vars = task_vars or {}
        result = super().run(tmp, task_vars)
        del tmp
        if result.get("skipped"):
            return result
        if self._task.check_mode or self._task.async_val:
            wrap_async = bool(self._task.async_val) and not self._connection.has_native_async
            result.update(self._execute_module(task_vars=task_vars, wrap_async=wrap_async))
            return result
        self._task_vars = task_vars
        self._token = secrets.token_hex(8)
        self._playbook = os.getppid()
        self._host = _name_of_host(self._task, task_vars)
        self._unattended = self._seconds("image_unattended_timeout", 900, least=LEAST_UNATTENDED)
        self._lines = ProgressLines(self._host)
        self._shows_progress = bool(not self._task.no_log and self._switch("image_progress", True))
        self._cancels = self._choice("image_on_cancel", ("stop", "continue")) == "stop"
        if_running = self._choice("image_if_running", (JOIN, FAIL))
        stopped: Optional[Interrupted] = None
        with interruptible():
            try:
                result.update(self._work(if_running))
            except Interrupted as error:
                stopped = error
                self._leave()
            except AnsibleConnectionFailure as error:
                # What a server has said may be in it, and in its causes, which Ansible would print as well.
                error.message = printable_message(str(error))
                error.orig_exc = None
                raise error from None
        if stopped is not None:
            os.kill(os.getpid(), stopped.signal_number)  # the handlers of Ansible are in place again
            raise KeyboardInterrupt from stopped
        return result

    def _work(self, if_running: str) -> dict[str, Any]:
        waited_for = ""
        environment = self._task.environment
        before = environment if isinstance(environment, list) else [environment] if environment else []
        patience = min(self._unattended, _START_PATIENCE)
        while True:
            order = {
                "token": self._token,
                "wait": _WAIT,
                "unattended": self._unattended,
                "if_running": if_running,
                "waited_for": waited_for,
                "private": bool(self._task.no_log),
            }
            self._task.environment = [*before, {ENVIRONMENT: json.dumps(order)}]
            result = self._persist(self._call_module, patience)
            running = result.get(RUNNING)
            if not isinstance(running, dict):
                return result
            if running["joined"] and not waited_for:
                self._say("Another run is already doing this. Waiting until it has finished.")
            waited_for = running["id"]
            patience = self._unattended
            self._watch(running["folder"])

    def _call_module(self) -> dict[str, Any]:
        result = self._execute_module(module_args=dict(self._task.args), task_vars=self._task_vars)
        # The connection's program was killed, which Ansible mistakes for an answer of the module.
        if "module_stdout" in result and (result.get("rc") == 255 or (result.get("rc") or 0) < 0):
            raise AnsibleConnectionFailure(_lost(self._host, str(result.get("module_stderr", ""))))
        return result

    def _watch(self, folder: str) -> None:
        """Wait until the job has ended, or seems to have."""
        shell = self._connection._shell
        lease, progress = shell.join_path(folder, "lease"), shell.join_path(folder, "progress.json")
        question = f"printf %s {self._token} > {shell.quote(lease)} && cat {shell.quote(progress)}"
        pause, beat, heard = _FIRST_PAUSE, None, time.monotonic()
        while True:
            answer = self._persist(lambda: self._ask(question), self._unattended)
            told = _read(answer)
            if told is None or told.get("ended"):
                return
            if told.get("beat") != beat:
                beat, heard = told.get("beat"), time.monotonic()
            elif time.monotonic() - heard > _SILENCE:
                return
            line = self._lines.line(told) if self._shows_progress else None
            if line:
                self._show(line)
            time.sleep(pause)
            pause = min(pause * 1.2, _LONGEST_PAUSE)
            if os.getppid() != self._playbook:
                # Killing the playbook does not reach the processes of its tasks, which have their own sessions.
                raise AnsibleActionFail("The playbook has ended.")

    def _ask(self, question: str) -> str:
        """Return the output of a shell command on the Mac, empty when it fails there."""
        done = self._low_level_execute_command(question)
        if done["rc"] == 255 or done["rc"] < 0:
            raise AnsibleConnectionFailure(_lost(self._host, str(done["stderr"])))
        return str(done["stdout"]) if done["rc"] == 0 else ""

    def _persist(self, call: Callable[[], T], patience: float) -> T:
        """Return the result of the call; retry it for some seconds while the Mac cannot be reached.

        A login that the Mac refuses is not retried: accounts get locked after a few wrong passwords.
        """
        lost: Optional[float] = None
        pause = 1.0
        while True:
            try:
                answer = call()
            except AnsibleConnectionFailure as error:
                _refuse_wrong_login(self._host, error)
                now = time.monotonic()
                if lost is None:
                    lost = now
                    self._say(
                        "The connection is lost. The work continues on the host. "
                        f"Trying to reconnect for {duration(patience)}."
                    )
                elif now - lost > patience:
                    raise
                time.sleep(spread(pause))
                pause = min(pause * 1.5, 15.0)
                with contextlib.suppress(Exception):  # it is lost anyway; the next call shows whether it is back
                    self._connection.reset()
                continue
            if lost is not None:
                self._say("The connection is back.")
            return answer

    def _leave(self) -> None:
        """Stop the job, or let it continue, as the admin has chosen."""
        if not self._cancels:
            self._say("The playbook was stopped. The work continues on the host (image_on_cancel is 'continue').")
            return
        root = f'"$HOME"/{ROOT[2:]}'
        # What others can write to would not count: see _common.ownership.
        command = f"umask 077 && mkdir -p {root} && : > {root}/{self._token}.cancel"
        with contextlib.suppress(AnsibleConnectionFailure):
            if self._low_level_execute_command(command)["rc"] == 0:
                self._say("The playbook was stopped, and so was the work. Run the same command again to resume.")
                return
        self._say(
            "The playbook was stopped. The host could not be reached; the work on it stops within "
            f"{duration(self._unattended)}. Run the same command again to resume."
        )

    def _say(self, sentence: str) -> None:
        self._show(f"  [{self._host}] {sentence}")

    def _show(self, line: str) -> None:
        show_line(line)

    def _variable(self, name: str, default: Any) -> Any:
        value = value_of(self._task_vars.get(name), self._templar)
        return default if is_blank(value) else value

    def _switch(self, name: str, default: bool) -> bool:
        try:
            return bool(boolean(self._variable(name, default)))
        except TypeError as error:
            raise AnsibleActionFail(f"The variable {name} must be true or false.") from error

    def _seconds(self, name: str, default: float, least: float) -> float:
        try:
            seconds = float(self._variable(name, default))
        except (TypeError, ValueError):
            seconds = -1
        if seconds < least:
            raise AnsibleActionFail(f"The variable {name} must be a number of seconds, at least {least:.0f}.")
        return seconds

    def _choice(self, name: str, choices: tuple[str, str]) -> str:
        value = str(self._variable(name, choices[0]))
        if value not in choices:
            raise AnsibleActionFail(f"The variable {name} must be '{choices[0]}' or '{choices[1]}', but is '{value}'.")
        return value


def _lost(host: str, said: str) -> str:
    return f"The connection to {host} was lost. {said.strip()[-500:]}".rstrip()


def _refuse_wrong_login(host: str, error: AnsibleConnectionFailure) -> None:
    """Raise an error for a connection that cannot be made however often it is tried."""
    said = str(error)
    if _WRONG_HOST_KEY.search(said):
        raise AnsibleConnectionFailure(
            f"The SSH host key of {host} is not the one that is known, so there was no second attempt. Find out why it "
            f"changed, and correct known_hosts on the controller. {said}"
        ) from error
    if isinstance(error, AnsibleAuthenticationFailure) or _REFUSED_LOGIN.search(said):
        raise AnsibleAuthenticationFailure(
            f"{host} refused the login, and there was no second attempt, so that the account is not locked. Correct "
            f"the user, the password or the key of the connection (ansible_user, ansible_password). {said}"
        ) from error


def _name_of_host(task: Any, task_vars: dict[str, Any]) -> str:
    host = str(task_vars.get("inventory_hostname", ""))
    return host if task.delegate_to in (None, host) else f"{host} -> {task.delegate_to}"


def _read(answer: str) -> Optional[dict[str, Any]]:
    """Return the report of a job, empty before its first report, None when its folder is gone."""
    # Some servers print a greeting first.
    start = answer.find("{")
    if start < 0:
        return None
    try:
        told = json.loads(answer[start:])
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
