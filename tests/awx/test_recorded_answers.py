# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in held against AWX: each request that was recorded is asked again, in its order.

The numbers of the objects are AWX's, so what the recorded requests presume is made with these numbers.
"""

from __future__ import annotations

import copy
import json
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from support.awx import ADMIN, Awx
from support.awx.recorded import recorded
from support.waiting import wait_until

BOB = ("bob", "password-of-bob-1")

STORE_INPUTS = {
    "fields": [
        {"id": "access_key", "type": "string", "label": "Access key"},
        {"id": "secret_key", "type": "string", "label": "Secret key", "secret": True},
        {"id": "region", "type": "string", "label": "Region", "choices": ["eu-1", "us-1"], "default": "eu-1"},
        {"id": "insecure", "type": "boolean", "label": "Skip TLS", "default": False},
    ],
    "required": ["access_key", "secret_key"],
}
STORE_INJECTORS = {
    "env": {"AWS_ACCESS_KEY_ID": "{{ access_key }}", "AWS_SECRET_ACCESS_KEY": "{{ secret_key }}"},
    "extra_vars": {"store_region": "{{ region }}", "store_insecure": "{{ insecure }}"},
}
SIGN_INPUTS = {
    "fields": [
        {"id": "sign_key", "label": "Key", "secret": True, "multiline": True, "format": "ssh_private_key"},
    ]
}
JOB_SURVEY = recorded("answers")[383]["full"]
WORKFLOW_SURVEY = {
    "name": "",
    "description": "",
    "spec": [
        {"type": "text", "question_name": "Name", "question_description": "", "variable": "vm_name"}
        | {"required": True, "default": "", "min": 0, "max": 64}
    ],
}
LAUNCHED_SURVEY = {
    "name": "",
    "description": "",
    "spec": [
        {"type": "text", "question_name": "V", "variable": "v", "required": False, "default": "dflt"},
        {"type": "multiselect", "question_name": "M", "variable": "ms", "required": False, "choices": ["a", "b"]}
        | {"default": "a"},
        {"type": "integer", "question_name": "I", "variable": "i0", "required": False},
    ],
}
WEBHOOK = {"url": "http://127.0.0.1:9/x", "headers": {"X-A": "b"}, "http_method": "POST", "username": "u"}
WEBHOOK |= {"password": "p", "disable_ssl_verification": False}
RULE = "DTSTART:20270101T030000Z RRULE:FREQ=DAILY;INTERVAL=1"

FILES = {"job.yml": "- hosts: all\n", "inventory/hosts.ini": "mac1\n", "roles/r/tests/test.yml": "- hosts: all\n"}

# Differences from AWX, by the case, and why they are right to be there.
DIFFERENT: dict[str, str] = {}


def test_every_recorded_request_gets_the_recorded_answer(
    make_repository: Any, record_property: Callable[[str, object], None]
) -> None:
    cases = recorded("answers")
    counts: Counter[str] = Counter()
    different: dict[str, str] = {}
    with Awx() as awx:
        awx.faults.deletion_seconds = 3600.0
        world = World(awx, str(make_repository(FILES)))
        for number, case in enumerate(cases):
            for prepare in PREPARATIONS.get(case["case"], ()):
                prepare(world)
            status, answer = world.ask(case)
            verdict, text = compare(case, status, answer, world.admin.headers)
            counts[verdict] += 1
            if text:
                different[case["case"]] = f"{number} {case['case']}: {text}"
            world.clean_up(case, status, answer)
    record_property("awx_answers", json.dumps(counts))
    unexpected = [text for case, text in different.items() if case not in DIFFERENT]
    assert not unexpected, "\n".join([f"{len(unexpected)} answers differ:", *unexpected])
    assert sorted(set(DIFFERENT) - set(different)) == [], "these are different no more"
    assert sum(case["status"] >= 400 for case in cases) == 321
    assert sum(counts.values()) == len(cases) == 595


def compare(case: dict[str, Any], status: int, answer: Any, headers: dict[str, str]) -> tuple[str, str]:
    """Return how an answer compares with the recorded one, and in which way it differs."""
    wanted = case.get("answer")
    if status != case["status"]:
        return "different", f"{case['status']} {wanted} was recorded, not {status} {answer}"
    if "www" in case and headers.get("WWW-Authenticate") != case["www"]:
        return "different", f"WWW-Authenticate is {headers.get('WWW-Authenticate')}"
    if status >= 400:
        if wanted == "<html>":
            # A page for people.
            wanted, answer = PAGES[status], re.sub(r"(?s).*<h1>(.*?)</h1>.*", r"\1", str(answer))
        if answer != wanted:
            return "different", f"{status} {wanted} was recorded, not {answer}"
        return "same status and error", ""
    shown = case.get("full", wanted)
    if not isinstance(shown, dict) or not shown:
        return "same status; nothing else was recorded", ""
    wrong = [name for name, value in shown.items() if not _same(name, value, answer.get(name))]
    if wrong:
        texts = [f"{name}: {shown[name]!r} was recorded, not {answer.get(name)!r}" for name in wrong]
        return "different", "; ".join(texts)
    return "same status and answer", ""


# What stands on AWX's pages for people.
PAGES = {404: "Not Found", 500: "Server Error (500)"}

# What depends on the hour, or on what else there is.
VARIES = ("id", "created", "modified", "related", "summary_fields")


def _same(name: str, wanted: Any, answer: Any) -> bool:
    return name in VARIES or wanted == answer


class World:
    """What the recorded requests presume, and how they are asked."""

    def __init__(self, awx: Awx, repository: str) -> None:
        self.awx = awx
        self.admin = awx.admin
        self.repository = repository
        self._make()

    def number(self, kind: str, first: int) -> None:
        self.awx.database.begin_numbers_at(kind, first)

    def _make(self) -> None:
        post, number = self.admin.post, self.number
        number("organization", 3)
        number("role", 57)
        post("organizations", name="Mac Ops", description="d")
        number("organization", 5)
        post("credential_types", name="Parallels store", description="Keys", kind="net", inputs=STORE_INPUTS)
        self.admin.patch("credential_types/31", injectors=STORE_INJECTORS)
        post("credential_types", name="Parallels signing", kind="cloud", inputs=SIGN_INPUTS)
        post(
            "credentials",
            name="store-1",
            credential_type=31,
            organization=3,
            inputs={"access_key": "AK", "secret_key": "SK"},
        )
        post("credentials", name="sign-1", credential_type=32, organization=3, inputs={"sign_key": private_key()})
        post("credentials", name="machine-1", credential_type=1, organization=3, inputs={"username": "u"})
        post("execution_environments", name="EE macops", image="quay.io/x/y:1.0", pull="missing", organization=3)
        post("users", username=BOB[0], password=BOB[1], email="bob@example.com")
        post("users", username="outside", password="password-of-another")
        post("teams", name="T1", organization=3)
        post("labels", name="L1", organization=3)
        post(
            "notification_templates",
            name="N1",
            organization=3,
            notification_type="webhook",
            notification_configuration=WEBHOOK,
        )
        self._make_inventories()
        self._make_templates()

    def _make_inventories(self) -> None:
        post, number = self.admin.post, self.number
        number("inventory", 1)
        post("inventories", name="Demo Inventory", organization=1)
        post("hosts", name="localhost", inventory=1)
        post("inventories", name="I1", organization=3, variables='{"a": 1, "b": [1, 2]}')
        post("hosts", name="mac1", inventory=2, variables='{"ansible_connection": "local"}')
        post("groups", name="macs", inventory=2)
        post("groups/1/hosts", id=2)
        post("inventories", name="I2", organization=3)

    def _make_templates(self) -> None:
        post, number = self.admin.post, self.number
        number("unified_job_template", 9)
        # The numbers are shared by all kinds of templates.
        self.awx.database.begin_numbers_at("project", 9)
        project = {"name": "P1", "organization": 3, "scm_type": "git", "scm_url": self.repository, "scm_branch": "main"}
        post("projects", **project, allow_override=True)
        self.wait_for_project(9)
        # No other project of the recorded requests can be fetched.
        self.awx.faults.project_update = "failed"
        post(
            "inventory_sources",
            name="IS1",
            inventory=3,
            source="scm",
            source_project=9,
            source_path="inventory/hosts.ini",
        )
        number("role", 93)
        template = {"project": 9, "playbook": "job.yml", "inventory": 2, "execution_environment": 3}
        variables = '{"x": 1, "y": {"z": [1]}}'
        post(
            "job_templates",
            name="JT1",
            **template,
            extra_vars=variables,
            ask_variables_on_launch=True,
            survey_enabled=True,
        )
        post("job_templates/11/survey_spec", **JOB_SURVEY)
        for credential in (3, 4, 5):
            post("job_templates/11/credentials", id=credential)
        post("job_templates/11/labels", id=1)
        post("job_templates", name="JT2", **template, ask_limit_on_launch=True, ask_inventory_on_launch=True)
        number("project", 14)
        workflow = {"name": "WF1", "organization": 3, "survey_enabled": True, "ask_variables_on_launch": True}
        post("workflow_job_templates", **workflow)
        post("workflow_job_templates/14/survey_spec", **WORKFLOW_SURVEY)
        answers = {"vm_name": "q", "os": "a"}
        node = {"workflow_job_template": 14, "unified_job_template": 11, "extra_data": answers}
        for identifier in ("a", "b"):
            post("workflow_job_template_nodes", **node, identifier=identifier)
        post("workflow_job_template_nodes", workflow_job_template=14, identifier="appr")
        post("workflow_job_template_nodes", workflow_job_template=14, unified_job_template=12, identifier="d")
        post(
            "workflow_job_template_nodes/3/create_approval_template", name="Approve", description="Please", timeout=900
        )
        for parent, child in ((1, 3), (2, 3), (3, 4)):
            post(f"workflow_job_template_nodes/{parent}/success_nodes", id=child)
        post("schedules", name="S1", unified_job_template=14, rrule=RULE, extra_data={"vm_name": "sched"})

    def wait_for_project(self, number: int) -> None:
        wait_until(lambda: self.admin.get(f"projects/{number}")["status"] == "successful")

    def ask(self, case: dict[str, Any]) -> tuple[int, Any]:
        """Ask what was recorded; of some requests, only what they were about was."""
        if case["case"] in UNWRITTEN:
            return UNWRITTEN[case["case"]](self)
        url = case["url"].replace("job_templates/N/", "/api/v2/job_templates/92/")
        raw = RAW.get(case["case"])
        if raw is not None:
            return self.admin.request(case["method"], url, raw=raw[0], content_type=raw[1])
        return self.admin.request(case["method"], url, body_of(case))

    def clean_up(self, case: dict[str, Any], status: int, answer: Any) -> None:
        """Delete what was made, as was done when it was recorded: the names come again."""
        if case.get("method") == "POST" and status == 201 and case["case"] not in KEPT and "launch" not in case["url"]:
            self.admin.request("DELETE", answer["url"])
            # Whoever recorded it waited until the name was free.
            self.awx.deleted_names.clear()


def body_of(case: dict[str, Any]) -> Any:
    """Return the body of a request: keys and certificates were not recorded, and long texts as their length."""
    makers = KEYS.get(case["case"])

    def filled(value: Any) -> Any:
        if isinstance(value, dict):
            return "x" * value["$x"] if "$x" in value else {name: filled(each) for name, each in value.items()}
        if isinstance(value, list):
            return [filled(each) for each in value]
        if isinstance(value, str) and ("<key>" in value or "<cert>" in value):
            return (makers or private_key)()
        return value

    return filled(copy.deepcopy(case.get("body")))


def private_key(
    form: serialization.PrivateFormat = serialization.PrivateFormat.OpenSSH, passphrase: bytes | None = None
) -> str:
    """Return a new private key."""
    protection = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    key = ed25519.Ed25519PrivateKey.generate()
    return key.private_bytes(serialization.Encoding.PEM, form, protection).decode()


CERTIFICATE = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"

# The keys of the cases that are about their form.
KEYS: dict[str, Callable[[], str]] = {
    "cr ssh key no trailing newline": lambda: private_key().rstrip("\n"),
    "cr ssh key CRLF": lambda: private_key().replace("\n", "\r\n"),
    "cr pem pkcs8": lambda: private_key(serialization.PrivateFormat.PKCS8),
    "cr pem + cert": lambda: private_key(serialization.PrivateFormat.PKCS8) + CERTIFICATE,
    "cr cert only": lambda: CERTIFICATE,
    "cr encrypted key": lambda: private_key(passphrase=b"secret"),
    "cr machine encrypted key w/o unlock": lambda: private_key(passphrase=b"secret"),
}

# Bodies that are no JSON.
RAW = {"malformed json": (b"{bad", "application/json"), "wrong content type": (b"name=x", "text/plain")}

# Made by a request, and needed by a later one.
KEPT = ("jt label by name", "approval neg timeout", "approval", "approval twice")

# Requests of which only the answer was recorded.
UNWRITTEN: dict[str, Callable[[World], tuple[int, Any]]] = {
    "no auth": lambda world: _remembering(world, world.awx.client("", "")),
    "bad password": lambda world: _remembering(world, world.awx.client(ADMIN, "wrong")),
    "bad token": lambda world: _remembering(world, type(world.admin)(world.awx.url, token="wrong")),
    "normal user creates org": lambda world: world.awx.client(*BOB).request(
        "POST", "/api/v2/organizations/", {"name": "x"}
    ),
    "normal user reads foreign credential": lambda world: world.awx.client(*BOB).request(
        "GET", "/api/v2/credentials/3/"
    ),
}


def _remembering(world: World, client: Any) -> tuple[int, Any]:
    found = client.request("GET", "/api/v2/organizations/")
    world.admin.headers = client.headers
    return found


def _second_credentials(world: World) -> None:
    world.number("credential", 25)
    world.admin.post("credentials", name="machine-2", credential_type=1, organization=3, inputs={"username": "u"})
    world.admin.post("credentials", name="store-2", credential_type=31, organization=3, inputs={})


def _without_override(world: World) -> None:
    world.admin.patch("projects/9", allow_override=False)


def _with_override(world: World) -> None:
    world.admin.patch("projects/9", allow_override=True)


def _more_nodes(world: World) -> None:
    world.number("workflow_job_template_node", 17)
    world.admin.post("workflow_job_template_nodes", workflow_job_template=14, unified_job_template=12, identifier="new")
    world.number("project", 68)
    world.admin.post("workflow_job_templates", name="WF2", organization=3)
    world.admin.post(
        "workflow_job_template_nodes", workflow_job_template=68, unified_job_template=12, identifier="other"
    )


def _node_for_approval(world: World) -> None:
    world.number("workflow_job_template_node", 20)
    world.admin.post("workflow_job_template_nodes", workflow_job_template=14, identifier="approval")


def _to_be_deleted(world: World) -> None:
    post = world.admin.post
    world.number("project", 76)
    post("projects", name="Pdel", organization=3, scm_type="git", scm_url="/nowhere", allow_override=True)
    world.number("inventory", 10)
    post("inventories", name="Idel2", organization=3)
    world.number("execution_environment", 14)
    post("execution_environments", name="EEdel", image="a/b:1", organization=3)
    world.number("credential", 27)
    post("credentials", name="Cdel", credential_type=1, organization=3, inputs={"username": "u"})
    post("job_templates", name="JTdel", project=76, playbook="job.yml", inventory=10, execution_environment=14)
    post("job_templates/77/credentials", id=27)
    post("workflow_job_templates", name="WFdel", organization=3)
    post("workflow_job_template_nodes", workflow_job_template=78, unified_job_template=77, identifier="n")


def _template_with_survey(world: World) -> None:
    post = world.admin.post
    world.number("project", 84)
    post("workflow_job_templates", name="WF of the second round", organization=3)
    world.number("project", 92)
    post("job_templates", name="JTs5", project=9, playbook="job.yml", inventory=2, survey_enabled=True)
    post("job_templates/92/survey_spec", **LAUNCHED_SURVEY)


def _lacking_credential(world: World) -> None:
    post = world.admin.post
    world.number("credential", 28)
    post("credentials", name="lacking", credential_type=31, organization=3, inputs={})
    post("job_templates/92/credentials", id=28)


def _asking_credential(world: World) -> None:
    made = world.admin.post(
        "credentials", name="askm-33", credential_type=1, organization=3, inputs={"password": "ASK"}
    )
    world.admin.post("job_templates/92/credentials", id=made["id"])


# What was made in between, without being recorded: before the first case that needs it.
PREPARATIONS: dict[str, tuple[Callable[[World], None], ...]] = {
    "jt second machine cred": (_second_credentials,),
    "jt(no override) playbook unknown": (_without_override,),
    "wf no org ok": (_with_override,),
    "link ok": (_more_nodes,),
    "approval no name": (_node_for_approval,),
    "delete project in use?": (_to_be_deleted,),
    "launch survey, no ask_variables: nothing": (_template_with_survey,),
    "launch cred missing required": (_lacking_credential,),
    "launch ASK": (_asking_credential,),
}
