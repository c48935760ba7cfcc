# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the smoke tests."""

from __future__ import annotations

from support.fixtures import collections, https_store, make_mac, packed_modules, play, simulated_mac

__all__ = ["collections", "https_store", "make_mac", "packed_modules", "play", "simulated_mac"]
