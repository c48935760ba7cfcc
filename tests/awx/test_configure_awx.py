# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook configure_awx against the stand-in: from an empty AWX, again, and back."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support.awx import ADMIN, PASSWORD
from support.awx.jobs import Outcome
from support.fixtures import collections, packed_modules
from support.playbook import PlaybookRun, run_playbook
from support.waiting import wait_until

__all__ = ["collections", "packed_modules"]

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "image-project"
ORGANIZATION = "Mac images"
MARK = "Made by macops.parallels.configure_awx."
STORE_PASSWORD = "password-of-the-image-store"
# The lists in which the role makes something.
LISTS = (
    "organizations",
    "credential_types",
    "credentials",
    "execution_environments",
    "projects",
    "inventories",
    "inventory_sources",
    "notification_templates",
    "job_templates",
    "workflow_job_templates",
    "schedules",
)
WITH_AWX = {"ANSIBLE_COLLECTIONS_SCAN_SYS_PATH": "true", "ANSIBLE_PIPELINING": "true"}


@pytest.fixture(scope="session")
def private_key(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("key") / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "tests", "-f", str(path)], check=True)
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def repository(make_repository) -> Path:
    """The example project, as an admin has pushed it."""
    files = [path for path in EXAMPLE.rglob("*") if path.is_file()]
    return make_repository({str(path.relative_to(EXAMPLE)): path.read_text(encoding="utf-8") for path in files})


class Configuration:
    """One file of variables, and runs of the playbook with it."""

    def __init__(self, awx: Any, repository: Path, key: str, collections: Path, packed: Path, home: Path) -> None:
        self.awx = awx
        self.variables: dict[str, Any] = {
            "awx_host": awx.url,
            "awx_username": ADMIN,
            "awx_password": PASSWORD,
            "awx_organization": ORGANIZATION,
            "awx_project_url": f"file://{repository}",
            "awx_execution_environment": "registry.example.com/image-builder:1.0",
            "awx_store_kind": "https",
            "awx_machine": {"username": "builder", "ssh_key_data": key},
            "awx_store": {"username": "image-publisher", "password": STORE_PASSWORD},
            "awx_signing_key": key,
            "awx_notification_type": "webhook",
            "awx_notification": {"url": "https://chat.example.com/images", "headers": {}, "http_method": "POST"},
            "awx_pause": 1,
            "awx_project_timeout": 120,
        }
        self._collections, self._packed, self._home = collections, packed, home
        # The requests of the last run that were to change something, less those about tokens.
        self.writes: list[tuple[str, str, int]] = []

    def run(self, check: bool = False, environment: dict[str, str] | None = None, **more: Any) -> PlaybookRun:
        """Run the playbook; a variable that is None is left out."""
        given = {name: value for name, value in {**self.variables, **more}.items() if value is not None}
        # A request is noted after its answer: one of the test's own must not count as one of the run.
        asked = ("GET", "/api/v2/me/", 200)
        earlier = self.awx.seen.count(asked)
        self.awx.admin.get("me")
        wait_until(lambda: self.awx.seen.count(asked) > earlier)
        before = len(self.awx.seen)
        ended = run_playbook(
            "macops.parallels.configure_awx",
            {"localhost": {"ansible_connection": "local"}},
            given,
            collections=self._collections,
            modules=self._packed,
            check=check,
            environment={"HOME": str(self._home), **(WITH_AWX if environment is None else environment)},
        )
        requests = [seen for seen in self.awx.seen[before:] if seen[0] != "GET"]
        self.writes = [seen for seen in requests if not seen[1].startswith("/api/v2/tokens/")]
        assert self.awx.database.find("token") == [], "a token is left"
        return ended.assert_no_secret(PASSWORD, STORE_PASSWORD)

    def names(self, mark: str = MARK) -> dict[str, list[str]]:
        """Return the names of what has the role's mark, by list."""
        everything = {name: self.awx.admin.all(name) for name in LISTS}
        marked = {
            name: [one["name"] for one in objects if (one["description"] or "").startswith(mark)]
            for name, objects in everything.items()
        }
        return {name: names for name, names in marked.items() if names}


@pytest.fixture
def configuration(awx, repository, private_key, collections, packed_modules, tmp_path) -> Configuration:
    return Configuration(awx, repository, private_key, collections, packed_modules, tmp_path)


def is_sync(seen: tuple[str, str, int]) -> bool:
    """Tell whether a request only fetches the project again."""
    return bool(re.fullmatch(r"/api/v2/projects/\d+/update/", seen[1]))


def test_set_up_twice_and_removed_twice(configuration, awx) -> None:
    admin = awx.admin
    configuration.run().assert_ok()
    made = configuration.names()
    assert {name: len(names) for name, names in made.items()} == {
        "organizations": 1,
        "credential_types": 6,
        "credentials": 3,
        "execution_environments": 1,
        "projects": 1,
        "inventories": 1,
        "inventory_sources": 1,
        "notification_templates": 1,
        "job_templates": 8,
        "workflow_job_templates": 1,
        "schedules": 1,
    }
    hold_the_workflow(admin)
    hold_the_job_templates(admin)
    (organization,) = admin.all("organizations", name=ORGANIZATION)
    galaxy = admin.all(f"organizations/{organization['id']}/galaxy_credentials")
    assert [one["name"] for one in galaxy] == ["Ansible Galaxy"]
    assert sorted(host["name"] for host in admin.all("hosts")) == ["mac-arm64", "mac-x86-64"]

    configuration.run().assert_ok().assert_unchanged()
    assert [seen for seen in configuration.writes if not is_sync(seen)] == []

    admin.post("teams", name="Theirs", organization=organization["id"])
    configuration.run(awx_state="absent").assert_ok()
    assert configuration.names() == {"organizations": [ORGANIZATION]}
    assert admin.all("teams", name="Theirs")

    configuration.run(awx_state="absent").assert_ok().assert_unchanged()
    assert configuration.writes == []


def hold_the_workflow(admin: Any) -> None:
    """Hold that the workflow is build, sheet, approval, verify, each on success of the one before."""
    (workflow,) = admin.all("workflow_job_templates")
    nodes = {node["identifier"]: node for node in admin.all("workflow_job_template_nodes")}
    by_id = {node["id"]: name for name, node in nodes.items()}
    links = {name: [by_id[number] for number in node["success_nodes"]] for name, node in nodes.items()}
    assert links == {"build": ["sheet"], "sheet": ["approve"], "approve": ["verify"], "verify": []}
    assert not any(node["failure_nodes"] or node["always_nodes"] for node in nodes.values())
    templates = {name: node["summary_fields"]["unified_job_template"] for name, node in nodes.items()}
    assert templates["approve"]["unified_job_type"] == "workflow_approval"
    assert "golden image sheet" in templates["approve"]["description"]
    assert not workflow["allow_simultaneous"]
    assert not workflow["ask_variables_on_launch"]
    for event in ("approvals", "success", "error"):
        assert len(admin.all(f"workflow_job_templates/{workflow['id']}/notification_templates_{event}")) == 1


def hold_the_job_templates(admin: Any) -> None:
    """Hold what keeps a user who may only launch from doing harm, and text text."""
    templates = {one["name"].rpartition(": ")[2]: one for one in admin.all("job_templates")}
    for name, template in templates.items():
        assert not template["ask_variables_on_launch"], name
        assert not template["ask_credential_on_launch"], name
        assert not template["ask_inventory_on_launch"], name
        assert not template["allow_simultaneous"], name
        survey = admin.get(template["related"]["survey_spec"])
        assert bool(survey) is template["survey_enabled"], name
        for question in survey.get("spec", []):
            assert question["type"] in ("text", "multiplechoice"), name
            assert "" not in question.get("choices", []), name
            assert question["required"], name
        variables = json.loads(template["extra_vars"])
        if name == "stop work":
            assert variables == {}
        else:
            for field in ("username", "password", "token", "proxy"):
                wanted = f"{{{{ lookup('ansible.builtin.env', 'IMAGE_STORE_{field.upper()}') | string }}}}"
                assert variables.pop(f"image_store_{field}") == wanted, name
            own = {
                "make the sheet": {"image_required_arches": ["arm64", "x86_64"]},
                "try a build": {"image_version": "0.0.0"},
            }
            assert variables == own.get(name, {}), name
    assert {name for name, template in templates.items() if template["job_type"] == "check"} == {"try a build"}
    assert not templates["try a build"]["ask_job_type_on_launch"]
    assert templates["build image"]["job_slice_count"] == 2
    assert templates["make the sheet"]["job_slice_count"] == 1
    assert templates["make the sheet"]["job_tags"] == "hand_over"
    for name in ("build image", "retire images"):
        assert templates[name]["ask_limit_on_launch"], name
        assert templates[name]["ask_job_type_on_launch"], name


def test_check_mode_on_an_empty_awx(configuration) -> None:
    ended = configuration.run(check=True).assert_ok()
    assert configuration.writes == []
    (said,) = ended.results_of("Say what does not exist yet")
    assert "job_templates: Parallels: build image" in said["msg"]
    assert "organizations: Mac images" in said["msg"]
    assert len(said["msg"]) == 25


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"awx_password": "wrong-password-of-admin"}, ("does not accept the user admin", "401", "Check awx_username")),
        pytest.param({"awx_organization": None}, ("awx_organization is not set",), marks=pytest.mark.nightly),
        pytest.param({"awx_project_url": ""}, ("awx_project_url is not set",), marks=pytest.mark.nightly),
        pytest.param({"awx_host": "awx.example.com"}, ("Begin it with https://",), marks=pytest.mark.nightly),
        pytest.param({"awx_prefix": "2026"}, ("name of digits",), marks=pytest.mark.nightly),
        pytest.param({"awx_prefix": "A: B"}, ("prefix with a colon",), marks=pytest.mark.nightly),
        pytest.param({"awx_store_kind": ""}, ("without awx_store_kind",), marks=pytest.mark.nightly),
        pytest.param({"awx_store_kind": "ftp"}, ("awx_store_kind is 'ftp'",), marks=pytest.mark.nightly),
        pytest.param(
            {"awx_store": {"username": "u", "password": 1234567}},
            ("awx_store.password is not text", "quotes"),
            marks=pytest.mark.nightly,
        ),
        pytest.param({"awx_host": "http://127.0.0.1:9"}, ("does not answer as AWX",), marks=pytest.mark.nightly),
    ],
)
def test_one_mistake_is_one_sentence(configuration, more: dict[str, Any], words: tuple[str, ...]) -> None:
    configuration.run(**more).assert_failed(*words)
    assert configuration.writes == []


def test_without_the_collection_awx_awx(configuration) -> None:
    ended = configuration.run(environment={})
    ended.assert_failed("The collection awx.awx is not installed", "ansible-galaxy collection install awx.awx")


def test_a_user_who_may_not(configuration, awx) -> None:
    awx.admin.post("users", username="jane", password="password-of-jane")
    ended = configuration.run(awx_username="jane", awx_password="password-of-jane")
    ended.assert_failed("The user jane is not a system administrator of AWX")
    assert configuration.names() == {}


@pytest.mark.nightly
def test_check_mode_when_all_is_there(configuration) -> None:
    configuration.run().assert_ok()
    configuration.run(check=True).assert_ok().assert_unchanged()
    assert configuration.writes == []
    configuration.run(check=True, awx_slices=3).assert_ok().assert_changed(1)
    assert configuration.writes == []
    removal = configuration.run(check=True, awx_state="absent").assert_ok()
    assert configuration.writes == []
    assert sum(len(result["msg"]) for result in removal.results_of("Say what would be removed")) == 25


@pytest.mark.nightly
def test_an_awx_that_is_half_set_up(configuration, awx) -> None:
    """Somebody made a part by hand, in an organization that was there, and the update of the project failed."""
    admin = awx.admin
    organization = admin.post("organizations", name=ORGANIZATION, description="Their own words")["id"]
    admin.post("projects", name="Parallels: project", organization=organization, scm_type="git", scm_url="file:///no")
    admin.post("inventories", name="Parallels: build Macs", organization=organization)
    # Another organization has something of the same name, which AWX finds only by its organization.
    other = admin.post("organizations", name="Other")["id"]
    admin.post("workflow_job_templates", name="Parallels: build, approve and verify", organization=other)
    configuration.run(check=True).assert_ok()
    assert configuration.writes == []
    configuration.run().assert_ok()
    configuration.run().assert_ok().assert_unchanged()
    assert admin.one("organizations", name=ORGANIZATION)["description"] == "Their own words"
    assert admin.one("projects", name="Parallels: project")["status"] == "successful"
    configuration.run(awx_state="absent").assert_ok()
    assert configuration.names() == {}
    assert [one["name"] for one in admin.all("projects")] == ["Parallels: project"]
    assert [one["name"] for one in admin.all("inventories")] == ["Parallels: build Macs"]
    assert [one["organization"] for one in admin.all("workflow_job_templates")] == [other]
    configuration.run(awx_state="absent").assert_ok().assert_unchanged()


@pytest.mark.nightly
def test_a_changed_secret_is_noticed(configuration, awx) -> None:
    configuration.run().assert_ok()
    store = {"username": "image-publisher", "password": "another-password-of-the-store"}
    ended = configuration.run(awx_store=store).assert_ok().assert_changed(1)
    assert [task.name.rpartition(" : ")[2] for task in ended.changed] == ["Set up the credentials"]
    configuration.run(awx_store=store).assert_ok().assert_unchanged()
    (kept,) = [one for one in awx.database.all("credential") if one["name"] == "Parallels: store"]
    assert kept["inputs"]["password"] == store["password"]


@pytest.mark.nightly
def test_the_whole_of_it_goes_and_comes_back(configuration, awx) -> None:
    """Everything is removed with its organization, and made again at once, while AWX still has the inventory's name."""
    awx.faults.deletion_seconds = 4
    before = {name: {one["name"] for one in awx.admin.all(name)} for name in LISTS}
    configuration.run().assert_ok()
    configuration.run(awx_state="absent").assert_ok()
    assert {name: {one["name"] for one in awx.admin.all(name)} for name in LISTS} == before
    configuration.run().assert_ok()
    assert len(configuration.names()["job_templates"]) == 8


@pytest.mark.nightly
def test_who_may_do_what(configuration, awx) -> None:
    admin = awx.admin
    organization = admin.post("organizations", name=ORGANIZATION)["id"]
    teams = {name: admin.post("teams", name=name, organization=organization)["id"] for name in ("Admins", "Managers")}
    admin.post("users", username="jane", password="password-of-jane")
    rights = {"awx_launch_teams": ["Admins"], "awx_approve_users": ["jane"], "awx_retire_teams": ["Managers"]}
    configuration.run(**rights).assert_ok()
    configuration.run(**rights).assert_ok().assert_unchanged()
    granted = {
        name: {(role["name"], role["summary_fields"]["resource_name"]) for role in admin.all(f"teams/{number}/roles")}
        for name, number in teams.items()
    }
    assert ("Execute", "Parallels: build image") in granted["Admins"]
    assert ("Execute", "Parallels: retire images") in granted["Managers"]
    assert ("Execute", "Parallels: retire images") not in granted["Admins"]
    ended = configuration.run(**{**rights, "awx_launch_teams": ["Nobody"], "awx_approve_users": ["jane", "joe"]})
    ended.assert_failed("AWX has no team Nobody, no user joe.")
    assert configuration.writes == []


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("failed", ("could not update the project", "Its status is failed", "awx_project_url")),
        ("hangs", ("has not finished the update of the project after 3 seconds",)),
    ],
)
def test_an_update_of_the_project_that_does_not_succeed(configuration, awx, fault, words) -> None:
    awx.faults.project_update = fault
    configuration.run(awx_project_timeout=3).assert_failed(*words)
    awx.faults.project_update = None
    for job in [job for job in awx.database.all("project_update") if job["status"] == "running"]:
        awx.admin.post(f"project_updates/{job.id}/cancel")
    configuration.run().assert_ok()


@pytest.mark.nightly
def test_an_inventory_that_is_not_there_or_empty(configuration, make_repository, repository) -> None:
    configuration.run(awx_inventory_path="nowhere.ini").assert_failed("could not read the inventory nowhere.ini")
    files = {
        str(path.relative_to(repository)): path.read_text(encoding="utf-8")
        for path in repository.rglob("*")
        if path.is_file() and ".git" not in path.parts
    }
    files["inventory/hosts.ini"] = "[others]\nmac1\n"
    empty = make_repository(files)
    ended = configuration.run(awx_project_url=f"file://{empty}")
    ended.assert_failed("no host in the group build_macs")


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (Outcome(artifacts={"image_ansible_core": "2.19.14"}), ()),
        (Outcome(artifacts={"image_ansible_core": "2.15.3"}), ("has ansible-core 2.15.3", "2.16 or newer")),
        (Outcome(), ("ansible-core of an unknown version",)),
        (Outcome("failed"), ("ended with the status failed",)),
    ],
)
def test_the_preflight(configuration, awx, outcome, words) -> None:
    started: list[Any] = []

    def run_job(job: Any) -> Outcome:
        started.append(job)
        return outcome

    awx.jobs.run_job = run_job
    ended = configuration.run(awx_preflight=True)
    if words:
        ended.assert_failed(*words)
    else:
        ended.assert_ok()
        (said,) = ended.results_of("Show what was tried")
        assert "mac-arm64 and mac-x86-64" in said["msg"]
    assert [(job["job_type"], job["name"]) for job in started] == [("check", "Parallels: try a build")]


@pytest.mark.nightly
def test_what_others_use_is_not_removed(configuration, awx) -> None:
    admin = awx.admin
    configuration.run().assert_ok()
    project, inventory = admin.one("projects"), admin.one("inventories")
    theirs = {"project": project["id"], "inventory": inventory["id"], "playbook": "build_image.yml"}
    admin.post("job_templates", name="Theirs", **theirs)
    configuration.run(awx_state="absent").assert_failed("These job templates use", "Theirs")
    assert configuration.writes == []
    admin.delete(f"job_templates/{admin.one('job_templates', name='Theirs')['id']}")
    kind = admin.one("credential_types", name="Parallels: store (S3)")["id"]
    default = admin.one("organizations", name="Default")["id"]
    credential = admin.post("credentials", name="Theirs", organization=default, credential_type=kind, inputs={})
    ended = configuration.run(awx_state="absent")
    ended.assert_failed("AWX does not remove Parallels: store (S3)", "in use cannot be deleted")
    admin.delete(f"credentials/{credential['id']}")
    configuration.run(awx_state="absent").assert_ok()
    assert configuration.names() == {}
