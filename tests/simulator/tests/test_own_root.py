# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Linux guests whose commands run for real: what they see, what they leave behind, and what the machine notices."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from parallels_simulator import cli
from simulator_harness import SimulatedMac

from support.guests import GuestsNotPossible, running_guests
from support.waiting import wait_until

BOOT_ID = "/proc/sys/kernel/random/boot_id"
# What the guest's root may not do, because it would reach the machine.
FORBIDDEN = (
    "mount -t tmpfs x /mnt",
    "umount /proc/sys",
    "date -s 2001-01-01",
    "mknod /var/tmp/disk b 7 0",
    "echo b > /proc/sysrq-trigger",
    "echo x > /proc/sys/kernel/hostname",
    "mkdir /sys/fs/of-the-guest",
    "cat /proc/1/environ",
    "ls /proc/1/root/",
)


class RootedMac(SimulatedMac):
    """A Mac whose Linux guests have a root of their own, and what a test does in them."""

    def linux(self, name: str, **options: str) -> str:
        """Make a running guest, and return its name."""
        self.vm(name, os="debian", own_root=True, **{"state": "running", **options})
        return name

    def exec(self, name: str, *words: str, **options: object) -> subprocess.CompletedProcess[str]:
        return self.launch("prlctl", "exec", name, *words, **options)

    def said(self, name: str, *words: str) -> str:
        """Run a command that must work; return what it prints."""
        done = self.exec(name, *words)
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    def wait_for(self, name: str, *words: str) -> None:
        """Run a command until it works."""
        wait_until(lambda: self.exec(name, *words).returncode == 0, pause=0.1)

    def open(self, name: str, *words: str) -> subprocess.Popen[bytes]:
        """Start a command; the caller holds its standard input."""
        return subprocess.Popen(
            [str(self.root / "bin" / "prlctl"), "exec", name, *words],
            env={},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )


def _new_mac(folder: Path) -> RootedMac:
    assert cli.main(["create", str(folder)]) == 0
    mac = RootedMac(folder)
    mac.knob(
        *(f"{verb}_polls=0" for verb in ("start", "stop", "suspend", "resume")),
        "busy_operations=0",
        "guest_ready_after=0",
    )
    return mac


@contextlib.contextmanager
def _guests(mac: RootedMac) -> Iterator[None]:
    with contextlib.ExitStack() as running:
        try:
            running.enter_context(running_guests(mac.root))
        except GuestsNotPossible as reason:
            pytest.skip(str(reason))
        yield


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RootedMac]:
    """A Mac with the running guest C(l), which no test stops."""
    mac = _new_mac(tmp_path_factory.mktemp("shared") / ("a Mac with a long name, " + "x" * 60))
    with _guests(mac):
        mac.linux("l")
        yield mac


@pytest.fixture
def turned(shared: RootedMac) -> Iterator[RootedMac]:
    """The shared Mac, whose knobs are turned back afterwards."""
    before = shared.show()["knobs"]
    yield shared
    with shared.mac.locked() as state:
        state["knobs"], state["faults"] = before, []


@pytest.fixture
def rooted(turned: RootedMac) -> Iterator[RootedMac]:
    """The same for a test with guests of its own, which are removed afterwards."""
    yield turned
    turned.settle()
    for vm in turned.show()["vms"]:
        if vm["name"] != "l":
            turned.prlctl("stop", vm["uuid"], "--kill")
            turned.settle()
            turned.ok("delete", vm["uuid"])


# --- sessions -----------------------------------------------------------------------------------------------------


def test_a_session_is_bare(shared: RootedMac) -> None:
    assert shared.said("l", "id -u; umask; pwd; echo $HOME $PATH").splitlines() == ["0", "0000", "/", "/ /usr/bin:/bin"]
    assert shared.exec("l", "tty").returncode == 1
    names = {line.partition("=")[0] for line in shared.said("l", "env").splitlines()}
    assert names == {"HOME", "PATH", "PWD"}


def test_the_architecture_is_that_of_the_vm(shared: RootedMac) -> None:
    assert shared.said("l", "uname -m; uname -s") == "aarch64\nLinux\n"


def test_words_are_joined_and_parsed_once(shared: RootedMac) -> None:
    assert shared.said("l", "/bin/printf", "'%s|'", "'two words'", "''") == "two words||"
    assert shared.said("l", "printf x | cat; echo y") == "xy\n"
    assert shared.said("l", "/bin/sh", "-c", "echo a b") == "\n"
    assert shared.exec("l", "/bin/sh", "-c", "'exit 3'").returncode == 3


def test_streams_are_binary_and_separate(shared: RootedMac) -> None:
    data = os.urandom(3_000_000)
    with shared.open("l", "cat > /var/tmp/data; sha256sum < /var/tmp/data >&2; cat /var/tmp/data") as process:
        out, err = process.communicate(data)
    assert process.returncode == 0
    assert err.split()[0].decode() == hashlib.sha256(data).hexdigest()
    assert out == data


def test_a_file_as_standard_input(shared: RootedMac, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"\0\xff" * 100_000)
    with open(tmp_path / "in", "rb") as file:
        done = subprocess.run(
            [str(shared.root / "bin" / "prlctl"), "exec", "l", "wc", "-c"],
            stdin=file,
            stdout=subprocess.PIPE,
            check=True,
        )
    assert done.stdout == b"200000\n"


def test_a_command_that_does_not_read_ends_all_the_same(shared: RootedMac) -> None:
    with shared.open("l", "exec <&-; echo done") as process:
        assert process.stdout and process.stdout.read() == b"done\n"
        assert process.wait(10) == 0


def test_killing_prlctl_does_not_kill_the_command(shared: RootedMac) -> None:
    with shared.open("l", "echo begun; seq 100000; sleep 0.1; echo more; touch /var/tmp/ended") as process:
        assert process.stdout and process.stdout.readline() == b"begun\n"
        process.kill()
    shared.wait_for("l", "test -e /var/tmp/ended")


def test_a_signal_is_an_exit_code(shared: RootedMac) -> None:
    assert shared.exec("l", "kill -9 $$").returncode == 137


def test_users(shared: RootedMac) -> None:
    shared.said("l", "PATH=$PATH:/usr/sbin; useradd -m -s /bin/sh -G adm tester && echo tester:secret | chpasswd")
    login = ("--user", "tester", "--password")
    assert shared.said("l", *login, "secret", "id -un; id -Gn; touch ~tester/x; stat -c %U ~tester/x").split() == [
        "tester",
        *("tester", "adm"),
        "tester",
    ]
    assert shared.exec("l", *login, "secret", "cat /etc/shadow").returncode == 1
    assert shared.said("l", "--current-user", "id -un") == "tester\n"
    for words in ((*login, "wrong"), ("--user", "nobody", "--password", ""), ("--user", "who", "--password", "x")):
        refused = shared.exec("l", *words, "id")
        assert (refused.returncode, refused.stdout) == (255, "")
        assert "Unable to open new session" in refused.stderr


# --- sessions with faults ------------------------------------------------------------------------------------------


def test_a_session_lasts_as_long_as_somebody_has_its_output(turned: RootedMac) -> None:
    command = "echo $$ > /var/tmp/shell; echo begun; (while [ ! -e /var/tmp/enough ]; do sleep 0.05; done) & exit 3"
    with turned.open("l", command) as process:
        assert process.stdout and process.stdout.readline() == b"begun\n"
        turned.knob("exec_sessions=2")
        turned.wait_for("l", "test ! -e /proc/$(cat /var/tmp/shell)")
        assert process.poll() is None
        turned.said("l", "touch /var/tmp/enough")
        assert process.wait(10) == 3
    turned.said("l", "rm /var/tmp/enough")
    turned.knob("exec_returns=program_end")
    done = turned.exec("l", command)
    assert (done.returncode, done.stdout) == (3, "begun\n")
    turned.said("l", "touch /var/tmp/enough")


def test_the_exit_code_may_need_standard_input(turned: RootedMac) -> None:
    turned.knob("exec_rc_needs_stdin=on")
    assert turned.exec("l", "exit 3").returncode == 0
    with turned.open("l", "cat > /dev/null; exit 3") as process:
        process.communicate(b"x")
    assert process.returncode == 0
    with turned.open("l", "read line; exit 3") as process:
        assert process.stdin
        process.stdin.write(b"x\n")
        process.stdin.flush()
        assert process.wait(10) == 3


@pytest.mark.nightly
def test_early_output_may_be_lost(turned: RootedMac) -> None:
    turned.knob("exec_deaf_seconds=0.5")
    done = turned.exec("l", "echo early; echo error >&2; sleep 1; echo late; exit 3")
    assert (done.returncode, done.stdout, done.stderr) == (3, "late\n", "error\n")


def test_one_session_a_vm_and_two_a_mac(turned: RootedMac, messages: dict[str, str]) -> None:
    with turned.open("l", "echo begun; read line") as first:
        assert first.stdout and first.stdout.readline() == b"begun\n"
        with turned.open("l", "echo second") as second:
            with pytest.raises(subprocess.TimeoutExpired):
                second.wait(0.3)
            third = turned.exec("l", "true")
            assert (third.returncode, third.stdout) == (255, "")
            assert "maximum number of simultaneous logon attempts" in third.stderr
            first.communicate(b"\n")
            assert second.communicate()[0] == b"second\n"
    turned.knob("exec_session_busy=refuses")
    with turned.open("l", "echo begun; read line") as first:
        assert first.stdout and first.stdout.readline() == b"begun\n"
        refused = turned.exec("l", "true")
        assert (refused.returncode, refused.stderr.rstrip()) == (255, messages["no_session"])
        turned.knob("exec_sessions=0", "exec_logons=0")
        assert turned.exec("l", "true").returncode == 0
        first.kill()
    turned.knob("exec_sessions=1", "exec_logons=1")
    assert turned.exec("l", "true").returncode == 0


def test_a_session_that_ends_early_leaves_the_command(turned: RootedMac, messages: dict[str, str]) -> None:
    for number, (rc, error, after) in enumerate([(255, messages["job"], "EGI"), (0, "", "any")]):
        turned.fault("exec_ends_early" if rc else "exec_ends_early:silent")
        turned.knob(f"exec_ends_after={after}")
        done = turned.exec("l", f"echo x; echo BEGIN; sleep 0.1; echo END; touch /var/tmp/cut{number}")
        assert (done.returncode, done.stdout, done.stderr.rstrip()) == (rc, "x\nBEGIN\n" if rc else "x\n", error)
        turned.wait_for("l", f"test -e /var/tmp/cut{number}")


def test_faults_before_the_command_begins(turned: RootedMac, messages: dict[str, str]) -> None:
    turned.fault("exec_false_success", "exec_handle_fault")
    answers = [turned.exec("l", "touch /var/tmp/begun") for _try in range(2)]
    assert [(done.returncode, done.stderr.rstrip()) for done in answers] == [
        (0, messages["no_session"]),
        (255, messages["job"]),
    ]
    assert turned.exec("l", "test -e /var/tmp/begun").returncode == 1


def test_what_is_not_ascii_costs_the_end_of_the_line(turned: RootedMac) -> None:
    cut = turned.exec("l", "echo 'ü'")
    assert (cut.returncode, "Unterminated quoted string" in cut.stderr) == (2, True)
    turned.knob("exec_non_ascii=work", "exec_path=/bin:/usr/bin:/sbin")
    assert turned.said("l", "echo 'ü' $PATH") == "ü /bin:/usr/bin:/sbin\n"


# --- the machine --------------------------------------------------------------------------------------------------


def test_nothing_reaches_the_machine(shared: RootedMac, tmp_path: Path) -> None:
    before = {path: Path(path).read_bytes() for path in ("/etc/passwd", "/etc/hosts", "/etc/hostname")}
    boot_id = Path(BOOT_ID).read_text()
    shared.said("l", "for file in passwd hosts hostname; do echo x >> /etc/$file; done; mkdir /srv/of-the-guest")
    assert {path: Path(path).read_bytes() for path in before} == before
    assert not Path("/srv/of-the-guest").exists()
    assert shared.exec("l", "test -e", str(tmp_path)).returncode == 1
    assert shared.said("l", "cat", BOOT_ID) != boot_id
    assert float(shared.said("l", "cut -d. -f1 /proc/uptime")) < float(Path("/proc/uptime").read_text().split()[0])
    assert shared.said("l", "cat /proc/1/comm; hostname; tr -d '\\0' < /proc/1/cmdline") == "init\nl\ninit"
    codes = shared.said(
        "l", "PATH=$PATH:/sbin; " + "; ".join(f"({line}) > /dev/null 2>&1; echo $?" for line in FORBIDDEN)
    )
    assert len(codes.split()) == len(FORBIDDEN)
    assert not [line for line, code in zip(FORBIDDEN, codes.split()) if code == "0"]


def test_no_user_of_the_machine_is_in_the_guest(shared: RootedMac) -> None:
    lines = shared.said("l", "cat /etc/passwd; ls /home /root").splitlines()
    assert not [
        line
        for line in lines
        if line.count(":") == 6 and 1000 <= int(line.split(":")[2]) < 60000 and line.split(":")[0] != "tester"
    ]
    assert shared.said("l", "PATH=$PATH:/usr/sbin; grep ^root: /etc/shadow").startswith("root:*:")


@pytest.mark.nightly
def test_a_package_is_installed_for_real(shared: RootedMac, tmp_path: Path) -> None:
    package = tmp_path / "package"
    (package / "DEBIAN").mkdir(parents=True)
    (package / "usr/share/of-a-test").mkdir(parents=True)
    (package / "usr/share/of-a-test/file").write_text("installed\n")
    (package / "DEBIAN/control").write_text(
        "Package: of-a-test\nVersion: 1.2\nArchitecture: all\nMaintainer: A <a@example.com>\nDescription: a test\n"
    )
    deb = tmp_path / "of-a-test.deb"
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", package, deb], check=True, stdout=subprocess.DEVNULL)
    with shared.open("l", "cat > /var/tmp/of-a-test.deb") as process:
        process.communicate(deb.read_bytes())
    shared.said("l", "PATH=$PATH:/usr/sbin:/sbin dpkg -i /var/tmp/of-a-test.deb > /dev/null")
    assert (
        shared.said("l", "cat /usr/share/of-a-test/file; dpkg-query -W -f '${Version}' of-a-test") == "installed\n1.2"
    )
    assert subprocess.run(["dpkg-query", "-W", "of-a-test"], capture_output=True, check=False).returncode == 1


NAPPER = """#!/bin/sh
### BEGIN INIT INFO
# Provides: napper
# Required-Start:
# Required-Stop:
# Default-Start: 2 3 4 5
# Default-Stop: 0 1 6
### END INIT INFO
case $1 in
start) sleep 600 > /dev/null 2>&1 & echo $! > /run/napper.pid ;;
stop) kill $(cat /run/napper.pid); rm /run/napper.pid ;;
status) kill -0 $(cat /run/napper.pid) ;;
esac
"""


def test_a_service_of_system_v(rooted: RootedMac) -> None:
    rooted.linux("n")
    assert rooted.said("n", "ls /etc/rc2.d") == "", "no service of the machine is enabled"
    with rooted.open("n", "cat > /etc/init.d/napper; chmod 755 /etc/init.d/napper") as process:
        process.communicate(NAPPER.encode())
    rooted.said("n", "/etc/init.d/napper start")
    rooted.said("n", "/etc/init.d/napper status")
    rooted.said("n", "/etc/init.d/napper stop")
    assert rooted.exec("n", "/etc/init.d/napper status").returncode != 0
    rooted.said("n", "ln -s ../init.d/napper /etc/rc2.d/S01napper")
    rooted.ok("restart", "n")
    rooted.settle()
    rooted.wait_for("n", "/etc/init.d/napper status")


# --- power --------------------------------------------------------------------------------------------------------


def test_a_reboot_ends_everything_but_the_files(rooted: RootedMac) -> None:
    rooted.linux("r")
    boot_id = rooted.said("r", "cat", BOOT_ID)
    rooted.said("r", "touch /var/kept /tmp/gone /run/gone; sleep 600 > /dev/null 2>&1 &")
    with rooted.open("r", "echo begun; exec sleep 600") as lost:
        assert lost.stdout and lost.stdout.readline() == b"begun\n"
        rooted.knob("exec_sessions=2")
        assert rooted.said("r", "/sbin/shutdown -r now") == ""
        assert lost.wait(10) == 255
        assert lost.stderr and b"PrlJob_GetRetCode" in lost.stderr.read()
    rooted.wait_for("r", "true")
    assert rooted.said("r", "cat", BOOT_ID) != boot_id
    assert rooted.said("r", "ls -d /var/kept /tmp/* /run/gone 2> /dev/null; ps -eo args | grep -c '[s]leep' || :") == (
        "/var/kept\n0\n"
    )
    boot_id = rooted.said("r", "cat", BOOT_ID)
    rooted.ok("restart", "r")
    rooted.settle()
    assert rooted.said("r", "cat", BOOT_ID) != boot_id


def test_a_reboot_leaves_the_owners_of_files(tmp_path: Path) -> None:
    nobody = 65534
    mac = _new_mac(tmp_path / "mac")
    for path in (mac.root, *mac.root.rglob("*")):
        os.chown(path, nobody, nobody)
    with _guests(mac):
        mac.linux("o")
        look = "stat -c '%n %u' /etc /etc/passwd /root /usr/bin/env"
        before = mac.said("o", look)
        mac.said("o", "/sbin/reboot")
        mac.wait_for("o", "true")
        assert mac.said("o", look) == before == "/etc 0\n/etc/passwd 0\n/root 0\n/usr/bin/env 0\n"
        mac.ok("stop", "o")
        mac.ok("start", "o")
        assert mac.said("o", look) == before
    ours = (mac.root / ".guests", mac.home / "o.pvm" / "guest-root.tar")
    assert [path.stat().st_uid for path in ours] == [nobody, nobody]


def test_a_shutdown_from_inside_stops_the_vm(rooted: RootedMac) -> None:
    rooted.linux("s")
    rooted.said("s", "touch /var/kept; /sbin/poweroff")
    wait_until(lambda: rooted.state("s") == "stopped")
    assert "is not started" in rooted.exec("s", "true").stderr
    rooted.ok("start", "s")
    rooted.said("s", "test -e /var/kept")


def test_files_go_along(rooted: RootedMac) -> None:
    rooted.linux("a")
    script = (
        "PATH=$PATH:/usr/sbin; useradd -u 1234 kept; echo x > /srv/f; chown kept /srv/f; chmod 4750 /srv/f\n"
        "cd /srv; ln f g; ln -s f l; mkfifo p; rm -r /etc/skel; mkdir /etc/skel; touch '/etc/skel/ü n'; rm /etc/hosts\n"
    )
    with rooted.open("a", "/bin/sh -s") as process:
        process.communicate(script.encode())
    look = "cd /srv; stat -c '%n %U %a %h %F' f g l p; ls -A /etc/skel; ls /etc/hosts 2> /dev/null; cat /etc/machine-id"
    before = rooted.said("a", look)
    assert before.startswith("f kept 4750 2 regular file\n")
    assert "ü n\n" in before
    rooted.ok("stop", "a", "--kill")
    rooted.ok("clone", "a", "--name", "b")
    rooted.ok("pack", "b")
    rooted.ok("unpack", "b")
    rooted.ok("start", "b")
    rooted.ok("start", "a")
    assert rooted.said("b", look) == before == rooted.said("a", look)
    rooted.said("b", "rm /srv/f")
    assert rooted.said("a", look) == before
    rooted.ok("stop", "b")
    rooted.ok("delete", "b")
    assert not (rooted.home / "b.pvm").exists()


@pytest.mark.nightly
def test_the_clone_of_a_running_guest_has_its_files(rooted: RootedMac) -> None:
    rooted.knob("clone_running=allow")
    rooted.linux("a")
    rooted.said("a", "touch /var/kept")
    rooted.ok("clone", "a", "--name", "b")
    rooted.ok("start", "b")
    rooted.said("b", "test -e /var/kept")


def test_a_guest_without_a_machine_id_gets_a_new_one(rooted: RootedMac) -> None:
    rooted.linux("i")
    before = rooted.said("i", "cat /etc/machine-id; ls /etc/ssh").split()
    rooted.said("i", "truncate -s 0 /etc/machine-id; rm -f /etc/ssh/ssh_host_*")
    rooted.ok("stop", "i")
    rooted.ok("start", "i")
    after = rooted.said("i", "cat /etc/machine-id; ls /etc/ssh").split()
    assert len(after[0]) == 32
    assert after[0] != before[0]
    assert "ssh_host_ed25519_key" in before
    assert "ssh_host_ed25519_key" not in after


def test_a_suspended_guest_stands_still(rooted: RootedMac) -> None:
    rooted.linux("s")
    rooted.said("s", "(while :; do date +%N > /var/tmp/t; sleep 0.05; done) > /dev/null 2>&1 &")
    for sleep, wake in (("suspend", "resume"), ("pause", "resume")):
        rooted.ok(sleep, "s")
        assert "is not started" in rooted.exec("s", "true").stderr
        rooted.ok(wake, "s")
        before = rooted.said("s", "cat /var/tmp/t")
        wait_until(lambda before=before: rooted.said("s", "cat /var/tmp/t") not in (before, ""))
    rooted.ok("suspend", "s")
    rooted.ok("stop", "s", "--drop-state")
    rooted.ok("start", "s")
    assert rooted.said("s", "ps -eo args | grep -c '[w]hile' || :") == "0\n"


def test_guests_that_cannot_be_reached(rooted: RootedMac, messages: dict[str, str]) -> None:
    rooted.linux("off", state="stopped")
    rooted.linux("bare", tools="not_installed")
    rooted.linux("lone", state="stopped")
    rooted.ok("set", "lone", "--isolate-vm", "on")
    rooted.knob("guest_ready_after=2")
    rooted.ok("start", "lone")
    assert "is not started" in rooted.exec("off", "true").stderr
    for name in ("bare", "lone"):
        refused = rooted.exec(name, "true")
        assert (refused.returncode, refused.stderr.rstrip()) == (255, messages["no_session"])
    rooted.ok("start", "off")
    assert [rooted.exec("off", "true").returncode for _try in range(3)] == [255, 255, 0]
    assert "already running" in rooted.prlctl("start", "off").err


# --- the server ---------------------------------------------------------------------------------------------------


def _of_server(pid: int) -> list[int]:
    """Return the processes below one."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parents[int(entry.name)] = int((entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[1])
    below = [pid]
    for found in below:
        below.extend(child for child, parent in parents.items() if parent == found)
    return below[1:]


@contextlib.contextmanager
def _server(mac: RootedMac) -> Iterator[subprocess.Popen[str]]:
    simulate = Path(cli.__file__).parents[1] / "simulate"
    with subprocess.Popen(
        [sys.executable, str(simulate), "guests", str(mac.root), "--until-eof"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout
        if server.stdout.readline() != "ready\n":
            pytest.skip("guests with a root of their own are not possible here; the fixture says why")
        try:
            yield server
        finally:
            server.kill()


def test_a_killed_server_leaves_nothing(tmp_path: Path) -> None:
    mac = _new_mac(tmp_path / "mac")
    mounts = Path("/proc/self/mountinfo").read_text()
    with _server(mac) as server:
        mac.linux("k")
        mac.said("k", "sleep 600 > /dev/null 2>&1 &")
        left = _of_server(server.pid)
        assert len(left) >= 4, "the machine, its boot, init, and what the command left"
        server.send_signal(signal.SIGKILL)
        wait_until(lambda: not [pid for pid in left if Path(f"/proc/{pid}").exists()])
    assert Path("/proc/self/mountinfo").read_text() == mounts
    refused = mac.exec("k", "true")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "no server runs its guest" in refused.stderr


def test_the_end_of_the_server_saves_its_guests(tmp_path: Path) -> None:
    mac = _new_mac(tmp_path / "mac")
    with _server(mac) as server:
        mac.linux("k")
        mac.said("k", "touch /var/kept")
        assert server.stdin
        server.stdin.close()
        assert server.wait(10) == 0
    mac.ok("stop", "k", "--kill")
    refused = mac.prlctl("start", "k")
    assert (refused.rc, "no server runs its guest" in refused.err) == (2, True)
    with _server(mac):
        mac.ok("start", "k")
        mac.said("k", "test -e /var/kept")


def test_without_the_right_to_mount_the_server_says_so(tmp_path: Path) -> None:
    mac = _new_mac(tmp_path / "mac")
    simulate = Path(cli.__file__).parents[1] / "simulate"
    setpriv = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"]
    done = subprocess.run(
        [*setpriv, sys.executable, str(simulate), "guests", str(mac.root)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "A guest cannot have a root of its own here: unshare: Operation not permitted" in done.stderr
    assert "--cap-add SYS_ADMIN" in done.stderr


def test_only_linux_guests_have_a_root(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mac = _new_mac(tmp_path / "mac")
    assert cli.main(["vm", str(mac.root), "--name", "w", "--own-root"]) == 2
    assert "Use --own-root with --os debian" in capsys.readouterr().err
    assert cli.main(["vm", str(mac.root), "--name", "l", "--own-root", "--os", "debian", "--state", "running"]) == 2
    assert "no server runs its guest" in capsys.readouterr().err
