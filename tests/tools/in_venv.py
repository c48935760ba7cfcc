# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a program in a virtual environment of this project: in_venv.py demo|benchmark|stores PROGRAM [ARGUMENT...]."""

from __future__ import annotations

import os
import sys

if sys.version_info < (3, 11):
    sys.exit(
        "make demo needs Python 3.11 or newer, and this is Python {}.{}. Install one, then run "
        "'make demo PYTHON=/path/to/it'.".format(*sys.version_info[:2])
    )

from harness import packages
from harness.environments import AZURITE, CONTROLLER, SERVERS, STORES, UNITS, Environment
from harness.layout import CACHE, CONTROLLER_PYTHON, MAC_PYTHON, TOOLS, ToolError, clean_environment
from harness.staging import stage


def demo() -> dict[str, str]:
    """Return the environment of the demonstration, with the collection below .cache/stage."""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    folder = Environment(f"demo-{version}", version, (TOOLS / "requirements-demo.txt",)).ready()
    stage(CACHE / "stage")
    return clean_environment((folder / "bin",))


def benchmark() -> dict[str, str]:
    """Return the environment of the scenarios, with their servers installed."""
    packages.install_missing((packages.NGINX, packages.SSHD, packages.SSH, packages.CURL, packages.SHASUM))
    target = UNITS[MAC_PYTHON].ready() / "bin" / "python"
    return {**clean_environment((CONTROLLER.ready() / "bin",)), "MACOPS_TARGET_PYTHON": str(target)}


def stores() -> dict[str, str]:
    """Return the environment of the stores' contests, which run in a staged tree: a collection has to lie in one."""
    packages.install_missing(
        (packages.NGINX, packages.APACHE, packages.SSHD, packages.SSH, packages.CURL, packages.NPM)
    )
    rivals = Environment("rivals", CONTROLLER_PYTHON, (TOOLS / "requirements-rivals.txt",)).ready()
    folders = (STORES.ready() / "bin", SERVERS.ready() / "bin", AZURITE.ready(), rivals / "bin")
    os.chdir(stage(CACHE / "stage-stores"))
    return clean_environment(folders)


def main() -> None:
    """Become the program, in its environment."""
    environment = {"demo": demo, "benchmark": benchmark, "stores": stores}[sys.argv[1]]()
    os.execvpe("python", ["python", *sys.argv[2:]], environment)


if __name__ == "__main__":
    try:
        main()
    except ToolError as error:
        sys.exit(str(error))
