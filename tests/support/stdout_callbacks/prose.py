# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A callback made from that of Ansible, as those are which print results as YAML."""

from __future__ import annotations

from ansible.plugins.callback.default import CallbackModule as Default

DOCUMENTATION = """
name: prose
type: stdout
short_description: The default callback by another name
description: The default callback by another name.
extends_documentation_fragment:
  - default_callback
"""


class CallbackModule(Default):
    """Prints what the default callback does."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "prose"
