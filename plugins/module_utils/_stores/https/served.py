# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Whether a server serves what it has stored: rules for names that hide files are usual."""

from __future__ import annotations

import os
from typing import Any, Callable

from ..._common.errors import TaskError
from ..._common.files import IMAGE_SUFFIX
from ..base import Content, Stored, part_name
from .folder import HttpFolder

# Seconds between the attempts to see a file that was just written.
_PAUSES = (0.1, 0.4)
# Answers that are not about a name: credentials, a proxy, sizes, space.
_NOT_THE_NAME = (401, 407, 413, 507)


def served_name(name: str, content: Content) -> str:
    """Return a new temporary name that a server serves if it serves C(name).

    Where only the access to a store is checked, that is the name of an image.
    """
    image = name if content.marks or name.endswith(IMAGE_SUFFIX) else name + IMAGE_SUFFIX
    return part_name(image, hidden=False)


def require_served(
    folder: HttpFolder, look: Callable[[str], Stored | None], name: str, size: int, sleep: Callable[[float], None]
) -> None:
    """Raise TaskError if the server does not serve a file that it has just stored."""
    found = look(name)
    for pause in _PAUSES:
        if found is not None and found.size == size:
            return
        sleep(pause)
        found = look(name)
    if found is not None and found.size == size:
        return
    ending = os.path.splitext(name)[1]
    answer = "404" if found is None else f"a file of {found.size} bytes instead of {size}"
    raise TaskError(
        f"{folder.host} stores files whose names end in {ending}, but does not serve them: it answered {answer} for a "
        f"small test file in {folder.url}. Ask its administrators to serve {ending} files. In IIS, add the MIME type "
        f"application/octet-stream for {ending}; also check the rules for hidden and refused names.",
        status=404,
    )


def is_about_name(error: Exception) -> bool:
    """Return whether an error may be about the name of a file, so that another name is worth an attempt."""
    status = error.details.get("status") if isinstance(error, TaskError) else None
    return isinstance(status, int) and status >= 400 and status not in _NOT_THE_NAME


def refuses_any(response: Any, sibling: Any) -> bool:
    """Return whether a server refuses each name of a form, by its answers for a name and for a random one."""
    return 400 <= response.status_code < 500 and response.status_code == sibling.status_code
