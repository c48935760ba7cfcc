# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in itself: requests, who asks, and the objects that they make, change and delete (AWX 24.6.1, recorded)."""

from __future__ import annotations

import base64
import binascii
import copy
import dataclasses
import json
import re
import secrets
import sys
import time
import traceback
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

from ..serving import HOST
from ..stand_in import Exchange, StandIn
from .client import Client
from .credential_types import CredentialTypes
from .credentials import FIRST_CUSTOM_TYPE, MANAGED_TYPES, Credentials, managed_inputs
from .database import Database, Record
from .endpoints import Asked, answer_below
from .fields import Fields, referred_kind
from .filters import Filters
from .inventories import Groups, Hosts, Inventories, InventorySources
from .jobs import Jobs
from .kinds import BY_PATH, KINDS, WITHOUT_LIST, Change, Kind, Rules
from .notifications import NotificationTemplates
from .people import ROLE_DEFINITIONS, Assignments, Roles, Tokens, Users
from .projects import Projects, playbooks_in
from .recorded import options
from .refusals import Refusal, forbidden, no_such_method, no_such_page, not_found, unauthorized
from .rights import Rights
from .schedules import Schedules, preview
from .show import Show
from .templates import ExecutionEnvironments, JobTemplates, Nodes, WorkflowJobTemplates

VERSION = "24.6.2.dev0"
ADMIN, PASSWORD = "admin", "admin-password-of-the-tests"
PAGE = (
    '\n<!doctype html>\n<html lang="en">\n<head>\n  <title>{0}</title>\n</head>\n<body>\n'
    "  <h1>{0}</h1><p>{1}</p>\n</body>\n</html>\n"
)
PAGES = {
    404: PAGE.format("Not Found", "The requested resource was not found on this server."),
    403: PAGE.format("403 Forbidden", "CSRF verification failed. Request aborted."),
    500: PAGE.format("Server Error (500)", ""),
}
REALM = "Bearer realm=api authorization_url=/api/o/authorize/"
NOT_JSON = (
    "You did not use correct Content-Type in your HTTP request. If you are using our REST API, the Content-Type must "
    "be application/json"
)
# The kinds that go with an object that is deleted; all others that refer to it are set to null.
GO_WITH = {
    "organization": ("credential", "team", "execution_environment", "notification_template", "label"),
    "inventory": ("host", "group", "inventory_source"),
    "workflow_job_template": ("workflow_job_template_node", "schedule"),
    "job_template": ("schedule",),
    "project": ("schedule",),
    "inventory_source": ("schedule",),
    "user": ("token",),
    "role_definition": ("role_user_assignment", "role_team_assignment"),
}
# Jobs keep what they were made from.
KEPT_BY_JOBS = ("job", "project_update", "inventory_update", "workflow_job", "workflow_approval", "workflow_job_node")
# Kinds of which AWX does not say who made them.
WITHOUT_MAKER = ("user", "workflow_job_template_node")
# Kinds whose detail has methods that no OPTIONS was recorded of.
READ_ONLY = {"GET", "HEAD", "OPTIONS"}


@dataclasses.dataclass
class Faults:
    """What can go wrong. Each may be changed while the stand-in runs."""

    # How an update of a project ends: None (well), "failed", "error", or "hangs" until it is canceled.
    project_update: str | None = None
    # How an update of an inventory ends: None (well), "failed" or "error".
    inventory_update: str | None = None
    # What the header says; None leaves it out.
    version: str | None = VERSION
    # Seconds before each answer.
    delay: float = 0.0
    # Answers in the place of others: a method, a pattern of the path, and a status.
    statuses: list[tuple[str, str, int]] = dataclasses.field(default_factory=list)
    # Seconds until the name of a deleted inventory is free again.
    deletion_seconds: float = 1.0


class Awx(StandIn):
    """A running stand-in of AWX, as it is right after its installation.

    C(url) is where it answers. C(admin) is a client with all rights, C(client) one of another user. C(faults) says what
    goes wrong. C(summary) sums the requests up.
    """

    def __init__(self) -> None:
        super().__init__(tls=False)
        self.url = f"http://{HOST}:{self.port}"
        self.faults = Faults()
        self.database = Database()
        self.rights = Rights(self.database)
        self.show = Show(self)
        self.filters = Filters(self)
        self.jobs = Jobs(self)
        # What the stand-in could not answer, since it is wrong itself.
        self.defects: list[str] = []
        self.deleted_names: dict[tuple[str, int | None], float] = {}
        self.ansible_inventory = str(Path(sys.executable).with_name("ansible-inventory"))
        self.rules: dict[str, Rules] = {
            "credential_type": CredentialTypes(self),
            "credential": Credentials(self),
            "execution_environment": ExecutionEnvironments(self),
            "project": Projects(self),
            "inventory": Inventories(self),
            "host": Hosts(self),
            "group": Groups(self),
            "inventory_source": InventorySources(self),
            "job_template": JobTemplates(self),
            "workflow_job_template": WorkflowJobTemplates(self),
            "workflow_job_template_node": Nodes(self),
            "schedule": Schedules(self),
            "notification_template": NotificationTemplates(self),
            "user": Users(self),
            "role": Roles(self),
            "token": Tokens(self),
            "role_user_assignment": Assignments(self, "user"),
            "role_team_assignment": Assignments(self, "team"),
        }
        self._settings = {
            name: copy.deepcopy(field.get("default")) for name, field in options("settings/all")["PUT"].items()
        }
        self._install()

    def __exit__(self, *unused: Any) -> None:
        self.jobs.stop()
        super().__exit__(*unused)
        assert not self.defects, "\n".join(["The stand-in is broken:", *self.defects])

    def _install(self) -> None:
        """Make what an AWX has before anybody configures it."""
        add = self._add
        self.admin_user = add("user", username=ADMIN, password=PASSWORD, is_superuser=True, email="admin@example.com")
        default = add(
            "organization", name="Default", description="The default organization for Ansible Automation Platform"
        )
        for number, (name, kind, namespace, fields) in MANAGED_TYPES.items():
            self.database.begin_numbers_at("credential_type", number)
            inputs = managed_inputs(fields)
            add("credential_type", name=name, kind=kind, namespace=namespace, managed=True, inputs=inputs, injectors={})
        self.database.begin_numbers_at("credential_type", FIRST_CUSTOM_TYPE)
        image = "quay.io/ansible/awx-ee:latest"
        add("execution_environment", name="AWX EE (latest)", image=image, managed=False, pull="")
        self.control_plane = add(
            "execution_environment", name="Control Plane Execution Environment", image=image, managed=True, pull=""
        )
        add("instance_group", name="controlplane")
        self.instance_group = add("instance_group", name="default", is_container_group=False)
        machine = self.database.one("credential_type", name="Machine")
        galaxy = self.database.one("credential_type", kind="galaxy")
        add(
            "credential",
            name="Demo Credential",
            credential_type=machine.id,
            inputs={"username": "admin"},
            organization=None,
        )
        token = add(
            "credential",
            name="Ansible Galaxy",
            credential_type=galaxy.id,
            inputs={"url": "https://galaxy.ansible.com/"},
            organization=None,
            managed=True,
        )
        default.linked("galaxy_credentials").append(token)
        for number, (name, kind, field) in ROLE_DEFINITIONS.items():
            self.database.begin_numbers_at("role_definition", number)
            content_type = f"awx.{kind.replace('_', '')}"
            add("role_definition", name=name, managed=True, of_kind=kind, field=field, content_type=content_type)
        # The templates of AWX's own housekeeping come first.
        self.database.begin_numbers_at("unified_job_template", 5)

    def _add(self, kind: str, /, **values: Any) -> Record:
        """Keep an object, with the fields that are not given as AWX has them."""
        fields = self._fields(KINDS[kind], "POST").defaults()
        record = self.database.add(kind, **{**fields, **values, "ansible_id": str(uuid.uuid4())})
        self.rights.add_roles(record)
        return record

    # What tests use

    def client(self, username: str, password: str) -> Client:
        """Return a client of a user."""
        return Client(self.url, username, password)

    @property
    def admin(self) -> Client:
        """A client with all rights."""
        return self.client(ADMIN, PASSWORD)

    def summary(self) -> dict[tuple[str, str, int | None], int]:
        """Return how often each endpoint was asked, and with which status: numbers of objects are an N."""
        with self.lock:
            seen = list(self.seen)
        return dict(Counter((method, re.sub(r"/\d+(?=/)", "/N", path), status) for method, path, status in seen))

    def printed_summary(self) -> str:
        """Return the summary as a table for people."""
        rows = sorted(self.summary().items(), key=lambda row: (row[0][1], row[0][0]))
        return "\n".join(f"{count:5} {method:7} {path} {status}" for (method, path, status), count in rows)

    def checkout(self, project: Record) -> Path:
        """Return the folder with the files of a project."""
        return self.root / "projects" / str(project["local_path"])

    def playbooks(self, project: Record) -> list[str]:
        """Return the playbooks that a project offers."""
        return playbooks_in(self.checkout(project)) if project["scm_revision"] else []

    # Requests

    def answer(self, exchange: Exchange) -> None:
        if self.faults.delay:
            time.sleep(self.faults.delay)
        body = exchange.body()
        try:
            for method, pattern, status in self.faults.statuses:
                if method == exchange.method and re.search(pattern, exchange.path):
                    raise Refusal(status, None)
            with self.lock:
                status, content = self._answer(exchange, body)
        except Refusal as refusal:
            status, content = refusal.status, refusal.body
        except _Redirect as redirect:
            exchange.send(301, self._headers({"Location": redirect.target}))
            return
        except Exception:  # a defect of the stand-in, which the test that met it is to show
            self.defects.append(f"{exchange.method} {exchange.path}\n{traceback.format_exc()}")
            status, content = 500, None
        headers = {"WWW-Authenticate": REALM} if status == 401 else {}
        if content is None:
            page = PAGES.get(status, PAGE.format(status, "")).encode()
            exchange.send(status, self._headers({"Content-Type": "text/html; charset=utf-8", **headers}), page)
        elif content == b"":
            exchange.send(status, self._headers(headers))
        else:
            exchange.json(status, content, self._headers(headers))

    def _headers(self, headers: dict[str, str]) -> dict[str, str]:
        own = {"X-API-Product-Name": "AWX", "X-API-Node": "awx-1"}
        if self.faults.version is not None:
            own["X-API-Product-Version"] = self.faults.version
        return {**own, **headers}

    def _answer(self, exchange: Exchange, content: bytes) -> tuple[int, Any]:
        path = exchange.path
        if not path.startswith("/api/"):
            raise Refusal(404 if exchange.method == "GET" else 403, None)
        if not path.endswith("/"):
            raise _Redirect(exchange.raw_path + "/")
        parts = path.strip("/").split("/")
        if parts == ["api"]:
            return 200, {
                "current_version": "/api/v2/",
                "available_versions": {"v2": "/api/v2/"},
                "description": "AWX REST API",
            }
        if parts[1] != "v2":
            raise no_such_page()
        if parts[2:] == ["ping"]:
            return 200, {
                "ha": False,
                "version": self.faults.version,
                "active_node": "awx-1",
                "install_uuid": "",
                "instances": [],
                "instance_groups": [],
            }
        user = self._user(exchange)
        body = self._body(exchange, content)
        return self._route(parts[2:], Asked(exchange.method, body, exchange.query, path, user))

    def _user(self, exchange: Exchange) -> Record:
        """Return who asks. A wrong password and a wrong token get the same answer as none."""
        scheme, _space, given = exchange.headers.get("Authorization", "").partition(" ")
        if scheme == "Basic":
            try:
                name, _colon, password = base64.b64decode(given).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError) as error:
                raise unauthorized() from error
            for user in self.database.find("user", username=name):
                if secrets.compare_digest(str(user["password"]), password):
                    return user
        elif scheme == "Bearer":
            for token in self.database.find("token", token=given):
                user = self.database.get("user", token["user"])
                if user is not None:
                    return user
        raise unauthorized()

    def _body(self, exchange: Exchange, content: bytes) -> dict[str, Any]:
        if exchange.method not in ("POST", "PUT", "PATCH") or not content:
            return {}
        if not exchange.headers.get("Content-Type", "").startswith("application/json"):
            raise Refusal(415, {"detail": NOT_JSON})
        try:
            body = json.loads(content)
        except ValueError as error:
            raise Refusal(400, {"detail": f"JSON parse error - {error}\nPossible cause: trailing comma."}) from error
        if not isinstance(body, dict):
            raise Refusal(400, {"detail": "JSON parse error - not a JSON object"})
        return body

    def _route(self, parts: list[str], asked: Asked) -> tuple[int, Any]:
        if not parts:
            return 200, {kind.path: f"/api/v2/{kind.path}/" for kind in KINDS.values() if kind.name not in WITHOUT_LIST}
        special = self._special(parts, asked)
        if special is not None:
            return special
        kind = BY_PATH.get(parts[0])
        if kind is None or (len(parts) == 1 and kind.name in WITHOUT_LIST):
            raise no_such_page()
        if asked.method == "OPTIONS":
            return self._options("/".join("N" if part.isdigit() else part for part in parts))
        if len(parts) == 1:
            return self._list(kind, asked)
        record = self._find(kind, parts[1])
        if len(parts) == 2:
            return self._detail(record, asked)
        if not self.rights.may_read(asked.user, record):
            raise forbidden()
        found = answer_below(self, record, "/".join(parts[2:]), asked)
        if found is None:
            raise no_such_page()
        return found

    def _special(self, parts: list[str], asked: Asked) -> tuple[int, Any] | None:
        """Answer of what is no list of objects."""
        path = "/".join(parts)
        if path == "me":
            return 200, self.filters.answer("user", [asked.user], asked.query, asked.path, asked.user)
        if path == "config":
            return 200, {"version": self.faults.version, "license_info": {"license_type": "open"}, "time_zone": "UTC"}
        if path in ("settings/all", "settings/jobs", "settings/system"):
            return self._answer_settings(path, asked)
        if path == "schedules/preview":
            if asked.method != "POST":
                raise no_such_method(asked.method)
            return 200, preview(asked.body)
        return None

    def _options(self, endpoint: str) -> tuple[int, Any]:
        known = options(endpoint)
        actions = {method: known[method] for method in ("POST", "PUT") if method in known}
        return 200, {"name": known.get("name", ""), "actions": actions}

    def _answer_settings(self, path: str, asked: Asked) -> tuple[int, Any]:
        if not asked.user["is_superuser"]:
            raise forbidden()
        known = options(path)["PUT"]
        if asked.method == "PATCH":
            # Unknown names, and those that cannot be changed, are ignored.
            self._settings |= Fields(path, known, self.database).read(asked.body, partial=True)
        elif asked.method != "GET":
            raise no_such_method(asked.method)
        return 200, {name: self._settings[name] for name in known}

    def _find(self, kind: Kind, name: str) -> Record:
        """Return the object that a number or a named URL means."""
        if name.isdigit():
            found = self.database.get(kind.name, int(name))
        else:
            own, *organizations = name.split("++")
            matching = self.database.find(kind.name, **{"username" if kind.name == "user" else "name": own})
            for organization in organizations:
                ids = [record.id for record in self.database.find("organization", name=organization)]
                matching = [record for record in matching if record["organization"] in ids]
            found = matching[0] if matching else None
        if found is None:
            raise not_found(kind.model)
        return found

    def _list(self, kind: Kind, asked: Asked) -> tuple[int, Any]:
        allowed = options(kind.path).get("allow", ["GET"])
        if asked.method not in allowed:
            raise no_such_method(asked.method)
        if asked.method == "POST":
            return self.create(kind.name, asked.body, asked.user)
        records = [record for record in self.database.all(kind.name) if self.rights.may_read(asked.user, record)]
        if kind.name == "unified_job_template" and "type" not in asked.query:
            records = [record for record in records if record.kind != "workflow_approval_template"]
        return 200, self.filters.answer(kind.name, records, asked.query, asked.path, asked.user)

    def _detail(self, record: Record, asked: Asked) -> tuple[int, Any]:
        kind = KINDS[record.kind]
        allowed = set(options(f"{kind.path}/N").get("allow") or options(kind.path).get("allow", READ_ONLY))
        if not options(f"{kind.path}/N"):
            allowed = (allowed - {"POST"}) | ({"DELETE", "PATCH", "PUT"} if "POST" in allowed else set())
        if asked.method not in allowed | READ_ONLY:
            raise no_such_method(asked.method)
        if not self.rights.may_read(asked.user, record):
            raise forbidden()
        if asked.method in ("GET", "HEAD"):
            return 200, self.show(record, asked.user)
        if not self.rights.may_change(asked.user, record):
            raise forbidden()
        if asked.method == "DELETE":
            return self._delete(record)
        return self._change(record, asked)

    # Objects

    def _fields(self, kind: Kind, method: str) -> Fields:
        known = options(f"{kind.path}/N").get(method) or options(kind.path).get("POST", {})
        if method == "POST":
            known = options(kind.path).get("POST", {})
        return Fields(kind.path, known, self.database)

    def create(self, kind_name: str, body: dict[str, Any], user: Record, allowed: bool = False) -> tuple[int, Any]:
        """Make an object, and return the answer to it."""
        kind = KINDS[kind_name]
        if not allowed:
            self.rights.check_creation(user, kind_name, body)
        fields = self._fields(kind, "POST")
        given = fields.read(body)
        new = fields.defaults() | given
        change = Change(None, new, given, body, user)
        if kind_name == "token":
            return 201, self._new_token(user, given)
        self._check_unique(kind, new, None)
        rules = self.rules.get(kind_name)
        if rules:
            rules.check(change)
        self._check_unique(kind, new, None)
        if kind_name not in WITHOUT_MAKER:
            new |= {"created_by": user.id, "modified_by": user.id}
        record = self.database.add(kind_name, **{**new, "ansible_id": str(uuid.uuid4())})
        self.rights.add_roles(record)
        if kind_name == "credential" and record["user"] is None and not user["is_superuser"]:
            record["roles"]["admin_role"].linked("users").append(user)
        if rules:
            rules.made(record, change)
        return 201, self.show(record, user, detail=False)

    def _new_token(self, user: Record, given: dict[str, Any]) -> dict[str, Any]:
        value = secrets.token_urlsafe(22)[:30]
        record = self.database.add(
            "token",
            description=given.get("description", ""),
            user=user.id,
            token=value,
            refresh_token=None,
            application=given.get("application"),
            expires="3026-03-30T22:30:20.015586Z",
            scope=given.get("scope", "write"),
        )
        # It is shown once.
        return {**self.show(record, user), "token": value}

    def _check_unique(self, kind: Kind, new: dict[str, Any], record: Record | None) -> None:
        unique = kind.unique
        if unique is None or any(new.get(name) is None for name in unique.fields):
            return
        same = self.database.find(kind.name, **{name: new[name] for name in unique.fields})
        if any(other is not record for other in same):
            raise Refusal(400, {unique.key: [unique.text]})

    def _change(self, record: Record, asked: Asked) -> tuple[int, Any]:
        kind = KINDS[record.kind]
        fields = self._fields(kind, "PUT")
        given = fields.read(asked.body, partial=asked.method == "PATCH")
        if record.kind == "workflow_job_template_node" and "workflow_job_template" in asked.body:
            given["workflow_job_template"] = asked.body["workflow_job_template"]
        new = {**record.values, **given}
        if asked.method == "PUT":
            new = {**record.values, **fields.defaults(), **given}
        change = Change(record, new, given, asked.body, asked.user)
        rules = self.rules.get(record.kind)
        if rules:
            rules.check(change)
        self._check_unique(kind, new, record)
        before = dict(record.values)
        record.values.update(new)
        record["modified_by"] = asked.user.id
        if rules:
            change.body = {f"before {name}": value for name, value in before.items()}
            rules.changed(record, change)
        return 200, self.show(record, asked.user)

    def _delete(self, record: Record) -> tuple[int, Any]:
        rules = self.rules.get(record.kind)
        if rules:
            rules.check_removal(record)
        running = [
            job for job in self.database.all("unified_job") if job is record and job["status"] in ("pending", "running")
        ]
        if running:
            raise forbidden("Cannot delete running job resource.")
        self._forget(record)
        return (202, {}) if record.kind == "inventory" else (204, b"")

    def _forget(self, record: Record) -> None:
        rules = self.rules.get(record.kind)
        if rules:
            rules.removed(record)
        self.rights.remove_roles(record)
        self.database.remove(record)
        going = GO_WITH.get(record.kind, ())
        for kind in KINDS:
            if kind in ("unified_job", "unified_job_template") or kind in KEPT_BY_JOBS:
                continue
            for other in self.database.all(kind):
                names = [name for name in other.values if self._refers(other, name, record)]
                if names and kind in going:
                    self._forget(other)
                    continue
                for name in names:
                    other[name] = None

    def _refers(self, other: Record, name: str, record: Record) -> bool:
        if isinstance(other[name], bool) or other[name] != record.id or name in ("created_by", "modified_by"):
            return False
        kind = referred_kind(name)
        return kind == record.kind or (
            kind == "unified_job_template"
            and self.database.get(kind, other[name]) is None
            and record.kind in _TEMPLATES
        )


_TEMPLATES = (
    "project",
    "inventory_source",
    "job_template",
    "workflow_job_template",
    "workflow_approval_template",
)


class _Redirect(Exception):
    def __init__(self, target: str) -> None:
        super().__init__(target)
        self.target = target
