# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter C(golden_image_sheet)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable, Optional

from ansible.errors import AnsibleFilterError
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._records import sheet

DOCUMENTATION = r"""
name: golden_image_sheet
short_description: The golden image sheet for the Parallels Management Portal
version_added: 1.0.0
author:
  - The macops.parallels developers (!UNKNOWN)
description:
  - Makes a page of Markdown from the records of one version, with what the Management Portal asks for a golden image,
    in its order and words; name, description, and for each architecture whether it is enabled, the download URL and
    the SHA-256 checksum.
  - The page also tells size and version of each image, how to enter it in the portal, and the C(curl) and C(shasum)
    commands by which a person checks each link.
positional: _input
options:
  _input:
    description:
      - The records, as M(macops.parallels.image_catalog) returns them.
      - One or two, of one name and version, each of another architecture.
    type: list
    elements: dict
    required: true
  title:
    description:
      - The name of the golden image in the portal. Users see it.
      - Without it, the C(title) of the first record (C(arm64) before C(x86_64)).
    type: str
  description:
    description:
      - The description of the golden image in the portal. Users see it.
      - Without it, the C(description) of the first record.
    type: str
seealso:
  - module: macops.parallels.image_catalog
"""

EXAMPLES = r"""
- name: Write the golden image sheet of a version
  ansible.builtin.copy:
    content: "{{ records | macops.parallels.golden_image_sheet(title='Contoso Windows 11 Pro') }}"
    dest: ./build/windows11-2026.11.0.md
    mode: "0644"
  vars:
    records: "{{ catalog.records | selectattr('name', 'eq', 'windows11') | selectattr('version', 'eq', '2026.11.0') }}"
"""

RETURN = r"""
_value:
  description:
    - The page, in Markdown. The same records give the same page.
    - Records that are incomplete, withdrawn, of several versions, or twice of one architecture are an error.
  type: str
"""


def golden_image_sheet(records: Any, title: Optional[str] = None, description: Optional[str] = None) -> str:
    """Return the golden image sheet of one version."""
    if not isinstance(records, (list, tuple, Mapping, str)):  # what a Jinja filter gives lazily
        records = list(records)
    try:
        return sheet.golden_image_sheet(records, title, description)
    except TaskError as error:
        raise AnsibleFilterError(error.message) from error


class FilterModule:
    """The filter of this file."""

    def filters(self) -> Mapping[str, Callable[..., Any]]:
        """Return the filter by its name."""
        return {"golden_image_sheet": golden_image_sheet}
