# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in of AWX, as strict as AWX 24.6.1 was when it was asked; what it answered is in tests/awx/recorded.

It is not AWX: nothing runs in containers, and what a job does is up to the test (C(awx.jobs.run_job)). What is not
recorded, is not answered: an unknown address is a 404, an action that is missing here a 501.
"""

from __future__ import annotations

from .client import Client
from .server import ADMIN, PASSWORD, Awx, Faults

__all__ = ["ADMIN", "PASSWORD", "Awx", "Client", "Faults"]
