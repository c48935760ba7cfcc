# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets the tests of a whole run hold slots of the pool that all stages share: see support/slots.py."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Optional

import pytest

if "MACOPS_SLOTS" in os.environ:
    from support.slots import Turn, slots_of_this_run

    turn = Turn(slots_of_this_run())

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_protocol(nextitem: Optional[pytest.Item]) -> Iterator[None]:
        """Wait for a slot, if none is kept; the test's time limit starts afterwards."""
        with turn.test(last=nextitem is None):
            yield
