# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps the modules that Ansible packs for runs of other playbooks with the same collections."""

from __future__ import annotations

import pathlib
from typing import Any

from ansible import constants as C
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: packed_modules
type: notification
short_description: Keeps packed modules
description:
  - Lets Ansible keep the modules that it packs in a folder that outlives the run.
options:
  folder:
    description: The folder. Without one, they are packed in each run.
    type: path
    env:
      - name: PACKED_MODULES
    ini:
      - section: packed_modules
        key: folder
"""


class CallbackModule(CallbackBase):
    """Works with all releases of ansible-core from 2.16 on."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "packed_modules"
    # ansible-test enables callbacks by name, and no others.
    CALLBACK_NEEDS_ENABLED = False

    def set_options(self, *arguments: Any, **options: Any) -> None:
        super().set_options(*arguments, **options)
        folder = self.get_option("folder")
        if folder:
            pathlib.Path(C.DEFAULT_LOCAL_TMP, "ansiballz_cache").symlink_to(folder)
