# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Loads libraries that only some modules need; a missing one is reported with Ansible's own advice."""

from __future__ import annotations

import importlib
import warnings
from types import ModuleType

from ansible.module_utils.basic import missing_required_lib

from .errors import TaskError


def load(name: str, package: str | None = None) -> ModuleType:
    """Return the module C(name) of a library; raise TaskError when the library is not installed.

    C(package) is the name to install it by, where that is not the first part of C(name).
    """
    try:
        with warnings.catch_warnings():
            # Apple's Python is built with LibreSSL, about which urllib3 warns at every import; it works.
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except ImportError as error:
        raise TaskError(
            missing_required_lib(package or name.split(".", maxsplit=1)[0]), exception=str(error)
        ) from error
