# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Descriptions of the attributes of modules. A module gives the support that it has."""

from __future__ import annotations


class ModuleDocFragment:
    """Fragments: the attributes of every module, and the membership in the collection's action groups."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: >-
      Can run in C(check_mode) and return the changed status that a real run would have, without changing anything.
  diff_mode:
    description: Returns what changed, or in check mode what would change, if diff mode is on.
  idempotent:
    description: >-
      If it runs twice in a row with the same arguments, outside of check mode, the second run changes nothing.
  platform:
    description: Operating systems of the managed hosts that this module supports.
"""

    ACTIONGROUP_PARALLELS = r"""
options: {}
attributes:
  action_group:
    description: >-
      Use C(group/macops.parallels.parallels) in C(module_defaults) to set O(executable) for this module and for all
      others that take it.
    support: full
    membership:
      - macops.parallels.parallels
"""

    ACTIONGROUP_STORES = r"""
options: {}
attributes:
  action_group:
    description: >-
      Use C(group/macops.parallels.stores) in C(module_defaults) to set O(destination) and the other options of the
      store for this module and for all others that take them.
    support: full
    membership:
      - macops.parallels.stores
"""
