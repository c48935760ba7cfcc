# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON as Parallels prints it: indented with tabs, slashes escaped; and what spoils it."""

from __future__ import annotations

import json
from typing import Any

from . import texts
from .console import Console
from .mac import Mac

_GARBAGE = '{"uuid": "0000, "status'


def to_json(value: Any) -> str:
    """Return a value in Parallels' style, without the line end."""
    return json.dumps(value, indent="\t", ensure_ascii=False).replace("/", "\\/")


def print_json(mac: Mac, console: Console, text: str) -> None:
    """Print JSON with the noise and the damage that this Mac is set to."""
    if mac.strike("json_garbage"):
        console.out(_GARBAGE)
        return
    noise = mac.knob("json_noise")
    if not text:
        return
    before = after = ""
    if noise in ("edition_line", "all"):
        before += texts.EDITION + " \n"
    if noise in ("info", "all"):
        before += "INFO\n"
    if noise in ("progress", "all"):
        before += "\rOperation progress ... 5%"
    if noise in ("control", "all"):
        before += "\x1b[0m\x07"
        text = text.replace('"OS": "', '"OS": "\x01', 1)
    if noise in ("trailing", "all"):
        after = "\nPrlVm_GetState: done\n"
    console.out(before + text + after)
