# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The user of a build Mac: an account with an empty home, and a Python that it can run.

As root on Linux a real account is made for it, and removed afterwards. Elsewhere it is the user who runs the tests,
with another home.
"""

from __future__ import annotations

import contextlib
import dataclasses
import getpass
import itertools
import os
import pathlib
import pwd
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from support.python_copy import copy_python

PREFIX = "buildmac"
# What sshd gives to a command on macOS: nothing of Homebrew, nothing of /usr/local.
MAC_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"

_numbers = itertools.count(1)


@dataclasses.dataclass(frozen=True)
class Account:
    """A user on this machine."""

    name: str
    home: pathlib.Path
    # A folder that the user can enter but not change; for keys, copies of programs and the like.
    base: pathlib.Path
    # A folder of the user's own.
    work: pathlib.Path
    python: pathlib.Path
    # None: the user who runs the tests.
    uid: int | None = None
    gid: int | None = None

    def run(self, command: list[object], **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command as this user, with a Mac's PATH; a failure is an error with the command's output in it."""
        if self.uid is not None:
            options.update(user=self.uid, group=self.gid, extra_groups=[])
        if "input" not in options:
            options["stdin"] = subprocess.DEVNULL
        words = [str(word) for word in command]
        environment = {"HOME": str(self.home), "PATH": MAC_PATH, "LC_ALL": "C.UTF-8"}
        done = subprocess.run(
            words,
            cwd=self.work,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            **options,
        )
        if done.returncode:
            raise AssertionError(f"{words} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done

    @contextlib.contextmanager
    def acting(self) -> Iterator[None]:
        """Do as this user what this process does meanwhile: the system checks the rights of files for that user."""
        assert self.uid is not None and self.gid is not None
        groups = os.getgroups()
        os.setgroups([])
        os.setegid(self.gid)
        os.seteuid(self.uid)
        try:
            yield
        finally:
            os.seteuid(0)
            os.setegid(0)
            os.setgroups(groups)

    def kill_everything(self) -> None:
        """Kill every process of this user at once, as when the power goes."""
        assert self.uid is not None, "that would be all processes of who runs the tests"
        _end_processes(self.uid)


@contextlib.contextmanager
def mac_account(python: pathlib.Path | None = None) -> Iterator[Account]:
    """Make the account; C(python) is an interpreter of a virtual environment, which the account gets a copy of.

    Without it there is none: for those who only want to transfer files.
    """
    base = pathlib.Path(tempfile.mkdtemp(prefix="macops-", dir=_folder_for_all()))
    base.chmod(0o755)
    try:
        if can_add_users():
            with _new_user(base, python) as account:
                yield account
        else:
            yield _this_user(base, python)
    finally:
        shutil.rmtree(base, ignore_errors=True)


def can_add_users() -> bool:
    """Tell whether accounts can be made here."""
    return os.geteuid() == 0 and sys.platform == "linux"


def _folder_for_all() -> str | None:
    """Return a folder for temporary files that another user can enter."""
    if not can_add_users() or can_enter(pathlib.Path(tempfile.gettempdir())):
        return None
    return "/tmp"


def can_enter(folder: pathlib.Path) -> bool:
    """Tell whether every user may pass through this folder and those above it."""
    return all(part.stat().st_mode & stat.S_IXOTH for part in (folder, *folder.parents))


def _this_user(base: pathlib.Path, python: pathlib.Path | None) -> Account:
    home, work = base / "home", base / "work"
    home.mkdir()
    work.mkdir()
    return Account(getpass.getuser(), home, base, work, python or base / "python")


@contextlib.contextmanager
def _new_user(base: pathlib.Path, python: pathlib.Path | None) -> Iterator[Account]:
    _forget_left_users()
    name = f"{PREFIX}{os.getpid()}x{next(_numbers)}"
    home, work = base / "home", base / "work"
    # A password of "*" is none, but unlike a locked account's it does not keep sshd from accepting keys.
    _change_users(["useradd", "--no-create-home", "--home-dir", home, "--shell", "/bin/sh", "--password", "*", name])
    try:
        entry = pwd.getpwnam(name)
        for folder in (home, work):
            folder.mkdir(mode=0o755)
            os.chown(folder, entry.pw_uid, entry.pw_gid)
        copy = base / "python"
        if python is not None:
            copy = copy_python(python, copy, needs_copy=not can_enter(_real_folder(python)))
            bytecode = copy.parents[1] / "zip-bytecode"
            bytecode.mkdir(exist_ok=True)
            os.chown(bytecode, entry.pw_uid, entry.pw_gid)
        yield Account(name, home, base, work, copy, entry.pw_uid, entry.pw_gid)
    finally:
        _remove_user(name)


def _real_folder(python: pathlib.Path) -> pathlib.Path:
    return python.resolve().parent


def _change_users(command: list[object]) -> None:
    """Run a command that changes the list of users; another process may have it locked for a moment."""
    for pause in (0.2, 0.5, 1, 2, 4, None):
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return
        if pause is None or "lock" not in done.stderr:
            raise AssertionError(f"{command[0]} failed: {done.stderr}")
        time.sleep(pause)


def _remove_user(name: str) -> None:
    _end_processes(pwd.getpwnam(name).pw_uid)
    _change_users(["userdel", name])


def _end_processes(uid: int) -> None:
    """End everything that runs as this user, which was made for the tests alone."""
    for _attempt in range(20):
        running = [int(entry.name) for entry in pathlib.Path("/proc").glob("[0-9]*") if _owner(entry) == uid]
        if not running:
            return
        for pid in running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)


def _owner(path: pathlib.Path) -> int | None:
    try:
        return path.stat().st_uid
    except OSError:
        return None


def _forget_left_users() -> None:
    """Remove the users of test runs that were killed, with their folders."""
    for entry in pwd.getpwall():
        found = re.fullmatch(rf"{PREFIX}(\d+)x\d+", entry.pw_name)
        if found and not pathlib.Path("/proc", found.group(1)).exists():
            # Another test process may be doing the same.
            with contextlib.suppress(AssertionError, KeyError):
                _remove_user(entry.pw_name)
                shutil.rmtree(pathlib.Path(entry.pw_dir).parent, ignore_errors=True)
