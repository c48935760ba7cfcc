# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an AWX has before anybody configures it (AWX 24.6.1, recorded)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .credentials import FIRST_CUSTOM_TYPE, MANAGED_TYPES, managed_inputs
from .people import ROLE_DEFINITIONS

if TYPE_CHECKING:
    from .database import Record
    from .server import Awx

ADMIN, PASSWORD = "admin", "admin-password-of-the-tests"


def install(awx: Awx) -> tuple[Record, Record]:
    """Make it; return the execution environment of updates, and the instance group of jobs."""
    database, add = awx.database, awx.objects.add
    add("user", username=ADMIN, password=PASSWORD, is_superuser=True, email="admin@example.com")
    default = add(
        "organization", name="Default", description="The default organization for Ansible Automation Platform"
    )
    for number, (name, kind, namespace, fields) in MANAGED_TYPES.items():
        database.begin_numbers_at("credential_type", number)
        inputs = managed_inputs(fields)
        add("credential_type", name=name, kind=kind, namespace=namespace, managed=True, inputs=inputs, injectors={})
    database.begin_numbers_at("credential_type", FIRST_CUSTOM_TYPE)
    image = "quay.io/ansible/awx-ee:latest"
    add("execution_environment", name="AWX EE (latest)", image=image, managed=False, pull="")
    control_plane = add(
        "execution_environment", name="Control Plane Execution Environment", image=image, managed=True, pull=""
    )
    add("instance_group", name="controlplane")
    instance_group = add("instance_group", name="default", is_container_group=False)
    machine = database.one("credential_type", name="Machine")
    galaxy = database.one("credential_type", kind="galaxy")
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
        database.begin_numbers_at("role_definition", number)
        content_type = f"awx.{kind.replace('_', '')}"
        add("role_definition", name=name, managed=True, of_kind=kind, field=field, content_type=content_type)
    # The templates of AWX's own housekeeping come first.
    database.begin_numbers_at("unified_job_template", 5)
    return control_plane, instance_group
