# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter C(golden_image_sheet)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable, Optional

from ansible.errors import AnsibleFilterError
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._common.text import printable_message
from ansible_collections.macops.parallels.plugins.module_utils._records import sheet
from ansible_collections.macops.parallels.plugins.module_utils._records.reread import reread_records

DOCUMENTATION = r"""
name: golden_image_sheet
short_description: Create the golden image sheet for the Parallels Management Portal
version_added: 1.0.0
author:
  - The macops.parallels developers (!UNKNOWN)
description:
  - Creates a Markdown page from the records of one version. It has the values that the Management Portal needs for a
    golden image, with the names and in the order of the portal.
  - These are the name, the description, and for each architecture whether it is enabled, the download URL and the
    SHA-256 checksum.
  - The page also has the size and version of each image, the steps in the portal, and the C(curl) and C(shasum)
    commands to verify each link manually.
positional: _input
options:
  _input:
    description:
      - The records, as M(macops.parallels.image_catalog) returns them.
      - One or two records of the same name and version, one for each architecture.
      - Or the JSON text of such a list, such as the statistics C(image_records_json) of the role C(hand_over).
      - Records that AWX passes to the next job of a workflow have been read as YAML. Times that became dates, blank
        text that became null, and versions that became numbers are corrected.
    type: raw
    required: true
  title:
    description:
      - The name of the golden image in the portal. Users see it.
      - The default is the C(title) of the first record (C(arm64) before C(x86_64)).
    type: str
  description:
    description:
      - The description of the golden image in the portal. Users see it.
      - The default is the C(description) of the first record.
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
    - The page in Markdown. The same records produce the same page.
    - It is an error if a record is incomplete or withdrawn, if the records are of several versions, or if two records
      are of the same architecture.
  type: str
"""


def golden_image_sheet(records: Any, title: Optional[str] = None, description: Optional[str] = None) -> str:
    """Return the golden image sheet of one version."""
    if not isinstance(records, (list, tuple, Mapping, str)):  # such as a generator from another Jinja filter
        records = list(records)
    try:
        return sheet.golden_image_sheet(reread_records(records), title, description)
    except TaskError as error:
        raise AnsibleFilterError(printable_message(error.message)) from None


class FilterModule:
    """The filter of this plugin."""

    def filters(self) -> Mapping[str, Callable[..., Any]]:
        """Return the filter by its name."""
        return {"golden_image_sheet": golden_image_sheet}
