# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps the bytecode of what Python imports from zip files, in a folder of the environment that this file is in.

Ansible sends each module as a zip file, and Python compiles all sources in one at each start: half of the time of a
module that only looks. Python keeps the bytecode of files by itself, but not of zip files.
"""

from __future__ import annotations

import hashlib
import marshal
import os
import sys
import zipimport

FOLDER = os.path.join(sys.prefix, "zip-bytecode")

_compile = zipimport._compile_source


def _compile_once(path, source):
    kept = os.path.join(FOLDER, hashlib.sha256(source).hexdigest())
    try:
        with open(kept, "rb") as file:
            return marshal.load(file)  # nosec B302 # as Python does with its own .pyc files
    except (OSError, EOFError, ValueError, TypeError):
        pass
    code = _compile(path, source)
    fresh = f"{kept}.{os.getpid()}"
    try:
        with open(fresh, "wb") as file:
            marshal.dump(code, file)
        os.replace(fresh, kept)
    except OSError:
        # No folder, or one of another user's: then it is compiled at each start.
        pass
    return code


zipimport._compile_source = _compile_once
