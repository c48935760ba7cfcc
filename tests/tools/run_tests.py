# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the tests: C(make test), or one stage of it."""

from __future__ import annotations

import argparse
import dataclasses
import os
import pathlib
import sys

if sys.version_info < (3, 11):
    sys.exit(
        "make test needs Python 3.11 or newer to start, and this is Python {}.{}. Install one, then run "
        "'make test PYTHON=/path/to/it'.".format(*sys.version_info[:2])
    )

# For the helpers that the tests themselves use, too.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from harness import changes
from harness.layout import CLOSING_LINE, ToolError
from harness.results import Counts
from harness.runner import Options, Stage, run_stages
from harness.stages import STAGES


def parse_arguments(words: list[str] | None = None) -> argparse.Namespace:
    """Return the stages to run, and what they are narrowed down to."""
    names = [stage.name for stage in STAGES]
    parser = argparse.ArgumentParser(description=__doc__, epilog="Stages: " + ", ".join(names))
    parser.add_argument(
        "stages", nargs="*", metavar="STAGE", help="the stages to run, such as units-3.9, or units for all of them"
    )
    parser.add_argument("--list", action="store_true", help="list the stages and end")
    parser.add_argument("--only", default="", help="files, targets or tests of that stage, with blanks")
    parser.add_argument("--everything", action="store_true", help="also the stages and tests that are for the night")
    parser.add_argument(
        "--changed", action="store_true", help="what the changes since the last commit on main can break"
    )
    # More than there are processors: tests wait now and then, for time limits that run out or servers that start.
    jobs = 2 * (os.cpu_count() or 1)
    parser.add_argument("--jobs", type=int, default=jobs, help="tests side by side, in all stages together")
    arguments = parser.parse_args(words)
    unknown = [name for name in arguments.stages if not any(is_meant(stage, [name]) for stage in STAGES)]
    if unknown:
        parser.error(f"there is no stage {', '.join(unknown)}; the stages are: {', '.join(names)}")
    if arguments.only and len(arguments.stages) != 1:
        parser.error("--only needs exactly one stage")
    if arguments.only and arguments.changed:
        parser.error("--only and --changed both say what a stage is narrowed down to: give one of them")
    return arguments


def is_meant(stage: Stage, names: list[str]) -> bool:
    """Tell whether a stage is among those that were named; units-3.9 is one of the units."""
    return any(stage.name == name or stage.name.startswith(f"{name}-") for name in names)


def choose_stages(arguments: argparse.Namespace) -> list[Stage]:
    """Return the stages that were named; without names all of them, less what is for the night."""
    if arguments.stages:
        return [stage for stage in STAGES if is_meant(stage, arguments.stages)]
    return [stage for stage in STAGES if arguments.everything or not stage.nightly]


def run(arguments: argparse.Namespace) -> Counts | None:
    """Run what was asked for; None when that is nothing, since nothing has changed."""
    stages = choose_stages(arguments)
    options = Options(tuple(arguments.only.split()), arguments.jobs, arguments.everything)
    if arguments.changed:
        choice = changes.choose(changes.changed_files())
        stages = [stage for stage in stages if choice.wants(stage.name)]
        print(f"{choice.why}: {' '.join(stage.name for stage in stages) or 'no stage to run'}", flush=True)
        options = dataclasses.replace(options, only_of={stage.name: choice.only_of(stage.name) for stage in stages})
        for name, parts in options.only_of.items():
            if parts:
                print(f"    {name}: {len(parts)} parts, {' '.join(parts)}", flush=True)
    return run_stages(stages, options) if stages else None


def main() -> int:
    """Run what was asked for; the exit code says whether all of it passed."""
    arguments = parse_arguments()
    if arguments.list:
        marks = {True: " (make test-all)", False: ""}
        print(*(f"{stage.name:<12} {stage.what}{marks[stage.nightly]}" for stage in STAGES), sep="\n")
        return 0
    CLOSING_LINE.unlink(missing_ok=True)
    try:
        counts = run(arguments)
    except ToolError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    for name in (counts or Counts()).failures:
        # Once more where it is seen: the reports of the stages are long.
        print(f"failed: {name}")
    closing_line = f"tests: {(counts or Counts()).closing_line()}"
    print(closing_line, flush=True)
    CLOSING_LINE.parent.mkdir(parents=True, exist_ok=True)
    CLOSING_LINE.write_text(f"{closing_line}\n", encoding="utf-8")
    return 0 if counts is None or counts.good else 1


if __name__ == "__main__":
    sys.exit(main())
