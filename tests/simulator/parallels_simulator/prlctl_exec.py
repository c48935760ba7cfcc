# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""prlctl exec."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import io
import os
import re
import select
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from . import guest_client, jobs, texts
from .dialogue import Dialogue, LongWork, Order, ProtocolError, Reply, WindowsDialogue, dialogue_for, sha256, work_in
from .errors import CommandError
from .guest import Answer, run_command
from .guest_dialogues import answer_of, framed
from .mac import Mac, open_shared
from .prlctl_power import power_off, reboot
from .session import Session
from .vms import Vm

_CHUNK = 1 << 16
_PAUSE = 0.02  # seconds between two looks for a free session


class Login(NamedTuple):
    """Who runs the command."""

    user: str = ""
    password: str = ""
    current_user: bool = False


def run_exec(session: Session) -> int:
    """Run a command in the guest; its exit code is ours."""
    if not session.arguments:
        raise session.usage("The virtual machine is not specified.")
    name, words = session.arguments[0], list(session.arguments[1:])
    mac = session.mac
    with mac.locked() as state:
        vm = session.require(state, name)  # an option before the name is looked for as a name, as the real one does
        login = _take_options(session, words)
        if not words:
            raise session.usage("The command is not specified.")
        too_long = len(" ".join(words).encode()) > mac.knob("exec_argument_limit")
        too_long = too_long and mac.knob("exec_long_arguments") == "hang"
    if too_long:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it can only be killed
        jobs.hang()
    with _sessions(mac, vm.uuid):
        with mac.locked() as state:
            vm = session.require(state, name)
            _require_session(session, vm, login)
            how = _how(mac)
            line = joined(mac, words)
            own_root, windows = vm.record.get("own_root"), vm.config().family == "windows"
            kind = None if own_root else dialogue_for(windows, words if windows else [line])
            argv = words if windows else line.split(" ")
            answer = None if own_root or kind else _answer(mac, vm, argv, login)
        if own_root:
            return guest_client.run_session(mac, vm.uuid, _request(mac, line, login), how)
        if kind:
            return _hold(session, name, login, kind, how)
        return _hand_over(session, answer or Answer(), how)


def _take_options(session: Session, words: list[str]) -> Login:
    login = Login()
    while words and words[0].startswith("-"):
        option = words.pop(0)
        if option == "--current-user":
            login = login._replace(current_user=True)
        elif option in ("-u", "--user") and words:
            login = login._replace(user=words.pop(0))
        elif option == "--password" and words:
            login = login._replace(password=words.pop(0))
        else:
            raise session.usage(f"Unrecognized option: {option}")
    return login


# --- sessions -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _sessions(mac: Mac, uuid: str) -> Iterator[None]:
    """Hold one of the sessions of this VM, and of this Mac."""
    with contextlib.ExitStack() as held:
        if not _take_one(_places(mac, held, "logon", mac.knob("exec_logons"))):
            raise CommandError(texts.LOGONS)
        places = _places(mac, held, uuid, mac.knob("exec_sessions"))
        while not _take_one(places):
            if mac.knob("exec_session_busy") == "refuses":
                raise CommandError(texts.NO_SESSION)
            time.sleep(_PAUSE)
        yield


def _places(mac: Mac, held: contextlib.ExitStack, name: str, count: int) -> list[int]:
    return [held.enter_context(open_shared(mac.jobs / f"{name}.session{number}")) for number in range(count)]


def _take_one(places: list[int]) -> bool:
    """Take one of the sessions that there are; return whether one was free. Without any, there is no limit."""
    for handle in places:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    return not places


def _require_session(session: Session, vm: Vm, login: Login) -> None:
    """Raise the error of a command that does not begin."""
    mac = session.mac
    if vm.look() not in ("running", "starting", "resuming"):
        raise session.fail(texts.not_started(vm.name))
    config = vm.config()
    if (
        vm.record["transition"]
        or config.isolated
        or config.tools == "not_installed"
        or mac.strike("exec_not_ready")
        or _still_booting(vm)
        or (login.current_user and not mac.knob("guest_signed_in"))
        or not _knows(mac, login)
    ):
        raise CommandError(texts.NO_SESSION)
    if mac.strike("exec_false_success"):
        raise CommandError(texts.NO_SESSION, rc=0)
    fault = mac.strike("exec_handle_fault")
    if fault:
        raise CommandError(texts.invalid_argument(fault["param"]))
    vm.record["execs"] = vm.record.get("execs", 0) + 1
    every = mac.knob("exec_fails_every")
    if every and vm.record["execs"] % every == 0:
        raise CommandError(texts.JOB_ERROR)
    idle = mac.knob("pause_idle_after")
    if idle and vm.record["execs"] % idle == 0 and config.settings.get("pause-idle") != "off":
        guest_client.tell(mac, vm.record, "freeze")
        vm.record["state"] = "paused"
        raise CommandError(texts.JOB_ERROR)


def _still_booting(vm: Vm) -> bool:
    if vm.record["not_ready"] > 0:
        vm.record["not_ready"] -= 1
        return True
    return False


def _knows(mac: Mac, login: Login) -> bool:
    """Return whether a guest of which only its answers exist lets this user in."""
    known = mac.knob("guest_login")
    return not login.user or known == "any" or known == f"{login.user}:{login.password}"


# --- guests with a root of their own ------------------------------------------------------------------------------


def _request(mac: Mac, line: str, login: Login) -> dict[str, Any]:
    return {
        "line": line,
        "environment": {"HOME": "/", "PATH": mac.knob("exec_path")},
        **login._asdict(),
    }


def joined(mac: Mac, words: list[str]) -> str:
    """Return the one line that the guest's shell parses. Bytes that are not ASCII take as many from its end."""
    line = " ".join(words)
    data = line.encode(errors="surrogateescape")
    if mac.knob("exec_non_ascii") == "corrupt":
        data = data[: len(line)]
    return data.decode(errors="surrogateescape")


def _how(mac: Mac) -> guest_client.Session:
    fault, after = mac.strike("exec_ends_early"), mac.knob("exec_ends_after")
    return guest_client.Session(
        deaf_seconds=mac.knob("exec_deaf_seconds"),
        rc_needs_stdin=mac.knob("exec_rc_needs_stdin"),
        until_eof=mac.knob("exec_returns") == "stdout_eof",
        cut=fault["param"] if fault else "",
        cut_after=b"" if after == "any" else after.encode(),
    )


# --- guests of which only their answers exist ---------------------------------------------------------------------


def _answer(mac: Mac, vm: Vm, words: list[str], login: Login) -> Answer:
    config, memory = vm.config(), vm.bundle.guest()
    before = repr(memory)
    answer = run_command(config, memory, words, login.current_user, mac.knob("sysprep"))
    if repr(memory) != before:
        vm.bundle.save_guest(memory)
    if answer.power:
        power_off(vm) if answer.power == "off" else reboot(vm)
        if mac.strike("exec_dies_at_shutdown"):
            raise CommandError(texts.JOB_ERROR)
    return answer


def _hold(session: Session, name: str, login: Login, kind: type[Dialogue], how: guest_client.Session) -> int:
    """Hold a dialogue on this process's standard input and output."""
    began = time.monotonic()

    def run(order: Order, stdin: bytes) -> Answer:
        with session.mac.locked() as state:
            return _ordered(session.mac, session.require(state, name), order, stdin, login)

    dialogue = kind(run)
    problem = ""
    while dialogue.answer is None:
        data = os.read(0, _CHUNK)
        try:
            output = dialogue.feed(data) if data else dialogue.cut_off()
        except ProtocolError as error:
            problem = str(error)
            break
        if time.monotonic() < began + how.deaf_seconds:
            output = b""
        if how.cut:
            output, is_cut = how.passes(output)
            os.write(1, output)
            if is_cut:
                return guest_client.end_early(how)
        else:
            guest_client.write_all(1, output)
        if not data:
            break
    _log(session.mac, name, dialogue, problem)
    if problem:
        session.console.err(f"simulator: the guest cannot take this: {problem}")
        return 1
    return 0


def _ordered(mac: Mac, vm: Vm, order: Order, stdin: bytes, login: Login) -> Answer:
    """Return the answer to an order: of the guest's files, of the recorded answers, or of the usual table."""
    memory = vm.bundle.guest()
    files = memory.setdefault("stored", {})
    if order.store:
        files[order.line] = base64.b64encode(stdin).decode()
        vm.bundle.save_guest(memory)
        return Answer(stdout=sha256(stdin) + "\n")
    if order.fetch:
        if order.line not in files:
            return Answer(1, stderr="There is no such file.\n")
        return Answer(stdout=base64.b64decode(files[order.line]).decode("utf-8", "surrogateescape"))
    text = stdin.decode("utf-8", "replace")
    for row in mac.read().get("replies", []):
        reply = Reply(**row)
        if re.search(reply.line, order.line) and re.search(reply.stdin, text):
            return Answer(reply.rc, reply.stdout, reply.stderr)
    work = work_in(text) if vm.config().family == "windows" else None
    if work:
        return _long_work(mac, vm, work, login)
    printed = answer_of(vm.config().family, vm.config().arch, text, {**memory, "boots": vm.record.get("boots", 0)})
    if printed is not None:
        return Answer(stdout=printed)
    windows = vm.config().family == "windows"
    sys.stdin = io.StringIO(text)  # for what the command reads: this process's own is the dialogue
    return _answer(mac, vm, order.line.split(" ") if windows else ["/bin/sh", "-c", order.line], login)


def _long_work(mac: Mac, vm: Vm, work: LongWork, login: Login) -> Answer:
    """Begin long work, which ends at once; answer a question about it; or remove what it has left."""
    path = f"C:\\Windows\\Temp\\macops-{work.name}\\result"
    memory = vm.bundle.guest()
    there = path in memory.get("stored", {})
    row: list[str] = []
    if work.does == "look":
        row = ["ended", path] if there else ["none"]
    elif work.does == "begin":
        row = ["again"] if there else ["begun"]
        if not there:
            dialogue = WindowsDialogue(lambda order, stdin: _ordered(mac, vm, order, stdin, login))
            said = dialogue.feed(work.tape.encode() + b"\n")
            memory = vm.bundle.guest()  # as the command has left it
            memory.setdefault("stored", {})[path] = base64.b64encode(said).decode()
            _log(mac, vm.uuid, dialogue, "")
    elif there:
        del memory["stored"][path]
    vm.bundle.save_guest(memory)
    return Answer(stdout=framed(["\t".join(["work", "+", *row])] * bool(row) + ["work\t="], "\r\n"))


def _log(mac: Mac, vm: str, dialogue: Dialogue, problem: str) -> None:
    """Write down what arrived, which C(simulate show) shows; C(vm) is how the VM was named."""
    entry = {
        "vm": vm,
        **(dialogue.order._asdict() if dialogue.order else {}),
        "stdin_bytes": len(dialogue.stdin),
        "stdin_sha256": sha256(dialogue.stdin),
        "complete": dialogue.answer is not None,
        "problem": problem,
    }
    with mac.locked() as state:
        state.setdefault("dialogues", []).append(entry)


def _hand_over(session: Session, answer: Answer, how: guest_client.Session) -> int:
    """Print what the guest answered, as far as it arrives; return the exit code."""
    output = "" if how.deaf_seconds else answer.stdout
    if how.cut:
        session.console.raw(how.passes(output.encode())[0].decode())
        return guest_client.end_early(how)
    session.console.raw(output)
    if answer.stderr:
        session.console.err(answer.stderr.rstrip("\r\n"))
    return 0 if how.rc_needs_stdin and not _is_stdin_held() else answer.rc


def _is_stdin_held() -> bool:
    """Tell whether somebody may still write to this process."""
    try:
        if not os.isatty(0) and os.fstat(0).st_rdev == os.stat(os.devnull).st_rdev:
            return False
        poll = select.poll()
        poll.register(0, select.POLLIN)
        events = dict(poll.poll(0)).get(0, 0)
    except OSError:
        return False
    return not events & select.POLLHUP
