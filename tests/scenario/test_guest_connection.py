# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests as Ansible hosts, through SSH to the Mac: what people do on any host works there, and faults are reported."""

from __future__ import annotations

import hashlib
import json
import os
import time

import pytest

PYTHON = "/usr/bin/python3"  # that of the guest, which has the machine's programs
SERVICE = """#!/bin/sh
### BEGIN INIT INFO
# Provides: demo
# Default-Start: 2 3 4 5
# Default-Stop: 0 1 6
### END INIT INFO
case $1 in
start) sleep 1000 & echo $! >/run/demo.pid;;
stop) kill "$(cat /run/demo.pid)"; rm /run/demo.pid;;
status) test -e /run/demo.pid && kill -0 "$(cat /run/demo.pid)";;
esac
"""
ODD_NAME = '/srv/two words, it\'s "ä" & so; on\\'
BOOT_ID = "/proc/sys/kernel/random/boot_id"


@pytest.fixture
def make_guest(ssh_mac):
    """Return a function that makes a running VM, and returns the variables of its guest as a host."""

    def make(name="lin", more=(), **options):
        uuid = ssh_mac.mac.vm(name, **{"state": "running", **options})
        return {
            **ssh_mac.host_vars,
            "ansible_connection": "macops.parallels.prlctl",
            "ansible_prlctl_vm": uuid,
            "ansible_prlctl_executable": str(ssh_mac.mac.prlctl_path),
            "ansible_prlctl_python": ssh_mac.host_vars["ansible_python_interpreter"],
            "ansible_python_interpreter": PYTHON,
            **dict(more),
        }

    return make


@pytest.fixture
def mac(ssh_mac):
    ssh_mac.mac.knob(start_polls=0, stop_polls=0, busy_operations=0)
    return ssh_mac.mac


@pytest.fixture
def linux(mac, make_guest):
    """The variables of a Linux guest whose commands run for real."""
    with mac.guests():
        yield make_guest(os="debian", own_root=True)


@pytest.fixture
def run(play, tmp_path):
    """Return a function that runs tasks on guests."""

    def run_tasks(hosts, *tasks, **options):
        keywords = options.pop("keywords", {})
        book = tmp_path / "play.yml"
        named = [{"name": task.pop("name", f"Task {number}"), **task} for number, task in enumerate(tasks, 1)]
        plays = [{"name": "Guests", "hosts": "guests", "gather_facts": False, **keywords, "tasks": named}]
        book.write_text(json.dumps(plays))
        return play(book, hosts, group="guests", **options)

    return run_tasks


def dialogues(mac):
    return mac.show()["dialogues"]


def test_a_linux_guest_is_a_host(run, linux, tmp_path):
    big = tmp_path / "big"
    big.write_bytes(os.urandom(3_000_000))
    script = tmp_path / "script.sh"
    script.write_text('#!/bin/sh\ncat; echo "args: $*"\n')
    template = tmp_path / "template.j2"
    template.write_text("I am {{ ansible_facts.user_id }} of {{ inventory_hostname }}\n")
    fetched = tmp_path / "fetched"

    done = run(
        {"lin": linux},
        {"name": "wait", "ansible.builtin.wait_for_connection": {"timeout": 60}},
        {"name": "facts", "ansible.builtin.setup": {"gather_subset": ["min"]}},
        {"name": "raw", "ansible.builtin.raw": "echo raw; sleep 1000 & exit 3", "failed_when": "false"},
        {"name": "user", "ansible.builtin.user": {"name": "jane", "uid": 1500, "shell": "/bin/sh"}},
        {"name": "put", "ansible.builtin.copy": {"src": str(big), "dest": ODD_NAME, "mode": "0644"}},
        {"name": "fetch", "ansible.builtin.fetch": {"src": ODD_NAME, "dest": str(fetched), "flat": True}},
        {"name": "template", "ansible.builtin.template": {"src": str(template), "dest": "/srv/made"}},
        {"name": "read", "ansible.builtin.command": {"argv": ["cat", "/srv/made"]}},
        {"name": "script", "ansible.builtin.script": {"cmd": f"{script} one two"}},
        {
            "name": "become",
            "ansible.builtin.command": {"argv": ["id", "-un"]},
            "become": True,
            "become_method": "su",
            "become_user": "jane",
            "vars": {"ansible_remote_tmp": "/tmp"},
        },
        {"name": "async", "ansible.builtin.command": {"argv": ["sleep", "1"]}, "async": 60, "poll": 1},
        {"name": "fail", "ansible.builtin.command": {"argv": ["false"]}, "ignore_errors": True},
    ).assert_ok()

    assert fetched.read_bytes() == big.read_bytes()
    (raw,) = done.results_of("raw")
    assert (raw["rc"], raw["stdout"]) == (3, "raw\n")
    assert done.results_of("put")[0]["checksum"] == hashlib.sha1(big.read_bytes()).hexdigest()
    assert done.results_of("read")[0]["stdout"] == "I am root of lin"
    assert done.results_of("become")[0]["stdout"] == "jane"
    assert done.results_of("script")[0]["stdout"] == "args: one two\n"
    assert done.results_of("async")[0]["rc"] == 0
    assert done.results_of("fail")[0]["rc"] == 1


@pytest.mark.nightly
def test_services_packages_and_a_restart_of_a_linux_guest(run, linux):
    done = run(
        {"lin": linux},
        {"name": "copy", "ansible.builtin.copy": {"content": SERVICE, "dest": "/etc/init.d/demo", "mode": "0755"}},
        {"name": "service", "ansible.builtin.service": {"name": "demo", "state": "started"}, "notify": "restart demo"},
        {"name": "again", "ansible.builtin.service": {"name": "demo", "state": "started"}},
        {"name": "packages", "ansible.builtin.package_facts": {}},
        {"name": "count", "ansible.builtin.debug": {"msg": "{{ ansible_facts.packages | length }}"}},
        {"name": "handlers", "ansible.builtin.meta": "flush_handlers"},
        {"name": "before", "ansible.builtin.command": {"argv": ["cat", BOOT_ID]}},
        {"name": "reboot", "ansible.builtin.reboot": {"reboot_timeout": 120}},
        {"name": "after", "ansible.builtin.command": {"argv": ["cat", BOOT_ID]}},
        {"name": "facts", "ansible.builtin.setup": {"gather_subset": ["all"]}},
        keywords={
            "handlers": [{"name": "restart demo", "ansible.builtin.service": {"name": "demo", "state": "restarted"}}]
        },
    ).assert_ok()

    assert [done.results_of(name)[0]["changed"] for name in ("service", "again", "reboot")] == [True, False, True]
    assert done.results_of("restart demo")[0]["changed"]
    assert int(done.results_of("count")[0]["msg"]) > 50
    assert done.results_of("before")[0]["stdout"] != done.results_of("after")[0]["stdout"]


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("knobs", "faults"),
    [
        ({"exec_rc_needs_stdin": "on", "exec_returns": "program_end"}, ()),
        ({"exec_deaf_seconds": 0.4, "exec_returns": "stdout_eof"}, ()),
        ({"exec_fails_every": 2, "guest_ready_after": 2}, ("exec_false_success=2", "service_down=1:exec")),
    ],
)
def test_what_parallels_does_wrong_changes_nothing(run, linux, mac, knobs, faults):
    mac.knob(**knobs)
    mac.fault(*faults) if faults else None

    done = run(
        {"lin": linux},
        {"name": "code", "ansible.builtin.raw": "echo out; echo err >&2; exit 5", "failed_when": "false"},
        {"name": "ping", "ansible.builtin.ping": {}},
        {"name": "write", "ansible.builtin.copy": {"content": "x", "dest": "/srv/x"}},
    ).assert_ok()

    (code,) = done.results_of("code")
    assert (code["rc"], code["stdout"], code["stderr"]) == (5, "out\n", "err\n")


def test_a_lost_command_is_not_run_again_and_faults_are_reported(run, linux, make_guest, mac):
    hosts = {
        "lost": linux,
        "stopped": make_guest("off", state="stopped", os="ubuntu"),
        "isolated": make_guest("alone", os="ubuntu"),
        "toolless": make_guest("bare", os="ubuntu", tools="not_installed"),
        "stranger": {
            **make_guest("other", os="ubuntu"),
            "ansible_prlctl_user": "ann",
            "ansible_prlctl_password": "wr0ng",
        },
        "nowhere": {**linux, "ansible_port": 9},
        "unknown": {**linux, "ansible_prlctl_vm": "no such VM"},
    }
    mac.prlctl("set", "alone", "--isolate-vm", "on")
    mac.knob(guest_login="ann:right")
    hosts = {name: {**facts, "ansible_prlctl_wait_timeout": 1} for name, facts in hosts.items()}
    mac.fault("exec_ends_early=1")
    mac.knob(exec_ends_after="BEGIN")

    # One after the other: the fault is for the first.
    done = run(
        hosts,
        {"name": "once", "ansible.builtin.raw": "echo x >>/srv/once", "ignore_unreachable": True},
        keywords={"serial": 1},
    )

    said = {task.host: task.result["msg"] for task in done.tasks if task.name == "once"}
    assert "It is not known whether it ran to its end, so it was not run again" in said["lost"]
    assert "Start it first" in said["stopped"]
    assert "'alone' is isolated from the Mac" in said["isolated"]
    assert "reports no Parallels Tools in 'bare'. Install Parallels Tools" in said["toolless"]
    assert "did not open a session for the user 'ann'. Check user and password" in said["stranger"]
    assert "The Mac 127.0.0.1 cannot be reached" in said["nowhere"]
    assert "There is no virtual machine 'no such VM' for this user" in said["unknown"]
    done.assert_no_secret("wr0ng")
    mac.clear_faults()
    # Where the relay ended before the guest's shell had read the command, there is no file.
    count = run({"lost": linux}, {"name": "count", "ansible.builtin.raw": "touch /srv/once; wc -l </srv/once"})
    count.assert_ok()
    assert count.results_of("count")[0]["stdout"].strip() in ("0", "1")


@pytest.mark.nightly
def test_a_play_that_is_killed_ends_the_command_in_the_guest(run, linux, play, tmp_path, mac):
    book = tmp_path / "kill.yml"
    book.write_text(json.dumps([{"hosts": "guests", "gather_facts": False, "tasks": [{"raw": "sleep 987"}]}]))
    running = f"'{mac.prlctl_path}' exec lin 'ps ax'"
    mac.knob(exec_sessions=0, exec_logons=0)  # for the look at what runs there
    with play.start(book, {"lin": linux}, group="guests") as started:
        mac.wait_for_calls(lambda: any(call["argv"][:1] == ["exec"] for call in mac.show()["calls"]))
        _wait(lambda: "sleep 987" in mac.prlctl("exec", "lin", "ps ax"), running)
        started.kill()
    _wait(lambda: "sleep 987" not in mac.prlctl("exec", "lin", "ps ax"), running)


def _wait(is_so, what):
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end, what
        time.sleep(0.3)


# --- Windows: a table of answers, behind a listener that checks every line ---------------------------------------


@pytest.mark.nightly
def test_a_windows_guest_gets_what_ansible_sends(run, make_guest, mac, tmp_path):
    replies = mac.folder / "replies.json"
    module = json.dumps({"ping": "pong", "changed": False})
    replies.write_text(
        json.dumps(
            [
                {"line": "-EncodedCommand", "stdin": "win_probe", "stdout": module},
                {"line": "-EncodedCommand", "stdout": "raw\r\n", "stderr": _clixml("wröng_x000D__x000A_"), "rc": 3},
            ]
        )
    )
    mac.simulate("answers", mac.folder, replies)
    guest = make_guest("win", os="win-11", more={"ansible_shell_type": "powershell"})
    source = tmp_path / "source"
    source.write_bytes(os.urandom(100_000))
    library = tmp_path / "library"
    library.mkdir()
    (library / "win_probe.ps1").write_text(
        "#!powershell\n#AnsibleRequires -CSharpUtil Ansible.Basic\n# " + "x" * 180_000
    )
    (library / "win_probe.py").write_text("DOCUMENTATION = 'module: win_probe'\n")

    done = run(
        {"win": guest},
        {"name": "raw", "ansible.builtin.raw": "Get-Thing | Where-Object { $_ }", "failed_when": "false"},
        {"name": "module", "win_probe": {}},
        environment={"ANSIBLE_LIBRARY": str(library)},
    ).assert_ok()

    (raw,) = done.results_of("raw")
    assert (raw["rc"], raw["stdout"].strip(), raw["stderr"].strip()) == (3, "raw", "wröng")
    assert done.results_of("module")[0]["ping"] == "pong"
    assert [each["problem"] for each in dialogues(mac)] == [""] * len(dialogues(mac))
    assert max(each["stdin_bytes"] for each in dialogues(mac)) > 180_000


def _clixml(text):
    return (
        '#< CLIXML\r\n<Objs Version="1.1.0.1" xmlns="http://schemas.microsoft.com/powershell/2004/04">'
        f'<Obj S="progress" RefId="0"/><S S="Error">{text}</S></Objs>'
    )
