# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Credentials (AWX 24.6.1, recorded: credential)."""

from __future__ import annotations

import base64
import binascii
import copy
import re
from typing import TYPE_CHECKING, Any

import jsonschema

from .kinds import Change, Rules
from .refusals import Refusal, invalid

if TYPE_CHECKING:
    from .database import Record

ENCRYPTED = "$encrypted$"
OWNERS = ("organization", "user", "team")

# The managed types that tests use, with the numbers that AWX gives them where those are known: name, kind, namespace,
# fields. A field is its name, "secret" where it is one, and its format.
MANAGED_TYPES: dict[int, tuple[str, str, str, tuple[tuple[str, ...], ...]]] = {
    1: (
        "Machine",
        "ssh",
        "ssh",
        (
            ("username",),
            ("password", "secret", "ask"),
            ("ssh_key_data", "secret", "ssh_private_key"),
            ("ssh_public_key_data",),
            ("ssh_key_unlock", "secret", "ask"),
            ("become_method",),
            ("become_username",),
            ("become_password", "secret", "ask"),
        ),
    ),
    2: (
        "Source Control",
        "scm",
        "scm",
        (
            ("username",),
            ("password", "secret"),
            ("ssh_key_data", "secret", "ssh_private_key"),
            ("ssh_key_unlock", "secret"),
        ),
    ),
    3: ("Vault", "vault", "vault", (("vault_password", "secret", "ask"), ("vault_id",))),
    17: ("Insights", "insights", "insights", (("username",), ("password", "secret"))),
    18: (
        "Container Registry",
        "registry",
        "registry",
        (("host",), ("username",), ("password", "secret"), ("verify_ssl", "boolean")),
    ),
    19: (
        "Ansible Galaxy/Automation Hub API Token",
        "galaxy",
        "galaxy_api_token",
        (("url",), ("auth_url",), ("token", "secret")),
    ),
    20: ("GPG Public Key", "cryptography", "gpg_public_key", (("gpg_public_key", "secret"),)),
}
FIRST_CUSTOM_TYPE = 31


def managed_inputs(fields: tuple[tuple[str, ...], ...]) -> dict[str, Any]:
    """Return the inputs of a managed type."""
    found = []
    for name, *marks in fields:
        field: dict[str, Any] = {
            "id": name,
            "label": name.replace("_", " ").capitalize(),
            "type": "boolean" if "boolean" in marks else "string",
        }
        if "secret" in marks:
            field["secret"] = True
        if "ask" in marks:
            field["ask_at_runtime"] = True
        if "ssh_private_key" in marks:
            field.update(format="ssh_private_key", multiline=True)
        found.append(field)
    return {"fields": found}


class Credentials(Rules):
    """What AWX checks of credentials."""

    def check(self, change: Change) -> None:
        old, new, given = change.old, change.new, change.given
        new.setdefault("managed", False)
        if old is None:
            self._check_owner(given)
        elif given.get("credential_type", old["credential_type"]) != old["credential_type"]:
            raise invalid(
                credential_type="You cannot change the credential type of the credential, as it may break the "
                "functionality of the resources using it."
            )
        if "inputs" in given:
            new["inputs"] = self._inputs(old, new)

    def _check_owner(self, given: dict[str, Any]) -> None:
        owners = [name for name in OWNERS if given.get(name)]
        if not owners:
            raise Refusal(400, {"detail": ["Missing 'user', 'team', or 'organization'."]})
        if len(owners) > 1:
            raise Refusal(
                400,
                {
                    "detail": [
                        "Only one of 'user', 'team', or 'organization' should be provided, "
                        f"received {', '.join(owners)} fields."
                    ]
                },
            )

    def _inputs(self, old: Record | None, new: dict[str, Any]) -> dict[str, Any]:
        """Return the inputs to keep: a change replaces all of them, and C($encrypted$) is the secret as it was."""
        inputs = copy.deepcopy(new["inputs"])
        if not isinstance(inputs, dict):
            raise invalid(inputs=f"{type(inputs).__name__} provided, expected dict")
        for name, value in inputs.items():
            if value == ENCRYPTED:
                if old is None or name not in old["inputs"]:
                    raise invalid(inputs=f"{ENCRYPTED} is a reserved keyword, and cannot be used for {name}.")
                inputs[name] = old["inputs"][name]
        kind = self.awx.database.get("credential_type", new["credential_type"])
        assert kind is not None
        check_inputs(kind["inputs"], inputs)
        return inputs

    def show(self, record: Record, body: dict[str, Any]) -> None:
        kind = self.awx.database.get("credential_type", record["credential_type"])
        assert kind is not None
        secret = {field["id"] for field in kind["inputs"].get("fields", []) if field.get("secret")}
        # What waits for an answer at launch is shown.
        body["inputs"] = {
            name: ENCRYPTED if name in secret and value not in ("", "ASK") else value
            for name, value in record["inputs"].items()
        }
        # Types that are not AWX's own have no namespace, so their credentials no kind.
        body["kind"] = kind["namespace"]
        body["cloud"] = kind["kind"] == "cloud"
        body["kubernetes"] = kind["kind"] == "kubernetes"


def check_inputs(type_inputs: dict[str, Any], inputs: dict[str, Any]) -> None:
    """Refuse inputs that do not fit the type. What the type requires may be missing."""
    properties: dict[str, Any] = {}
    for field in type_inputs.get("fields", []):
        properties[field["id"]] = {"type": field.get("type", "string"), "id": field["id"]}
        if "choices" in field:
            properties[field["id"]]["enum"] = field["choices"]
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    wrong: dict[str, list[str]] = {}
    for error in jsonschema.Draft4Validator(schema).iter_errors(inputs):
        if not error.path:
            raise invalid(inputs=error.message)
        wrong[str(error.path[0])] = [error.message]
    for field in type_inputs.get("fields", []):
        name, value = field["id"], inputs.get(field["id"])
        if field.get("format") == "ssh_private_key" and value and name not in wrong:
            problem = key_problem(value)
            if problem:
                wrong[name] = [problem]
            elif name == "ssh_key_data" and is_encrypted(value) and not inputs.get("ssh_key_unlock"):
                wrong["ssh_key_unlock"] = ["must be set when SSH key is encrypted."]
    if wrong:
        raise invalid(inputs=wrong)


_PEM = re.compile(
    r"^(?P<dashes>-{4,})\s*BEGIN\s+(?P<type>[A-Z ]+?)\s*(?P=dashes)\s*(?P<data>.+?)\s*"
    r"(?P=dashes)\s*END\s+(?P=type)\s*(?P=dashes)(?P<next>.*?)$",
    re.DOTALL,
)
_KEY_TYPES = ("RSA", "DSA", "EC", "OPENSSH", "")


def key_problem(text: str) -> str | None:
    """Return what is wrong with a private key, with certificates after it; None when nothing is."""
    rest, keys = text.strip(), 0
    while rest:
        found = _PEM.match(rest)
        if not found:
            return f"Invalid certificate or key: {rest[:100]}..."
        kind = found["type"]
        if kind.endswith("PRIVATE KEY"):
            keys += 1
            algorithm = kind.replace("PRIVATE KEY", "").replace("ENCRYPTED", "").strip()
            if algorithm not in _KEY_TYPES:
                return f'Invalid private key: unsupported type "{algorithm}"'
        elif kind != "CERTIFICATE":
            return f'Unsupported PEM object type: "{kind}"'
        if _bytes_of(found["data"]) is None:
            return "Invalid base64-encoded data"
        rest = found["next"].lstrip()
    return None if keys else "At least one private key is required."


def _bytes_of(data: str) -> bytes | None:
    lines = [line for line in data.splitlines() if ":" not in line]
    try:
        return base64.b64decode("".join(lines).strip())
    except binascii.Error:
        return None


def is_encrypted(text: str) -> bool:
    """Return whether a private key needs a passphrase."""
    found = _PEM.match(text.strip())
    if not found:
        return False
    if "ENCRYPTED" in found["type"] or "ENCRYPTED" in found["data"]:
        return True
    # An OpenSSH key names its cipher after its magic word.
    content = _bytes_of(found["data"]) or b""
    return found["type"].startswith("OPENSSH") and not content.startswith(b"openssh-key-v1\0\0\0\0\4none")
