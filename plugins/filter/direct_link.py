# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter C(direct_link)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.macops.parallels.plugins.module_utils._common.text import printable_message
from ansible_collections.macops.parallels.plugins.module_utils._link.share_link import share_link

DOCUMENTATION = r"""
name: direct_link
short_description: Convert a share link to its direct form
version_added: 1.0.0
author:
  - The macops.parallels developers (!UNKNOWN)
description:
  - Converts the link that people copy from a sharing service, which opens a web page, to the form that downloads the
    file itself. The Parallels Management Portal needs that form.
  - Supports the share links of SharePoint, OneDrive, Dropbox, Nextcloud or ownCloud, and Google Cloud Storage. The form
    for SharePoint is the one in the administrators' guide of Parallels.
  - Many direct forms of OneDrive for personal use (C(1drv.ms)) ask for a sign-in. SharePoint and OneDrive for Business
    do not.
  - Opens no connection. Use M(macops.parallels.image_link_info) to verify that the link really downloads the file.
positional: _input
options:
  _input:
    description: The link.
    type: str
    required: true
seealso:
  - module: macops.parallels.image_link_info
"""

EXAMPLES = r"""
- name: Show the direct form of a link that was copied from SharePoint
  ansible.builtin.debug:
    msg: "{{ 'https://contoso.sharepoint.com/:u:/s/mac/Eabc123?e=x1y2z3' | macops.parallels.direct_link }}"
  # https://contoso.sharepoint.com/:u:/s/mac/Eabc123?download=1
"""

RETURN = r"""
_value:
  description:
    - The direct form of the link. A link that is not a known share link, or that is direct already, is returned
      unchanged.
    - A share link without a direct form (Google Drive, a shared folder, a page of a cloud console) is an error that
      says what to do instead.
  type: str
"""


def direct_link(url: Any) -> str:
    """Return the direct form of a share link."""
    if not isinstance(url, str):
        raise AnsibleFilterError(
            f"The direct_link filter needs a string, not {type(url).__name__}. Pass the link as a string."
        )
    found = share_link(url)
    if found is None:
        return url
    if found.direct is None:
        raise AnsibleFilterError(printable_message(found.advice))
    return found.direct


class FilterModule:
    """The filter in this file."""

    def filters(self) -> Mapping[str, Callable[..., Any]]:
        """Return the filter by its name."""
        return {"direct_link": direct_link}
