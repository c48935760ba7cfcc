# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Long work over SSH: it shows that it moves, outlives connections and controllers, is joined, and can be canceled."""

from __future__ import annotations

import json
import pathlib
import re
import sys
import time

import ansible_runner
import pytest

from support.build import NAME, SOURCE_VM, VERSION
from support.fault_table import recorded, told
from support.jobs import Jobs, forget_jobs
from support.waiting import wait_until

BUILD_VM = f"{NAME}-{VERSION}-arm64"
IMAGE = f"{BUILD_VM}.pvmp"
# A play that packs one VM, for what depends on the way to the Mac only.
PACK = """\
- name: Pack a VM
  hosts: build_macs
  gather_facts: false
  tasks:
    - name: Pack it
      macops.parallels.image_pack:
        name: Alpha
        executable: "{{ image_executable }}"
"""
LINE = re.compile(r"^  \[mac\] (?P<what>\w+) .*?: (?:about )?(?P<percent>\d+)%.*$", re.MULTILINE)


@pytest.fixture
def mac(ssh_mac):
    ssh_mac.mac.vm(SOURCE_VM, state="running", data="2M", disk="32G", snapshots="base(updates)")
    return ssh_mac


@pytest.fixture
def jobs(mac_sshd):
    yield Jobs(mac_sshd.account.home)
    forget_jobs(mac_sshd.account)


@pytest.fixture
def build(make_build, mac, jobs):
    return make_build({"mac": mac})


def calls(mac, verb):
    """Return the calls of this kind that were not refused because the VM was busy."""
    return [call for call in mac.mac.show()["calls"] if call["argv"][:1] == [verb] and call["rc"] != 255]


def wait_for_call(running, mac, verb, count=1, timeout=120):
    """Return when Parallels works on its so many-th call of this kind."""

    def check():
        assert running.process.poll() is None, running.output[-3000:]

    mac.mac.wait_for_calls(lambda: len(calls(mac, verb)) >= count, check, timeout)


def wait_for(running, condition, timeout=60):
    """Return when something is so while the playbook runs."""

    def holds():
        found = condition()
        assert found or running.process.poll() is None, running.output[-3000:]
        return found

    wait_until(holds, timeout, explain=lambda: f"it did not come about: {running.output[-3000:]}", pause=0.1)


def wait_for_words(running, *words, timeout=60):
    wait_for(running, lambda: all(word in running.output for word in words), timeout)


def assert_built(build, mac, before):
    assert mac.mac.fingerprint(SOURCE_VM) == before
    assert [(vm["name"], vm["state"]) for vm in mac.mac.show()["vms"]] == [(SOURCE_VM, "running")]
    build.published()
    build.assert_only("arm64")


def test_lost_connections(build, mac, jobs, mac_sshd, nginx_store, record_property):
    """In one run: the connection dies in the clone, the network stands still in the pack, the server restarts."""
    with recorded(
        record_property,
        ("connection", "killed", "clone"),
        ("connection", "stands still", "pack"),
        ("connection", "sshd restarts", "pack"),
        ("connection", "killed", "upload"),
        ("connection", "killed", "link"),
    ) as runs:
        before = mac.mac.fingerprint(SOURCE_VM)
        mac.mac.knob(clone_seconds=8, pack_seconds=20)
        nginx_store.reconfigure("limit_rate 100k;")

        with build.start(image_store_rate_limit="100K") as running:
            wait_for_call(running, mac, "clone")
            mac_sshd.drop()
            wait_for_call(running, mac, "pack")
            wait_for_words(running, "[mac] Packing")
            with mac_sshd.frozen():
                time.sleep(3)
            losses = running.output.count("The connection is lost")
            with mac_sshd.down():
                wait_for(running, lambda: running.output.count("The connection is lost") > losses)
            jobs.wait_for("image_upload")
            wait_for_words(running, "[mac] Uploading")
            mac_sshd.drop()
            jobs.wait_for("image_link_info")
            wait_for_words(running, "[mac] Downloading")
            mac_sshd.drop()
            run = running.finish()
        runs.append(told(run))

        run.assert_ok().assert_no_secret(build.store.password)
        assert_built(build, mac, before)
        assert [len(calls(mac, verb)) for verb in ("clone", "pack")] == [1, 1]
        assert "The connection is back" in run.output
        assert run.results_of("macops.parallels.image_upload")[0]["bytes_sent"] == build.stored[IMAGE]
        lines = [(found["what"], int(found["percent"])) for found in LINE.finditer(run.output)]
        assert {what for what, _percent in lines} >= {"Packing", "Uploading", "Downloading"}
        assert len(set(lines)) == len(lines), "a line for a percentage was shown twice"
        assert len(lines) <= run.seconds / 5 + 1, "there are too many lines"
        assert all("estimated" in line for line in run.output.splitlines() if "] Packing" in line)
        assert not list(jobs.running())


@pytest.mark.nightly
def test_the_controller_dies(build, mac, jobs, nginx_store, record_property):
    """Killed in the pack, in the upload and in the proof: each next run joins what goes on, and takes its result."""
    with recorded(
        record_property,
        ("controller", "killed", "pack"),
        ("controller", "killed", "upload"),
        ("controller", "killed", "link"),
    ) as runs:
        before = mac.mac.fingerprint(SOURCE_VM)
        mac.mac.knob(pack_seconds=12)
        nginx_store.reconfigure("limit_rate 100k;")
        slow = {"image_store_rate_limit": "100K"}

        with build.start(**slow) as first:
            wait_for_call(first, mac, "pack")
            packing = jobs.wait_for("image_pack")
            first.kill()
        with build.start(**slow) as second:
            wait_for_words(second, "Wait for other runs that work on this image")
            assert packing in list(jobs.running())
            uploading = jobs.wait_for("image_upload")
            second.kill()
        with build.start(**slow) as third:
            wait_for_words(third, "Wait for other runs that work on this image")
            assert uploading in list(jobs.running())
            jobs.wait_for("image_link_info")
            third.kill()
        run = build.run(**slow).assert_ok()
        runs.extend(["killed", told(run)])

        assert_built(build, mac, before)
        assert len(calls(mac, "clone")) == len(calls(mac, "pack")) == 1
        size = build.stored[IMAGE]
        assert len([seen for seen in nginx_store.requests("PUT") if seen.bytes > size]) == 1
        assert len([seen for seen in nginx_store.requests("GET") if IMAGE in seen.path and seen.sent > size]) == 1
        assert run.results_of("macops.parallels.image_link_info")[0]["verdict"] == "direct"
        build.run().assert_ok().assert_unchanged()
        assert not list(jobs.running())


def test_canceled(build, mac, jobs, record_property):
    """Ctrl-C ends the work on the Mac, or leaves it, as a variable says; the same command goes on in either case."""
    with recorded(
        record_property,
        ("controller", "Ctrl-C", "pack"),
        ("controller", "Ctrl-C, image_on_cancel: continue", "pack"),
    ) as runs:
        before = mac.mac.fingerprint(SOURCE_VM)
        mac.mac.knob(pack_seconds=15)

        with build.start() as first:
            wait_for_call(first, mac, "pack")
            jobs.wait_for("image_pack")
            first.interrupt()
            assert first.process.wait(30) != 0
        jobs.wait_for_none()
        assert calls(mac, "pack")[0]["rc"] != 0
        assert mac.mac.fingerprint(SOURCE_VM) == before
        assert not (mac.mac.folder / "Parallels" / IMAGE).exists(), "the half-made image was left"

        with build.start(image_on_cancel="continue") as second:
            wait_for_call(second, mac, "pack", 2)
            packing = jobs.wait_for("image_pack")
            second.interrupt()
            assert second.process.wait(30) != 0
        assert list(jobs.running()) == [packing]

        third = build.run().assert_ok()
        runs.extend(["canceled", told(third)])
        assert_built(build, mac, before)
        assert [call["rc"] == 0 for call in calls(mac, "pack")] == [False, True]


@pytest.mark.nightly
def test_nobody_asks_any_more(build, mac, jobs, record_property):
    """Work that no playbook asks for ends by itself after the time that a variable says."""
    with recorded(
        record_property,
        ("controller", "killed, and no other comes", "pack"),
    ) as runs:
        before = mac.mac.fingerprint(SOURCE_VM)
        mac.mac.knob(pack_seconds=60)

        with build.start(image_unattended_timeout=15) as first:
            wait_for_call(first, mac, "pack")
            jobs.wait_for("image_pack")
            first.kill()
        jobs.wait_for_none()
        assert calls(mac, "pack")[0]["rc"] != 0
        mac.mac.knob(pack_seconds=0)

        runs.extend(["killed", told(build.run())])
        assert_built(build, mac, before)


@pytest.mark.nightly
def test_two_runs_at_once(build, mac, jobs, record_property):
    """The second run waits for the first and finds its work done, or ends with a message; both are safe."""
    with recorded(
        record_property,
        ("controller", "a second run at the same time", "pack"),
        ("controller", "a second run, image_if_running: fail", "pack"),
    ) as runs:
        before = mac.mac.fingerprint(SOURCE_VM)
        mac.mac.knob(pack_seconds=30)

        with build.start() as first:
            wait_for_call(first, mac, "pack")
            wait_for_words(first, "[mac] Packing")
            build.run(image_if_running="fail").assert_failed(BUILD_VM, "image_pack", "image_if_running")
            second = build.run().assert_ok()
            done = first.finish()
        runs.extend([told(done), told(second)])

        done.assert_ok()
        assert_built(build, mac, before)
        assert len(calls(mac, "clone")) == len(calls(mac, "pack")) == 1
        assert "[mac] Packing" in second.output, "the second run does not show what it waits for"
        assert not list(jobs.running())


def without_pipelining(mac):
    return {**mac.host_vars, "ansible_ssh_pipelining": False}


def with_become(mac):
    account = mac.mac.account
    return {
        "ansible_connection": "local",
        "ansible_python_interpreter": str(account.python),
        "ansible_become": True,
        "ansible_become_method": "su",
        "ansible_become_user": account.name,
        "ansible_remote_tmp": "/tmp",
        **mac.mac.host_vars,
    }


def without_progress(mac):
    return {**mac.host_vars, "image_progress": False}


@pytest.mark.parametrize("way", [without_pipelining, with_become, without_progress], ids=lambda way: way.__name__)
def test_ways_to_the_mac(play, ssh_mac, jobs, tmp_path, way):
    ssh_mac.mac.vm("Alpha", data="2M", disk="8G")
    ssh_mac.mac.knob(pack_seconds=9)
    playbook = tmp_path / "pack.yml"
    playbook.write_text(PACK, encoding="utf-8")

    run = play(playbook, {"mac": way(ssh_mac)}).assert_ok().assert_changed(1)

    assert bool(LINE.search(run.output)) is (way is not without_progress), run.output
    assert not list(jobs.running())


def test_progress_in_the_events_of_ansible_runner(ssh_mac, jobs, collections, tmp_path):
    """Which are what AWX shows."""
    ssh_mac.mac.vm("Alpha", data="2M", disk="8G")
    ssh_mac.mac.knob(pack_seconds=9)
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "pack.yml").write_text(PACK, encoding="utf-8")

    run = ansible_runner.run(
        private_data_dir=str(tmp_path),
        playbook="pack.yml",
        inventory={"build_macs": {"hosts": {"mac": ssh_mac.host_vars}}},
        envvars={
            "PATH": f"{pathlib.Path(sys.executable).parent}:/usr/bin:/bin",
            "ANSIBLE_COLLECTIONS_PATH": str(collections),
            "ANSIBLE_HOME": str(tmp_path / "ansible"),
        },
        quiet=True,
    )

    assert run.status == "successful", run.stdout.read()
    lines = [event["stdout"] for event in run.events if event["event"] == "verbose" and "[mac]" in event["stdout"]]
    assert lines
    assert all(LINE.search(line) for line in lines), lines


WRONG = (
    ("image_unattended_timeout", 3, "at least 15"),
    ("image_unattended_timeout", "long", "number of seconds"),
    ("image_on_cancel", "whatever", "'stop' or 'continue'"),
    ("image_if_running", "whatever", "'join' or 'fail'"),
    ("image_progress", "perhaps", "true or false"),
)


def test_wrong_variables(play, ssh_mac, tmp_path):
    task = {"macops.parallels.mac_jobs": {}, "ignore_errors": True}
    tasks = [{**task, "name": f"{name} {words}", "vars": {name: value}} for name, value, words in WRONG]
    playbook = tmp_path / "wrong.yml"
    playbook.write_text(json.dumps([{"hosts": "build_macs", "gather_facts": False, "tasks": tasks}]), encoding="utf-8")

    run = play(playbook, {"mac": ssh_mac.host_vars})

    for name, _value, words in WRONG:
        (result,) = run.results_of(f"{name} {words}")
        assert name in result["msg"]
        assert words in result["msg"]
