# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action of every module that does its work as a job: meta/runtime.yml names it for them."""

from __future__ import annotations

from ansible_collections.macops.parallels.plugins.plugin_utils._long_work import LongWork as ActionModule

__all__ = ["ActionModule"]
