# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which lost connections are retried, and how."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleAuthenticationFailure, AnsibleConnectionFailure
from ansible_collections.macops.parallels.plugins.module_utils._common import retry
from ansible_collections.macops.parallels.plugins.plugin_utils import _long_work
from ansible_collections.macops.parallels.plugins.plugin_utils._long_work import LongWork


class Reached:
    """A connection that is lost as often as there are errors, and the time that passes meanwhile."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0
        self.said: list[str] = []
        self.slept: list[float] = []
        self.work = LongWork.__new__(LongWork)
        self.work._host = "mac"
        self.work._connection = self
        monkeypatch.setattr(self.work, "_show", self.said.append)
        monkeypatch.setattr(_long_work.time, "sleep", self.slept.append)
        monkeypatch.setattr(_long_work.time, "monotonic", lambda: sum(self.slept))

    def reset(self) -> None:
        """As connections have it."""

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"

    def persist(self, patience: float = 120) -> str:
        return self.work._persist(self, patience)


LOST = (
    "Failed to connect to the host via ssh: ssh: connect to host mac port 22: Connection refused",
    "Failed to connect to the host via ssh: kex_exchange_identification: Connection closed by remote host",
    "Failed to connect to the host via ssh: Connection closed by 192.0.2.7 port 22",
    'Failed to connect to the host via ssh: Load key "/home/me/id": Permission denied\r\nConnection reset by peer',
    "The connection to mac was lost.",
)
WRONG_LOGIN = (
    "Failed to connect to the host via ssh: admin@mac: Permission denied (publickey,password,keyboard-interactive).",
    "Failed to connect to the host via ssh: admin@mac: Permission denied (gssapi-keyex,hostbased@openssh.com).",
    "Permission denied, please try again.\nConnection closed by 192.0.2.7 port 22",
    "Received disconnect from 192.0.2.7 port 22:2: Too many authentication failures",
    "Invalid/incorrect password: Permission denied, please try again.",
    "Invalid/incorrect username/password. Skipping remaining 3 retries to prevent account lockout:",
    "Failed to authenticate: Authentication failed.",
    "ssh connection failed: Failed to authenticate public key: Access denied for 'none'.",
    "Failed to authenticate: No authentication methods available",
)
WRONG_HOST = (
    "Failed to connect to the host via ssh: @@@@\nWARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!\n"
    "Host key verification failed.",
    "host key mismatch for mac",
)


@pytest.mark.parametrize("message", LOST)
def test_a_lost_connection_is_retried(monkeypatch: pytest.MonkeyPatch, message: str) -> None:
    reached = Reached(monkeypatch, *(AnsibleConnectionFailure(message) for _number in range(3)))
    assert reached.persist() == "answer"
    assert reached.calls == 4
    assert [line.split(".")[0] for line in reached.said] == [
        "  [mac] The connection is lost",
        "  [mac] The connection is back",
    ]


@pytest.mark.parametrize("message", WRONG_LOGIN)
@pytest.mark.parametrize("lost_first", [False, True])
def test_a_refused_login_is_not_retried(monkeypatch: pytest.MonkeyPatch, message: str, lost_first: bool) -> None:
    """Three wrong passwords lock many an account."""
    lost = [AnsibleConnectionFailure(LOST[0])] if lost_first else []
    reached = Reached(monkeypatch, *lost, AnsibleConnectionFailure(message))
    with pytest.raises(AnsibleAuthenticationFailure, match="mac refused the login, and there was no second") as caught:
        reached.persist()
    assert message.split("\n")[0][:60] in str(caught.value)
    assert reached.calls == len(lost) + 1


def test_what_a_connection_calls_a_refused_login_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    reached = Reached(monkeypatch, AnsibleAuthenticationFailure("no"))
    with pytest.raises(AnsibleAuthenticationFailure, match="ansible_password"):
        reached.persist()
    assert (reached.calls, reached.slept, reached.said) == (1, [], [])


@pytest.mark.parametrize("message", WRONG_HOST)
def test_another_host_key_is_not_retried(monkeypatch: pytest.MonkeyPatch, message: str) -> None:
    reached = Reached(monkeypatch, AnsibleConnectionFailure(message))
    with pytest.raises(AnsibleConnectionFailure, match="known_hosts"):
        reached.persist()
    assert (reached.calls, reached.slept) == (1, [])


@pytest.mark.parametrize(("chance", "pauses"), [(0.0, [1.0, 1.5, 2.25]), (1.0, [1.25, 1.875, 2.8125])])
def test_the_pauses_are_longer_by_chance(monkeypatch: pytest.MonkeyPatch, chance: float, pauses: list[float]) -> None:
    monkeypatch.setattr(retry, "_chance", lambda: chance)
    reached = Reached(monkeypatch, *(AnsibleConnectionFailure(LOST[0]) for _number in range(3)))
    reached.persist()
    assert reached.slept == pauses


def test_there_is_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    reached = Reached(monkeypatch, *(AnsibleConnectionFailure(LOST[0]) for _number in range(99)))
    with pytest.raises(AnsibleConnectionFailure, match="Connection refused"):
        reached.persist(20)
    assert 20 < sum(reached.slept) < 40


@pytest.mark.parametrize(
    "answer",
    [
        {"module_stdout": "", "module_stderr": "admin@mac: Permission denied (publickey,password).", "rc": 255},
        {"module_stdout": "", "module_stderr": "Host key verification failed.", "rc": 255},
    ],
)
def test_an_answer_that_is_that_of_ssh(monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any]) -> None:
    """Where it could be the exit code of a program, Ansible takes it for that."""
    reached = Reached(monkeypatch)
    calls = []
    monkeypatch.setattr(reached.work, "_execute_module", lambda **_options: calls.append(1) or answer)
    reached.work._task = type("Task", (), {"args": {}})()
    reached.work._task_vars = {}
    with pytest.raises(AnsibleConnectionFailure, match=r"refused the login|known_hosts"):
        reached.work._persist(reached.work._call_module, 120)
    assert len(calls) == 1
