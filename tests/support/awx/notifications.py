# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Notification templates (AWX 24.6.1, recorded: notification template)."""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any

from jinja2 import StrictUndefined, TemplateSyntaxError
from jinja2.exceptions import UndefinedError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from .kinds import Change, Rules
from .refusals import Refusal, invalid, invalid_whole

if TYPE_CHECKING:
    from .database import Record

ENCRYPTED = "$encrypted$"
TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "bool": (bool,),
    "list": (list,),
    "object": (dict,),
    "string": (str,),
}

# What each type of notification must be given, in the order in which AWX names it; and what else it knows.
CONFIGURATIONS: dict[str, tuple[str, str]] = {
    "email": (
        "host:string port:int username:string password:secret use_tls:bool use_ssl:bool sender:string recipients:list",
        "timeout:int",
    ),
    "slack": ("token:secret channels:list", "hex_color:string"),
    "twilio": ("account_sid:string account_token:secret from_number:string to_numbers:list", ""),
    "pagerduty": ("subdomain:string token:secret service_key:string client_name:string", ""),
    "grafana": (
        "grafana_url:string grafana_key:secret",
        "dashboardId:int panelId:int annotation_tags:list grafana_no_verify_ssl:bool isRegion:bool",
    ),
    "webhook": (
        "url:string headers:object",
        "http_method:string username:string password:secret disable_ssl_verification:bool",
    ),
    "mattermost": (
        "mattermost_url:string mattermost_no_verify_ssl:bool",
        "mattermost_username:string mattermost_channel:string mattermost_icon_url:string",
    ),
    "rocketchat": (
        "rocketchat_url:string rocketchat_no_verify_ssl:bool",
        "rocketchat_username:string rocketchat_icon_url:string",
    ),
    "irc": ("server:string port:int nickname:string password:secret use_ssl:bool targets:list", ""),
    "awssns": ("", "aws_region:string aws_access_key_id:string aws_secret_access_key:secret sns_topic_arn:string"),
}
EVENTS = ("started", "success", "error", "workflow_approval")
APPROVAL_EVENTS = ("running", "approved", "timed_out", "denied")

# What the texts of messages may use.
MESSAGE_FIELDS: dict[str, Any] = {
    "job": dict.fromkeys(
        [
            "allow_simultaneous",
            "artifacts",
            "controller_node",
            "created",
            "custom_virtualenv",
            "description",
            "diff_mode",
            "elapsed",
            "execution_node",
            "failed",
            "finished",
            "force_handlers",
            "forks",
            "host_status_counts",
            "id",
            "job_explanation",
            "job_slice_count",
            "job_slice_number",
            "job_tags",
            "job_type",
            "launch_type",
            "limit",
            "modified",
            "name",
            "playbook",
            "scm_branch",
            "scm_revision",
            "skip_tags",
            "start_at_task",
            "started",
            "status",
            "summary_fields",
            "timeout",
            "type",
            "url",
            "use_fact_cache",
            "verbosity",
        ],
        "x",
    ),
    "job_friendly_name": "Job",
    "url": "https://example.com",
    "approval_status": "approved",
    "approval_node_name": "Approve",
    "workflow_url": "https://example.com",
    "job_metadata": "{}",
}


def _fields(text: str) -> dict[str, str]:
    return dict(part.split(":") for part in text.split())


class NotificationTemplates(Rules):
    """What AWX checks of notification templates."""

    def check(self, change: Change) -> None:
        new = change.new
        configuration = copy.deepcopy(new["notification_configuration"])
        required, others = map(_fields, CONFIGURATIONS[new["notification_type"]])
        missing = [name for name in required if name not in configuration]
        if missing:
            raise invalid_whole(f"Missing required fields for Notification Configuration: {missing}.")
        for name, kind in (required | others).items():
            if name in configuration:
                self._check_value(change, configuration, name, kind)
        method = configuration.get("http_method", "POST")
        if new["notification_type"] == "webhook" and str(method).lower() not in ("put", "post"):
            raise invalid_whole("HTTP method must be either 'POST' or 'PUT'.")
        new["notification_configuration"] = configuration
        if "messages" in change.given:
            new["messages"] = checked_messages(new["messages"])

    def _check_value(self, change: Change, configuration: dict[str, Any], name: str, kind: str) -> None:
        value = configuration[name]
        if kind == "secret":
            if value == ENCRYPTED and change.old is not None:
                configuration[name] = change.old["notification_configuration"].get(name, "")
            return
        if not isinstance(value, TYPES[kind]) or (kind == "int" and isinstance(value, bool)):
            raise invalid_whole(f"Configuration field '{name}' incorrect type, expected {kind}.")
        if kind == "list" and not value:
            raise invalid_whole(f"No values specified for field '{name}'")

    def show(self, record: Record, body: dict[str, Any]) -> None:
        required, others = map(_fields, CONFIGURATIONS[record["notification_type"]])
        body["notification_configuration"] = {
            name: ENCRYPTED if (required | others).get(name) == "secret" and value else value
            for name, value in record["notification_configuration"].items()
        }


def checked_messages(messages: Any) -> Any:
    """Return messages as AWX keeps them; raise a Refusal for wrong ones."""
    if messages is None:
        return None
    if not isinstance(messages, dict):
        # AWX has no answer to this.
        raise Refusal(500, None)
    for event, texts in messages.items():
        if event not in EVENTS:
            raise invalid(messages=f"Event '{event}' invalid, must be one of {_named(EVENTS)}")
        if event != "workflow_approval":
            _check_texts(event, texts)
            continue
        for step, step_texts in (texts or {}).items():
            if step not in APPROVAL_EVENTS:
                raise invalid(
                    messages=f"Workflow Approval event '{step}' invalid, must be one of {_named(APPROVAL_EVENTS)}"
                )
            _check_texts(step, step_texts)
    return {event: messages.get(event) for event in EVENTS}


def _named(events: tuple[str, ...]) -> str:
    return ", ".join(f"'{event}'" for event in events[:-1]) + f", or '{events[-1]}'"


def _check_texts(event: str, texts: dict[str, str] | None) -> None:
    for part, text in (texts or {}).items():
        if part == "message" and "\n" in (text or ""):
            raise invalid(messages=f"Messages cannot contain newlines (found newline in {event} event)")
        try:
            ImmutableSandboxedEnvironment(undefined=StrictUndefined).from_string(text or "").render(MESSAGE_FIELDS)
        except TemplateSyntaxError as error:
            raise invalid(messages=f"Unable to render message '{text}': {error.message}") from error
        except UndefinedError as error:
            name = re.search(r"'([^']*)'(?: is undefined|$)", str(error))
            raise invalid(messages=f"Field '{name.group(1) if name else error}' unavailable") from error
