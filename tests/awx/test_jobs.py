# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks as jobs of AWX, under ansible-runner."""

from __future__ import annotations

import json
import os
import pathlib
import re
import sys

import pytest
import yaml

from support.awx.injectors import unsafe_yaml
from support.awx_job import CORES, Awx, Credential
from support.build import NAME, SOURCE_VM, VERSION
from support.fixtures import collections, make_mac, nightly, simulated_mac
from support.https_store import https_store
from support.waiting import wait_until

__all__ = ["collections", "make_mac", "simulated_mac"]

ROOT = pathlib.Path(__file__).resolve().parents[2]
PLAYBOOKS = ("build_image", "publish_image", "verify_images", "retire_images", "withdraw_image", "stop_work")
# In an everyday run, the first of the releases that read a survey's answers as YAML; at night, each.
EVERY_CORE = [nightly("2.16"), "2.19", nightly("2.21")]
# To YAML, and to native Jinja before ansible-core 2.19, it is a number.
PASSWORD = "1234567.50"
# So is this; only a survey cannot give it.
LIKE_A_NUMBER = "2026.10"
IMAGE = f"{NAME}-{VERSION}-arm64.pvmp"


@pytest.fixture
def awx(request, tmp_path, collections, packed_modules):
    return Awx(tmp_path, collections, getattr(request, "param", "2.19"), packed_modules)


def here(**variables):
    """Return the variables of a host on this machine."""
    python = os.environ.get("MACOPS_TARGET_PYTHON") or sys.executable
    return {"ansible_connection": "local", "ansible_python_interpreter": python, **variables}


def options():
    """Return all variables of the roles, as their specifications have them."""
    found = {}
    for path in sorted((ROOT / "roles").glob("*/meta/argument_specs.yml")):
        for entry, content in yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"].items():
            if entry == "variables":
                found.update(content["options"])
    return found


def test_the_answers_are_written_as_awx_writes_them():
    written = unsafe_yaml({"store_url": "https://s", "nested": {"l": ["tok {{ x }}"]}, "number": 3, "none": None})
    assert written == (
        "!unsafe 'store_url': !unsafe 'https://s'\n"
        "!unsafe 'nested':\n  !unsafe 'l':\n  - !unsafe 'tok {{ x }}'\n"
        "!unsafe 'number': 3\n"
        "!unsafe 'none': null\n"
    )


class BuildMac:
    """A Mac and a store, and what a template, a survey and a credential say of them."""

    def __init__(self, mac, store):
        self.store = store
        home = mac.folder / "home"
        home.mkdir()
        self.mac = mac
        self.inventory = {
            "build_macs": {"hosts": {"mac": here(image_store_ca_path=store.ca_path, **mac.host_vars)}},
            "others": {"hosts": {"web": here()}},
        }
        self.credential = Credential(
            env={"IMAGE_STORE_PASSWORD": store.password},
            extra_vars={"image_destination": f"{store.url}/", "image_store_username": store.username},
        )
        self.template = {"image_store_password": "{{ lookup('ansible.builtin.env', 'IMAGE_STORE_PASSWORD') }}"}
        self.home = {"HOME": str(home)}

    def run(self, awx, playbook, survey=None, **given):
        return awx.run(playbook, self.inventory, survey=survey, **self._with(given))

    def start(self, awx, playbook, survey):
        return awx.start(playbook, self.inventory, survey=survey, **self._with({}))

    def _with(self, given):
        return {"template": self.template, "credential": self.credential, "environment": self.home, **given}


@pytest.fixture
def build_mac(simulated_mac, tmp_path):
    with https_store(tmp_path / "store", password=PASSWORD) as store:
        yield BuildMac(simulated_mac, store)


ANSWERS = {"image_name": NAME, "image_version": VERSION, "image_source_vm": SOURCE_VM}


@pytest.mark.parametrize(
    ("awx", "settings"),
    [
        ("2.19", {}),
        nightly("2.16", {}),
        nightly("2.16", {"ANSIBLE_JINJA2_NATIVE": "true"}),
        nightly("2.21", {}),
    ],
    indirect=["awx"],
)
def test_a_build_whose_survey_is_blank_where_it_may_be(awx, build_mac, settings):
    build_mac.mac.vm(SOURCE_VM, state="stopped", data="2M", disk="8G")
    # A version that native Jinja would make a number of comes from the environment, too.
    build_mac.home.update(settings, VERSION=LIKE_A_NUMBER)
    build_mac.template["image_version"] = "{{ lookup('ansible.builtin.env', 'VERSION') }}"
    answers = {name: value for name, value in ANSWERS.items() if name not in build_mac.template}
    taken = {*ANSWERS, *build_mac.template, *build_mac.credential.extra_vars, "image_store_ca_path"}
    # A credential with all fields fills those that are not used, and an inventory has what is the Mac's own.
    taken |= {"image_executable", "image_work_dir"}
    optional = sorted(set(options()) - taken)
    blank = {name: (None if number % 2 else "") for number, name in enumerate(optional)}
    job = build_mac.run(awx, "build_image", {**blank, **answers}).assert_ok()

    (record,) = job.artifacts["image_records"]
    image = f"{NAME}-{LIKE_A_NUMBER}-arm64.pvmp"
    assert (record["file"], record["version"], record["title"]) == (image, LIKE_A_NUMBER, NAME)
    assert (build_mac.store.folder / image).stat().st_size == record["size"]
    assert json.loads(job.artifacts["image_records_json"]) == [record]
    assert build_mac.store.password not in job.output
    # What is in the project's folder is gone with the job.
    sheet = job.artifacts["image_sheet"].splitlines()
    assert "\n".join(sheet) in job.output
    shown = job.output.partition("Golden images of")[2].splitlines()[:8]
    assert f"  SHA-256  {record['sha256']}" in shown
    assert f"  URL      {record['url']}" in shown
    assert max(len(line) for line in shown if not line.startswith("Golden image sheet: ")) < 100
    assert '"msg"' not in job.output
    for line in job.output.splitlines():
        assert "Do the step" not in line
        assert not (line.startswith("included: ") and "/../" in line), line
    tasks = [event["event_data"]["task"] for event in job.events if event["event"] == "playbook_on_task_start"]
    assert not [name for name in tasks if "Validating arguments" in name]
    # The next node of a workflow gets the statistics back, as YAML reads them.
    sheet_again = awx.run("sheet", build_mac.inventory, survey=job.artifacts, project={"sheet.yml": SHEET}).assert_ok()
    assert sheet_again.artifacts["sheets"] == [job.artifacts["image_sheet"]] * 2


SHEET = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.set_stats:
        data:
          sheets:
            - "{{ image_records | macops.parallels.golden_image_sheet | string }}"
            - "{{ image_records_json | macops.parallels.golden_image_sheet | string }}"
"""

# What a survey's question of each type may answer, and what YAML and ansible-core 2.19 make of it.
TEXTS = ("2026.10", "0123456", "yes", "2026-11-01", "1e3", "0x1f", "1_000", "~", "null", "true", "12:30:45")
OTHERS = (2026.10, 42798, True, ["a", "b"])


@pytest.mark.parametrize("awx", EVERY_CORE, indirect=True)
def test_an_answer_that_is_not_text_is_refused_before_anything_is_done(awx, build_mac):
    """The variables of one job cannot have two values, so each is refused through another variable."""
    secret = 123456.75
    names = [name for name, option in sorted(options().items()) if option["type"] in ("str", "path")]
    values = [*TEXTS, *OTHERS]
    sizes = ("image_store_part_size", "image_store_rate_limit")
    wrong = {name: values[number % len(values)] for number, name in enumerate(names) if name not in sizes}
    wrong["image_store_token"] = secret
    wrong["image_version"] = 2026.10
    job = build_mac.run(awx, "build_image", wrong)
    (message,) = set(job.failures)
    assert "\n" not in message
    refused = set(re.findall(r"(\w+) is not text, because it was read as", message))
    read = {name for name, value in wrong.items() if not isinstance(awx_reads(awx, value), str)}
    blank = {name for name in read if awx_reads(awx, wrong[name]) is None}
    of_build = {name for name in read - blank if name in variables_of("build_image")}
    assert refused == of_build
    assert (
        "image_version is not text, because it was read as a number (2026.1). "
        "Give it as text with three parts: 2026.10.0." in message
    )
    assert str(secret) not in job.output
    assert not list(build_mac.store.folder.glob("*.pvmp"))
    tasks = [event["event_data"]["task"] for event in job.events if event["event"] == "playbook_on_task_start"]
    assert tasks[-1] == "Check the variables"
    assert len(job.output) < 30_000


def awx_reads(awx, value):
    """Return what a release of ansible-core makes of a value in the file of AWX."""
    return yaml.safe_load(value) if isinstance(value, str) and awx.core != "2.16" else value


def variables_of(playbook):
    """Return the variables of all roles of a playbook."""
    plays = yaml.safe_load((ROOT / "playbooks" / f"{playbook}.yml").read_text(encoding="utf-8"))
    roles = [role["role"] for play in plays for role in play.get("roles", ())]
    found = set()
    for role in roles:
        meta = ROOT / "roles" / role.rpartition(".")[2] / "meta"
        specs = yaml.safe_load((meta / "argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"]
        found.update(specs["variables"]["options"])
        needed = yaml.safe_load((meta / "main.yml").read_text(encoding="utf-8"))["dependencies"]
        roles += [each["role"] for each in needed if each["role"] not in roles]
    return found


@pytest.mark.parametrize("awx", EVERY_CORE, indirect=True)
def test_one_mistake_is_one_line(awx, build_mac):
    template = {"image_store_password": "{{ vault_image_store_password }}"}
    job = build_mac.run(awx, "verify_images", template=template).assert_refused(
        "image_store_password needs the variable vault_image_store_password, which is not defined."
    )
    assert len(job.output) < 3000


@pytest.mark.parametrize(
    ("playbook", "given", "words"),
    [
        ("stop_work", {"limit": "web"}, "The limit web leaves none of the hosts build_macs (mac)."),
        *[
            nightly(name, {"limit": "web"}, "The limit web leaves none of the hosts build_macs (mac).")
            for name in PLAYBOOKS[:5]
        ],
        nightly("verify_images", {"survey": {"image_hosts": "nowhere"}}, "The inventory has no host nowhere."),
        nightly("verify_images", {"survey": {"image_hosts": ","}}, "The inventory has no host ,."),
    ],
)
@pytest.mark.parametrize("awx", EVERY_CORE, indirect=True)
def test_a_job_that_would_do_nothing_fails(awx, build_mac, playbook, given, words):
    build_mac.run(awx, playbook, **given).assert_refused(words)


@pytest.mark.nightly
@pytest.mark.parametrize("awx", CORES, indirect=True)
@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_an_inventory_without_build_macs(awx, build_mac, playbook):
    for groups in (
        {},
        {"others": build_mac.inventory["others"]},
        {"build_macs": {}, "others": build_mac.inventory["others"]},
    ):
        build_mac.inventory = groups
        build_mac.run(awx, playbook).assert_refused("The inventory has no host build_macs.")


# Includes the role for each case, in one run, and keeps what it says.
CASES = """
- hosts: mac
  gather_facts: false
  tasks:
    - ansible.builtin.include_tasks: case.yml
      loop: "{{ cases }}"
      loop_control:
        loop_var: case
        label: one
    - ansible.builtin.set_stats:
        data: {said: "{{ said }}"}
"""
# What is not in a case is not defined.
CASE = """
- block:
    - ansible.builtin.include_role:
        name: macops.parallels.retire_images
      vars: %s
  rescue:
    - ansible.builtin.set_fact:
        said: "{{ said | default([]) + [ansible_failed_result.msg] }}"
"""
NOTHING = "There is nothing to do."
BLANK = "More would be removed than was meant, so nothing was removed."
VERSION_MEANT = "so it is not known which version is meant."
# The answers to the questions of a survey, and what the job says.
LIMITS = [
    ({"image_keep": "", "image_older_than": "90d"}, f"image_keep is blank. {BLANK}"),
    ({"image_keep": None, "image_older_than": "90d"}, f"image_keep is blank. {BLANK}"),
    ({"image_keep": "3", "image_older_than": ""}, f"image_older_than is blank. {BLANK}"),
    ({"image_keep": "3", "image_older_than": " "}, f"image_older_than is blank. {BLANK}"),
    ({"image_keep": "", "image_older_than": None}, f"image_keep and image_older_than are blank. {BLANK}"),
    ({"image_retire_version": "", "image_retire_reason": "bad", "image_keep": 1}, VERSION_MEANT),
    ({"image_retire_version": None, "image_retire_state": "protected", "image_keep": 1}, VERSION_MEANT),
    ({"image_retire_reason": "bad", "image_keep": 1, "image_older_than": "1d"}, VERSION_MEANT),
    (
        {"image_retire_version": "1.0.0", "image_name": "win11", "image_retire_reason": ""},
        "also set image_retire_reason",
    ),
    ({"image_retire_version": "1.0.0", "image_name": "", "image_retire_reason": "bad"}, "Set image_name as well."),
    ({}, NOTHING),
    # A role that is included again checks nothing again; the module does.
    ({"image_keep": "few"}, "argument 'keep' is of type"),
]


@pytest.mark.parametrize("awx", EVERY_CORE, indirect=True)
def test_a_question_that_was_not_answered_lifts_no_limit(awx, build_mac):
    names = sorted({name for given, _words in LIMITS for name in given})
    plays = []
    for number, (given, _words) in enumerate(LIMITS):
        # By its own file, so that a variable may be undefined; with the value as AWX passes it.
        passed = {name: f"{{{{ case_{number}_{name} }}}}" for name in names if name in given}
        plays.append(CASE % json.dumps(passed))
    survey = {
        f"case_{number}_{name}": value for number, (given, _words) in enumerate(LIMITS) for name, value in given.items()
    }
    files = {"limits.yml": CASES.replace("include_tasks: case.yml", "include_tasks: 'case{{ case }}.yml'")}
    files.update({f"case{number}.yml": text for number, text in enumerate(plays)})
    survey["cases"] = list(range(len(LIMITS)))
    said = build_mac.run(awx, "limits", survey, project=files).assert_ok().artifacts["said"]
    assert len(said) == len(LIMITS)
    for message, (given, words) in zip(said, LIMITS):
        assert words in message, given
        assert "\n" not in message


@pytest.mark.nightly
@pytest.mark.parametrize("awx", CORES, indirect=True)
def test_work_that_a_canceled_job_left_is_ended(awx, build_mac):
    build_mac.mac.vm(SOURCE_VM, state="stopped", data="2M", disk="8G")
    build_mac.mac.knob(pack_seconds=600)
    with build_mac.start(awx, "build_image", ANSWERS) as job:
        wait_until(lambda: any("Packing" in event["stdout"] for event in job.events()), 120)
        job.cancel()
    line = f"mac: %s image_pack on {NAME}-{VERSION}-arm64, Packing"
    would = build_mac.run(awx, "stop_work", check=True).assert_ok()
    assert line % "would end" in would.output
    done = build_mac.run(awx, "stop_work", {"image_stop_name": "", "image_stop_attended": None}).assert_ok()
    assert line % "ended" in done.output
    assert "mac: no work to end" in build_mac.run(awx, "stop_work").assert_ok().output


@pytest.mark.nightly
@pytest.mark.parametrize("awx", CORES, indirect=True)
def test_a_version_is_withdrawn_and_offered_again(awx, build_mac, tmp_path):
    image = tmp_path / "image.pvmp"
    image.write_bytes(b"image" * 1000)
    named = {"image_name": NAME, "image_arch": "arm64"}
    published = {**named, "image_version": VERSION, "image_path": str(image)}
    build_mac.run(awx, "publish_image", published).assert_ok()
    version = {**named, "image_retire_version": VERSION}
    build_mac.run(awx, "withdraw_image", version).assert_refused("also set image_retire_reason")
    build_mac.run(awx, "withdraw_image", {**named, "image_keep": 1}).assert_refused(VERSION_MEANT)
    for state, reason in (("withdrawn", "No VPN."), ("published", "")):
        answers = {**version, "image_retire_state": state, "image_retire_reason": reason, "image_keep": 1}
        job = build_mac.run(awx, "withdraw_image", answers).assert_ok()
        retired = job.artifacts["image_retired"]
        assert (retired["state"], retired["versions"], retired["removed"]) == (state, [IMAGE], [])
        build_mac.run(awx, "withdraw_image", answers, check=True).assert_ok()
    report = build_mac.run(awx, "verify_images").assert_ok().artifacts
    assert report["image_verified_report"].startswith("# Published images: no problems")
    assert json.loads(report["image_verified_json"])["ok"] is True
