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
from collections import Counter
from pathlib import Path
from typing import Any

from ..serving import HOST
from ..stand_in import Exchange, StandIn
from .client import Client
from .credential_types import CredentialTypes
from .credentials import Credentials
from .database import Database, Record
from .endpoints import Asked, answer_below
from .fields import Fields
from .filters import Filters
from .injectors import CONTAINER_DIR, Injected, inject
from .installation import ADMIN, PASSWORD, install
from .inventories import Groups, Hosts, Inventories, InventorySources
from .jobs import Jobs
from .kinds import BY_PATH, KINDS, WITHOUT_LIST, Kind, Rules
from .notifications import NotificationTemplates
from .objects import Objects
from .people import Assignments, Roles, Tokens, Users
from .projects import Projects, playbooks_in
from .recorded import options
from .refusals import Refusal, forbidden, no_such_method, no_such_page, not_found, unauthorized
from .rights import Rights
from .schedules import Schedules, preview
from .show import Show
from .templates import ExecutionEnvironments, JobTemplates, Nodes, WorkflowJobTemplates

VERSION = "24.6.2.dev0"
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
        # Inventories by name and organization, and when each was deleted.
        self.deleted_names: dict[tuple[str, int | None], float] = {}
        self.ansible_inventory = str(Path(sys.executable).with_name("ansible-inventory"))
        self.rules: dict[str, Rules] = {kind: Rules(self) for kind in KINDS} | {
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
        self.objects = Objects(self)
        self.control_plane, self.instance_group = install(self)

    def __exit__(self, *unused: Any) -> None:
        self.jobs.work.stop()
        super().__exit__(*unused)
        assert not self.defects, "\n".join(["The stand-in is broken:", *self.defects])

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

    def injected(self, job: Record, private_data_dir: Path, container_dir: str = CONTAINER_DIR) -> list[Injected]:
        """Return what a job gets from each of its credentials, whose files are written into its folder."""
        found = []
        for credential in job.linked("credentials"):
            kind = self.database.get("credential_type", credential["credential_type"])
            if kind is not None and not kind["managed"]:
                parts = (kind["inputs"], kind["injectors"], credential["inputs"])
                found.append(inject(*parts, private_data_dir, container_dir))
        return found

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
                owner = self.database.get("user", token["user"])
                if owner is not None:
                    return owner
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
        """Answer what is not a list of objects."""
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
            return self.objects.create(kind.name, asked.body, asked.user)
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
            return self.objects.delete(record)
        return self.objects.change(record, asked)


class _Redirect(Exception):
    def __init__(self, target: str) -> None:
        super().__init__(target)
        self.target = target
