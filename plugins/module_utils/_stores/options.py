# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The options of a store: the same in every module, as the documentation fragment C(_store) says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ansible.module_utils.common.text.formatters import human_to_bytes

from .._common.errors import TaskError
from .._common.retry import Retries
from .base import Store, StoreOptions
from .registry import open_store

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

MOST_CONCURRENCY = 32

# The one list of these options. A unit test holds against it the dataclass StoreOptions, the documentation fragment,
# the variables of the role image_store, and the guide.
STORE_ARGUMENTS: dict[str, dict[str, Any]] = {
    "destination": {"type": "str", "required": True},
    "username": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "token": {"type": "str", "no_log": True},
    "ca_path": {"type": "path"},
    "proxy": {"type": "str", "no_log": True},
    "part_size": {"type": "str"},
    "concurrency": {"type": "int"},
    "rate_limit": {"type": "str"},
    "timeout": {"type": "int", "default": 60},
    "retries": {"type": "int", "default": 4},
    "https_method": {"type": "str", "choices": ["auto", "webdav", "artifactory", "nexus", "put"], "default": "auto"},
    "endpoint_url": {"type": "str"},
    "access_key": {"type": "str", "no_log": False},
    "secret_key": {"type": "str", "no_log": True},
    "session_token": {"type": "str", "no_log": True},
    "region": {"type": "str"},
    "s3_storage_class": {"type": "str"},
    "s3_acl": {"type": "str"},
    "s3_encryption": {"type": "str", "choices": ["AES256", "aws:kms"]},
    "s3_kms_key_id": {"type": "str", "no_log": False},
    "s3_tags": {"type": "dict"},
    "s3_checksum": {"type": "str", "choices": ["auto", "sha256", "crc32", "none"], "default": "auto"},
    "account_key": {"type": "str", "no_log": True},
    "sas_token": {"type": "str", "no_log": True},
    "azblob_tier": {"type": "str", "choices": ["Hot", "Cool", "Cold"]},
    "private_key_path": {"type": "path", "no_log": False},
    "private_key_passphrase": {"type": "str", "no_log": True},
    "known_hosts_path": {"type": "path"},
    "tenant_id": {"type": "str"},
    "client_id": {"type": "str"},
    "client_secret": {"type": "str", "no_log": True},
}

# For those who use the store, not for the store itself.
_NOT_OF_THE_STORE = {"destination", "retries"}
# Turned into numbers or texts; all others are handed to the stores as they are.
_URLS = {"endpoint_url", "proxy"}
_CONVERTED = {"timeout", "rate_limit", "part_size", "s3_tags", *_URLS}

# More arguments for AnsibleModule.
STORE_RULES: dict[str, Any] = {
    "required_together": [["access_key", "secret_key"]],
    "required_by": {
        "password": ["username"],
        "session_token": ["access_key"],
        "private_key_passphrase": ["private_key_path"],
        "s3_kms_key_id": ["s3_encryption"],
    },
    "mutually_exclusive": [["username", "token"], ["account_key", "sas_token", "token"]],
}


def hide_password_in_destination(module: AnsibleModule) -> None:
    """Keep a password that should not be in the URL out of the result, in which older Ansible releases repeat it."""
    try:
        password = urlsplit(module.params["destination"].strip()).password
    except ValueError:
        return
    if password:
        module.no_log_values.add(password)


def store_of(module: AnsibleModule) -> tuple[Store, Retries]:
    """Return the store that a module's options name, and how often what fails there is tried again."""
    hide_password_in_destination(module)
    params = module.params
    return open_store(params["destination"], store_options(params)), store_retries(params)


def store_options(params: dict[str, Any]) -> StoreOptions:
    """Return the options of the store from a module's parameters."""
    if params["timeout"] < 1:
        raise TaskError("timeout is too low. Set it to 1 second or more.")
    if params["concurrency"] is not None and not 1 <= params["concurrency"] <= MOST_CONCURRENCY:
        raise TaskError(f"concurrency is out of range. Set it to a value from 1 to {MOST_CONCURRENCY}.")
    return StoreOptions(
        rate_limit=_bytes(params, "rate_limit", 1024, "bytes per second, at least 1K, such as 5000000 or 20M"),
        timeout=float(params["timeout"]),
        part_size=_bytes(params, "part_size", 1024 * 1024, "bytes, at least 1M, such as 64M"),
        s3_tags={str(key): str(value) for key, value in (params["s3_tags"] or {}).items()},
        **{name: (params[name] or "").strip() or None for name in _URLS},
        **{name: params[name] for name in STORE_ARGUMENTS if name not in _NOT_OF_THE_STORE | _CONVERTED},
    )


def store_retries(params: dict[str, Any]) -> Retries:
    """Return how often transient failures are retried, from a module's parameters."""
    if params["retries"] < 0:
        raise TaskError("retries is negative. Set it to 0 or more.")
    return Retries(params["retries"])


def _bytes(params: dict[str, Any], name: str, least: int, wanted: str) -> int | None:
    value = params[name]
    if not value:
        return None
    try:
        size = human_to_bytes(value)
    except ValueError:
        size = 0
    if size < least:
        raise TaskError(f"{name} is not valid: '{value}'. Set it to a number of {wanted}.")
    return size
