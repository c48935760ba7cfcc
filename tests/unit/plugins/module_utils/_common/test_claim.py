# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Claims: who holds them, what they remember, and what becomes of them when their holder dies."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common import claim as claim_module
from ansible_collections.macops.parallels.plugins.module_utils._common.claim import Claim, claim_path, read_claim
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.tests.support.waiting import wait_until


@pytest.fixture
def target(tmp_path: Path) -> str:
    return str(tmp_path / "Übung 1.pvm")


def hold(path: str, then: str) -> subprocess.Popen[bytes]:
    """Start a process that holds the claim file and does something, once it holds it."""
    script = (
        "import fcntl, os, subprocess, sys, time\n"
        f"held = os.open({path!r}, os.O_RDWR)\n"
        "fcntl.flock(held, fcntl.LOCK_EX)\n"
        f"{then}\n"
        "print('ready', flush=True)\n"
        "time.sleep(600)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def test_a_claim_is_beside_its_target(target: str) -> None:
    assert claim_path(target) == os.path.join(os.path.dirname(target), ".Übung 1.pvm.claim.json")


def test_notes_outlive_their_holder(target: str) -> None:
    with Claim.take(target) as claim:
        assert claim.notes == {}
        claim.write(operation="clone", restart_source=True)
        claim.note(restart_source=False, clone="x")
    assert read_claim(target) == {"operation": "clone", "restart_source": False, "clone": "x"}
    with Claim.take(target) as claim:
        assert claim.notes == {"operation": "clone", "restart_source": False, "clone": "x"}
        claim.remove()
    assert read_claim(target) == {}
    assert os.listdir(os.path.dirname(target)) == []


def test_a_claim_without_notes_leaves_nothing(target: str) -> None:
    with Claim.take(target):
        assert os.path.exists(claim_path(target))
    assert not os.path.exists(claim_path(target))


def test_a_held_claim_is_waited_for_then_an_error(target: str, mac: Any) -> None:
    with Claim.take(target) as claim:
        claim.write(operation="clone")
        with pytest.raises(TaskError, match=r"Another run is working on .*Übung 1.pvm .*Wait until it has finished"):
            Claim.take(target, wait=10, sleep=mac.sleep, clock=mac.clock)
    assert sum(mac.slept) >= 10


def test_a_claim_is_taken_when_its_holder_lets_go(target: str, mac: Any) -> None:
    first = Claim.take(target)
    first.write(operation="pack")

    def sleep(seconds: float) -> None:
        mac.sleep(seconds)
        first.remove()

    with Claim.take(target, wait=10, sleep=sleep, clock=mac.clock) as claim:
        assert claim.notes == {}


def test_a_killed_holder_lets_go(target: str) -> None:
    with Claim.take(target) as claim:
        claim.write(operation="pack")
    holder = hold(claim_path(target), "")
    with pytest.raises(TaskError, match=r"Another run"):
        Claim.take(target)
    end(holder)
    with Claim.take(target) as claim:
        assert claim.notes == {"operation": "pack"}


def test_a_program_that_outlives_its_holder_keeps_the_claim(target: str, tmp_path: Path) -> None:
    with Claim.take(target) as claim:
        claim.write(operation="pack")
    holder = hold(
        claim_path(target),
        "os.set_inheritable(held, True)\n"
        f"worker = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], pass_fds=[held])\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(worker.pid))",
    )
    end(holder)
    with pytest.raises(TaskError, match=r"Another run"):
        Claim.take(target)
    os.kill(int((tmp_path / "pid").read_text()), 9)

    def is_free() -> bool:
        try:
            Claim.take(target).release()
        except TaskError:
            return False
        return True

    wait_until(is_free, 10, explain=lambda: "the claim of a dead program is still held")


def test_a_shorter_note_replaces_a_longer_one(target: str) -> None:
    with Claim.take(target) as claim:
        claim.write(operation="clone", source_name="x" * 500)
        claim.write(operation="pack")
        assert read_claim(target) == {"operation": "pack"}


def test_a_kill_between_writing_and_cutting_leaves_the_new_note(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Claim.take(target) as claim:
        claim.write(operation="clone", source_name="x" * 500)

        def killed(*_arguments: Any) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(os, "ftruncate", killed)
        with pytest.raises(KeyboardInterrupt):
            claim.write(operation="pack")
    assert read_claim(target) == {"operation": "pack"}


@pytest.mark.parametrize("content", ["{", "[1]", '{"schema": 99}', "hello\n", "\udcff"])
def test_a_note_of_somebody_else_is_an_error_and_stays(target: str, content: str) -> None:
    Path(claim_path(target)).write_bytes(content.encode("utf-8", "surrogateescape"))
    for look in (read_claim, Claim.take):
        with pytest.raises(TaskError, match=r"is not a readable note of this collection"):
            look(target)
    assert Path(claim_path(target)).read_bytes() == content.encode("utf-8", "surrogateescape")


def test_an_empty_note_was_killed_before_anything_was_done(target: str) -> None:
    Path(claim_path(target)).write_bytes(b"")
    assert read_claim(target) == {}
    with Claim.take(target) as claim:
        assert claim.notes == {}


def test_only_the_owner_may_read_a_note(target: str) -> None:
    with Claim.take(target) as claim:
        claim.write(operation="clone")
        assert os.stat(claim_path(target)).st_mode & 0o777 == 0o600
        assert json.loads(Path(claim_path(target)).read_text())["schema"] == 1


def test_a_disk_without_locks_is_an_error_with_advice(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_arguments: Any) -> None:
        raise OSError(45, "Operation not supported")

    monkeypatch.setattr(claim_module.fcntl, "flock", unsupported)
    with pytest.raises(TaskError, match=r"does not support file locks .*Use a folder on a local disk"):
        Claim.take(target)


def test_a_claim_that_was_removed_while_it_was_waited_for_is_made_anew(
    target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Claim.take(target)
    first.write(operation="pack")
    lock = fcntl.flock
    removed: list[bool] = []

    def lock_late(descriptor: int, how: int) -> None:
        if not removed:
            removed.append(True)
            first.remove()
        lock(descriptor, how)

    monkeypatch.setattr(claim_module.fcntl, "flock", lock_late)
    with Claim.take(target) as claim:
        assert claim.notes == {}
        assert os.path.samestat(os.stat(claim_path(target)), os.fstat(claim.descriptor))


def share(target: str) -> Claim:
    return Claim.take(target, shared=True)


def test_a_shared_claim_has_several_holders_and_the_last_one_gets_it_alone(target: str) -> None:
    first, second, third = (share(target) for _holder in range(3))
    assert Claim.take_if_free(target) is None, "nobody gets it alone while it is shared"
    first.write(restart=True)
    assert not first.take_alone()
    assert first.descriptor == -1
    third.release()
    assert os.path.exists(claim_path(target)), "the note of others was removed"
    assert second.notes == {}
    assert second.take_alone()
    assert second.notes == {"restart": True}
    assert Claim.take_if_free(target, shared=True) is None, "it is held alone"
    second.remove()
    assert not os.path.exists(claim_path(target))


def test_a_shared_claim_that_another_one_removed_as_the_last_is_not_held_alone(
    target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = share(target), share(target)
    flock = fcntl.flock

    def unlocked(descriptor: int, operation: int) -> None:
        flock(descriptor, operation)
        if descriptor == first.descriptor and operation == fcntl.LOCK_UN:
            monkeypatch.setattr(claim_module.fcntl, "flock", flock)
            assert second.take_alone()
            second.remove()

    monkeypatch.setattr(claim_module.fcntl, "flock", unlocked)
    assert not first.take_alone()
    assert not os.path.exists(claim_path(target))


def test_a_killed_holder_of_a_shared_claim_does_not_count(target: str) -> None:
    first = share(target)
    second = os.open(claim_path(target), os.O_RDWR)
    fcntl.flock(second, fcntl.LOCK_SH)
    os.close(second)  # as the system does
    assert first.take_alone()
    first.remove()


def test_a_claim_that_cannot_be_removed_replaces_no_error(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_path: str) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(claim_module.os, "unlink", refused)
    with pytest.raises(KeyboardInterrupt), Claim.take(target):
        raise KeyboardInterrupt
