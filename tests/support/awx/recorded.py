# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was recorded of AWX, as the files in tests/awx/recorded have it."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[2] / "awx" / "recorded"


@functools.cache
def recorded(name: str) -> Any:
    """Return the content of a file; what it returns is shared, so copy before changing it."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def options(endpoint: str) -> dict[str, Any]:
    """Return what AWX said of an endpoint, such as C(projects) or C(projects/N); empty for one that was not asked."""
    return recorded("options").get(endpoint, {})
