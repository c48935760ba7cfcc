# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be associated with what, and what AWX says when it cannot (AWX 24.6.1, recorded: associations).

An association is a POST of a number, and its end a POST of the number with "disassociate".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

from .kinds import KINDS
from .refusals import Refusal, forbidden

if TYPE_CHECKING:
    from .database import Record
    from .server import Awx


@dataclasses.dataclass(frozen=True)
class Association:
    """Objects of a kind below an object. C(check) refuses; C(makes) allows a new object in the place of a number."""

    kind: str
    check: Callable[[Awx, Record, Record], None] = lambda awx, record, other: None
    makes: bool = False


def _credential_of_template(awx: Awx, record: Record, other: Record) -> None:
    kind = awx.database.get("credential_type", other["credential_type"])
    assert kind is not None
    if kind["kind"] in ("galaxy", "insights", "registry", "scm", "cryptography"):
        raise Refusal(400, {"error": f"Cannot assign a Credential of kind `{kind['kind']}`."})
    # One of each type, and the one that is there already is one, too; of vaults, one of each ID.
    for there in record.linked("credentials"):
        if there["credential_type"] == other["credential_type"] and kind["kind"] != "vault":
            raise Refusal(400, {"error": f"Cannot assign multiple {kind['name']} credentials."})


def _credential_of_source(_awx: Awx, record: Record, _other: Record) -> None:
    if record.linked("credentials"):
        raise Refusal(400, {"msg": "Source already has credential assigned."})


def _credential_of_node(awx: Awx, record: Record, other: Record) -> None:
    template = awx.database.get("unified_job_template", record["unified_job_template"])
    if template is None or not template["ask_credential_on_launch"]:
        raise Refusal(400, {"msg": "Related template is not configured to accept credentials on launch."})
    _credential_of_template(awx, record, other)


def _same_inventory(_awx: Awx, record: Record, other: Record) -> None:
    if record["inventory"] != other["inventory"]:
        raise Refusal(400, {"detail": "Cannot associate two items from different inventories."})


def _child_group(awx: Awx, record: Record, other: Record) -> None:
    _same_inventory(awx, record, other)
    if record is other or record in below(other, ("children",)):
        raise Refusal(400, {"error": "Cyclical Group association."})


def below(record: Record, links: tuple[str, ...]) -> set[Record]:
    """Return all objects that can be reached from one."""
    found: set[Record] = set()
    rest = [record]
    while rest:
        one = rest.pop()
        new = [other for link in links for other in one.linked(link) if other not in found]
        found.update(new)
        rest += new
    return found


NODE_LINKS = ("success_nodes", "failure_nodes", "always_nodes")


def _linked_node(link: str) -> Callable[[Awx, Record, Record], None]:
    def check(_awx: Awx, record: Record, other: Record) -> None:
        if record["workflow_job_template"] != other["workflow_job_template"]:
            raise forbidden()
        if record is other or record in below(other, NODE_LINKS):
            raise Refusal(400, {"Error": "Cycle detected."})
        if any(other in record.linked(each) for each in NODE_LINKS if each != link):
            raise Refusal(400, {"Error": "Relationship not allowed."})

    return check


def _notifications(*events: str) -> dict[str, Association]:
    return {f"notification_templates_{event}": Association("notification_template", makes=True) for event in events}


_STARTED = ("started", "success", "error")

# By the kind of the object, what is below it.
ASSOCIATIONS: dict[str, dict[str, Association]] = {
    "organization": {
        "galaxy_credentials": Association("credential"),
        "instance_groups": Association("instance_group"),
        **_notifications(*_STARTED, "approvals"),
    },
    "inventory": {"instance_groups": Association("instance_group"), "labels": Association("label", makes=True)},
    "group": {
        "hosts": Association("host", _same_inventory, makes=True),
        "children": Association("group", _child_group, makes=True),
    },
    "project": _notifications(*_STARTED),
    "inventory_source": {"credentials": Association("credential", _credential_of_source), **_notifications(*_STARTED)},
    "job_template": {
        "credentials": Association("credential", _credential_of_template, makes=True),
        "labels": Association("label", makes=True),
        "instance_groups": Association("instance_group"),
        **_notifications(*_STARTED),
    },
    "workflow_job_template": {
        "labels": Association("label", makes=True),
        **_notifications(*_STARTED, "approvals"),
    },
    "workflow_job_template_node": {
        "credentials": Association("credential", _credential_of_node),
        "labels": Association("label", makes=True),
        "instance_groups": Association("instance_group"),
        **{link: Association("workflow_job_template_node", _linked_node(link), makes=True) for link in NODE_LINKS},
    },
    "schedule": {
        "credentials": Association("credential", _credential_of_template),
        "labels": Association("label", makes=True),
        "instance_groups": Association("instance_group"),
    },
}


def matching(kind: str) -> Refusal:
    """Return the refusal of a number that no object has."""
    return Refusal(400, {"detail": f"{KINDS[kind].model} matching query does not exist."})
