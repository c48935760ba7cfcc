# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the tests: C(make test), or one stage of it."""

from __future__ import annotations

import argparse
import os
import sys

if sys.version_info < (3, 11):
    sys.exit(
        "make test needs Python 3.11 or newer to start, and this is Python {}.{}. Install one, then run "
        "'make test PYTHON=/path/to/it'.".format(*sys.version_info[:2])
    )

from harness.layout import CLOSING_LINE, ToolError
from harness.runner import Options, Stage, run_stages
from harness.stages import STAGES


def parse_arguments() -> argparse.Namespace:
    """Return the stages to run, and what they are narrowed down to."""
    names = [stage.name for stage in STAGES]
    parser = argparse.ArgumentParser(description=__doc__, epilog="Stages: " + ", ".join(names))
    parser.add_argument(
        "stages", nargs="*", metavar="STAGE", help="the stages to run, such as units-3.9, or units for all of them"
    )
    parser.add_argument("--list", action="store_true", help="list the stages and end")
    parser.add_argument("--only", default="", help="files, targets or tests of that stage, with blanks")
    # One more than there are cores: each stage waits now and then, for time limits that run out or servers that start.
    jobs = (os.cpu_count() or 1) + 1
    parser.add_argument("--jobs", type=int, default=jobs, help="stages side by side")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.stages if not any(is_meant(stage, [name]) for stage in STAGES)]
    if unknown:
        parser.error(f"there is no stage {', '.join(unknown)}; the stages are: {', '.join(names)}")
    if arguments.only and len(arguments.stages) != 1:
        parser.error("--only needs exactly one stage")
    return arguments


def is_meant(stage: Stage, names: list[str]) -> bool:
    """Tell whether a stage is among those that were named; units-3.9 is one of the units."""
    return not names or any(stage.name == name or stage.name.startswith(f"{name}-") for name in names)


def main() -> int:
    """Run what was asked for; the exit code says whether all of it passed."""
    arguments = parse_arguments()
    if arguments.list:
        print(*(f"{stage.name:<12} {stage.what}" for stage in STAGES), sep="\n")
        return 0
    chosen = [stage for stage in STAGES if is_meant(stage, arguments.stages)]
    options = Options(tuple(arguments.only.split()), arguments.jobs)
    CLOSING_LINE.unlink(missing_ok=True)
    try:
        counts = run_stages(chosen, options)
    except ToolError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    closing_line = f"tests: {counts.closing_line()}"
    print(closing_line, flush=True)
    CLOSING_LINE.parent.mkdir(parents=True, exist_ok=True)
    CLOSING_LINE.write_text(f"{closing_line}\n", encoding="utf-8")
    return 1 if counts.failed or not counts.passed else 0


if __name__ == "__main__":
    sys.exit(main())
