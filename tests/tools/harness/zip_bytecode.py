# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps the bytecode of what Python imports from zip files, in a folder of the environment that this file is in.

Ansible sends each module as a zip file, and Python unpacks and compiles all sources in one at each start, on a Mac's
Python twice: to find a module and to load it. That is half of the time of a module that only looks. Python keeps the
bytecode of files by itself, but not of zip files.

All Pythons of the environment start with this, so it imports only what Python has loaded or built in.
"""

import marshal
import os
import sys
import zipimport

FOLDER = os.path.join(sys.prefix, "zip-bytecode")

_load = zipimport._get_module_code
_loaded = {}


def _load_once(importer, name):
    for end, is_package in (("/__init__.py", True), (".py", False)):
        path = zipimport._get_module_path(importer, name) + end
        # The zip file says what is in it without being unpacked: path, packing, two sizes, place, time, date, checksum.
        entry = zipimport._zip_directory_cache.get(importer.archive, {}).get(path)
        if entry is not None:
            key = f"{name}-{entry[3]:x}-{entry[7]:08x}"
            if key not in _loaded:
                _loaded[key] = _read(key) or _compile(importer, name, key)
            return _loaded[key], is_package, entry[0]
    return _load(importer, name)


def _read(key):
    try:
        with open(os.path.join(FOLDER, key), "rb") as file:
            return marshal.load(file)  # nosec B302 # as Python does with its own .pyc files
    except (OSError, EOFError, ValueError, TypeError):
        return None


def _compile(importer, name, key):
    code = _load(importer, name)[0]
    fresh = os.path.join(FOLDER, f"{key}.{os.getpid()}")
    try:
        with open(fresh, "wb") as file:
            marshal.dump(code, file)
        os.replace(fresh, os.path.join(FOLDER, key))
    except OSError:
        # No folder, or one of another user's: then it is compiled at each start.
        pass
    return code


zipimport._get_module_code = _load_once
