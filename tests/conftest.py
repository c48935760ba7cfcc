# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets each test of a whole run hold a slot of the pool that all stages share: see support/slots.py."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

if "MACOPS_SLOTS" in os.environ:
    from support.slots import slot, slots_of_this_run

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_protocol() -> Iterator[None]:
        """Wait for a slot; the test's time limit starts afterwards."""
        with slot(slots_of_this_run()):
            yield
