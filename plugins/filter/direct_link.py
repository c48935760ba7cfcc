# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter C(direct_link)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.macops.parallels.plugins.module_utils._link.share_link import share_link

DOCUMENTATION = r"""
name: direct_link
short_description: The direct form of a share link
version_added: 1.0.0
author:
  - The macops.parallels developers (!UNKNOWN)
description:
  - Turns the link that people copy from a sharing service, which shows a web page, into the form that gives the file
    itself, as the Parallels Management Portal needs it.
  - Knows the share links of SharePoint, OneDrive, Dropbox, Nextcloud or ownCloud, and Google Cloud Storage. The form
    for SharePoint is the one that the administrators' guide of Parallels tells.
  - OneDrive of private people (C(1drv.ms)) asks for a sign-in with many of its direct forms. SharePoint and OneDrive
    for Business do not.
  - Opens no connection. Whether the link really gives the file is for M(macops.parallels.image_link_info) to prove.
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
    - The direct form of the link; a link that is not known as a share link, or is direct already, as it is.
    - A share link of which no direct form exists (Google Drive, a shared folder, a page of a cloud's console) is an
      error that tells what to do instead.
  type: str
"""


def direct_link(url: Any) -> str:
    """Return the direct form of a share link."""
    if not isinstance(url, str):
        raise AnsibleFilterError(f"The filter direct_link needs a link as a text, not {type(url).__name__}.")
    found = share_link(url)
    if found is None:
        return url
    if found.direct is None:
        raise AnsibleFilterError(found.advice)
    return found.direct


class FilterModule:
    """The filter of this file."""

    def filters(self) -> Mapping[str, Callable[..., Any]]:
        """Return the filter by its name."""
        return {"direct_link": direct_link}
