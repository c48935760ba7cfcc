# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives ansible-test the pip that it wants for its own environments.

It downloads a bootstrap script for a fixed version of pip from a server of its own, which not every network reaches.
The same script, made from that version's wheel in the package index, does the same.
"""

from __future__ import annotations

import pathlib
import subprocess

from .layout import CACHE, ToolError, clean_environment, locked

# Runs in ansible-test's environment, where alone the wanted version is known.
FIND_VERSION = """
import inspect, re
from ansible_test._internal import python_requirements
print(re.search(r"pip='([0-9.]+)'", inspect.getsource(python_requirements.get_venv_packages)).group(1))
"""

SCRIPT = """\
import sys

sys.path.insert(0, {wheel!r})
from pip._internal.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["install", "--upgrade", *(a for a in sys.argv[1:] if a not in ("--no-setuptools", "--no-wheel"))]))
"""


def seed_pip(environment: pathlib.Path) -> None:
    """Write the bootstrap script into ansible-test's cache unless there is one."""
    python = environment / "bin" / "python"
    version = _run([python, "-c", FIND_VERSION]).strip()
    folder = pathlib.Path("~/.ansible/test/cache").expanduser()
    script = folder / f"get_pip_{version.replace('.', '_')}.py"
    with locked(CACHE / "pip-seed.lock"):
        if script.exists():
            return
        folder.mkdir(parents=True, exist_ok=True)
        _run([python, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, f"pip=={version}"])
        fresh = script.with_suffix(".fresh")
        fresh.write_text(SCRIPT.format(wheel=str(folder / f"pip-{version}-py3-none-any.whl")), encoding="utf-8")
        fresh.replace(script)


def _run(command: list[object]) -> str:
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=clean_environment())
    if done.returncode:
        raise ToolError(f"{' '.join(words[:4])} failed:\n{done.stderr[-2000:]}")
    return done.stdout
