# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An upload by this collection and the same by another program, to the same server."""

from __future__ import annotations

import dataclasses
import pathlib
import statistics
import time
from typing import Any, Callable

ROUNDS = 3


@dataclasses.dataclass(frozen=True)
class Contest:
    """Two ways to bring the same file to the same server, each under the name that it is given."""

    store: str
    # The command line of the other one, as people know it.
    rival: str
    upload: Callable[[str], None]
    by_rival: Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The median seconds of each."""

    contest: Contest
    ours: float
    rival: float


def hold(contest: Contest) -> Outcome:
    """Let both upload in turn, so that what else the machine does hits both, and return the medians."""
    seconds: dict[Callable[[str], None], list[float]] = {contest.upload: [], contest.by_rival: []}
    for number in range(ROUNDS):
        for way, taken in seconds.items():
            begun = time.monotonic()
            way(f"{number}-{'ours' if way is contest.upload else 'rival'}.pvmp")
            taken.append(time.monotonic() - begun)
    return Outcome(contest, *(statistics.median(taken) for taken in seconds.values()))


def table(outcomes: list[Outcome], size: int) -> list[str]:
    """Return the rates as a Markdown table."""
    lines = ["| store | this collection, MB/s | other | its MB/s | ratio of the times |", "|---|---|---|---|---|"]
    for outcome in outcomes:
        cells = (
            outcome.contest.store,
            f"{size / outcome.ours / 1e6:.0f}",
            f"`{outcome.contest.rival}`",
            f"{size / outcome.rival / 1e6:.0f}",
            f"{outcome.ours / outcome.rival:.2f}",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def upload_with(destination: str, options: dict[str, Any], image: pathlib.Path, sha256: str) -> Callable[[str], None]:
    """Return the upload as the module image_upload does it: with its check, its proof and its checksum file."""
    from ansible_collections.macops.parallels.plugins.module_utils._common.retry import Retries
    from ansible_collections.macops.parallels.plugins.module_utils._stores.base import StoreOptions
    from ansible_collections.macops.parallels.plugins.module_utils._stores.registry import open_store
    from ansible_collections.macops.parallels.plugins.module_utils._stores.upload import Upload, Wanted

    def upload(name: str) -> None:
        store = open_store(destination, StoreOptions(**options))
        Upload(store, Wanted(str(image), name, sha256), Retries(0)).run()

    return upload
