# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Uploads an image as the standard input says, and prints JSON lines: how far it is, and what memory it took."""

from __future__ import annotations

import json
import resource
import sys

order = json.load(sys.stdin)
sys.path[:0] = order["path"]

from ansible_collections.macops.parallels.plugins.module_utils._common.retry import Retries  # noqa: E402
from ansible_collections.macops.parallels.plugins.module_utils._stores.base import StoreOptions  # noqa: E402
from ansible_collections.macops.parallels.plugins.module_utils._stores.registry import open_store  # noqa: E402
from ansible_collections.macops.parallels.plugins.module_utils._stores.upload import Upload, Wanted  # noqa: E402


def peak() -> int:
    """Return the most memory that this process ever had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def report(done: int, _total: int | None) -> None:
    """Say how far it is."""
    sys.stdout.write(json.dumps({"done": done}) + "\n")
    sys.stdout.flush()


store = open_store(order["destination"], StoreOptions(**order["options"]))
store.look("nothing")  # loads the libraries
before = peak()
Upload(store, Wanted(**order["wanted"]), Retries(0), report=report).run()
sys.stdout.write(json.dumps({"grown": peak() - before}) + "\n")
