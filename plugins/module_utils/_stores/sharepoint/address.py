# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The address of a folder in SharePoint, C(sharepoint://tenant/site/drive/path), and which names are valid there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

from ..._common.errors import TaskError

_FORM = (
    "Use a URL such as sharepoint://contoso/mac/Documents/golden: the tenant, the site, the document library, and the "
    "folder in it."
)
# The first word of a site's path on the server.
_KINDS = ("sites", "teams", "personal")
# The name of the tenant's root site in a destination.
_ROOT = "root"
_LONGEST_PATH = 400
_BAD_CHARACTERS = re.compile(r'["*:<>?/\\|]')
_BAD_NAMES = re.compile(r"(\.lock|CON|PRN|AUX|NUL|COM\d|LPT\d|desktop\.ini)", re.IGNORECASE)


@dataclass(frozen=True)
class Address:
    """A folder in a document library."""

    # The destination, for display.
    url: str
    # The host of the tenant's SharePoint.
    host: str
    # Path of the site on that host; empty for the root site.
    site: str
    drive: str
    folder: tuple[str, ...]

    @property
    def site_path(self) -> str:
        """The site's path in Graph."""
        return f"/sites/{self.host}:/{quote(self.site)}" if self.site else f"/sites/{self.host}"

    def path_of(self, name: str = "") -> str:
        """Return the encoded path of a name in the folder, or of the folder, from the root of the library."""
        return "/".join(quote(part, safe="") for part in (*self.folder, *([name] if name else [])))

    def check(self, name: str) -> None:
        """Raise TaskError for a name that SharePoint does not accept."""
        for part in (*self.folder, name):
            if (
                _BAD_CHARACTERS.search(part)
                or _BAD_NAMES.fullmatch(part)
                or part != part.strip()
                or part.startswith("~$")
                or part.endswith(".")
                or "_vti_" in part
            ):
                raise TaskError(
                    f"SharePoint does not accept '{part}' as the name of a file or folder. Choose a name without the "
                    'characters " * : < > ? / \\ | and without a space at its start or end.'
                )
        if len("/".join((self.site, self.drive, *self.folder, name))) > _LONGEST_PATH:
            raise TaskError(
                f"The path of {name} is longer than the {_LONGEST_PATH} characters that SharePoint accepts. Use a "
                "folder that is nested less deeply, or shorter names."
            )


def parse_address(destination: str) -> Address:
    """Return the folder that a destination names."""
    parts = urlsplit(destination)
    words = [unquote(word) for word in parts.path.split("/") if word]
    host = (parts.hostname or "").lower()
    if not host or parts.port is not None:
        raise TaskError(f"The destination does not name a tenant. {_FORM}")
    if words and words[0].lower() in _KINDS:
        site, words = "/".join(words[:2]) if len(words) > 1 else "", words[2:]
    elif words and words[0].lower() == _ROOT:
        site, words = "", words[1:]
    else:
        site, words = f"sites/{words[0]}" if words else "", words[1:]
    if not words:
        raise TaskError(f"The destination does not name a document library. {_FORM}")
    if any(word in (".", "..") for word in words):
        raise TaskError("The destination must not contain '.' or '..' as the name of a folder. Correct destination.")
    url = f"sharepoint://{parts.netloc}/{'/'.join(quote(unquote(word)) for word in parts.path.split('/') if word)}"
    return Address(url, host if "." in host else f"{host}.sharepoint.com", site, words[0], tuple(words[1:]))
