# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The matrix of the contract: which promise each kind of store keeps, and why one cannot be kept."""

from __future__ import annotations

from collections.abc import Mapping


def matrix(kept: Mapping[tuple[str, str], bool], cannot: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return a Markdown table of promises by stores, the reasons below it, and the totals."""
    promises = list(dict.fromkeys(promise for promise, _store in kept))
    stores = [store for store in cannot if any(store == each for _promise, each in kept)]
    reasons: list[str] = []
    lines = [_row(["promise", *stores]), "|" + "---|" * (len(stores) + 1)]
    for promise in promises:
        cells = []
        for store in stores:
            if promise in cannot[store]:
                reason = cannot[store][promise]
                if reason not in reasons:
                    reasons.append(reason)
                cells.append(f"({reasons.index(reason) + 1})")
            else:
                cells.append({True: "kept", False: "BROKEN", None: "-"}[kept.get((promise, store))])
        lines.append(_row([promise, *cells]))
    lines += [f"({number}) {reason}" for number, reason in enumerate(reasons, start=1)]
    if any(" - " in line for line in lines[2:]):
        lines.append("- was not run, such as what is left to 'make test-all'")
    broken = sum(not value for value in kept.values())
    return [*lines, f"promises kept {len(kept) - broken}, broken {broken}"]


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
