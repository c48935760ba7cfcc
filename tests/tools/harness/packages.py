# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs from the system's packages: nginx, Apache, sshd and the like."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys

from .layout import CACHE, ToolError, clean_environment, locked


@dataclasses.dataclass(frozen=True)
class Program:
    """Something that the tests start, how to see that it is there, and the packages that bring it."""

    name: str
    debian: tuple[str, ...]
    homebrew: tuple[str, ...]
    files: tuple[str, ...] = ()

    def is_there(self) -> bool:
        """Tell whether nothing has to be installed."""
        needs_files = sys.platform != "darwin"
        return shutil.which(self.name, path=clean_environment()["PATH"]) is not None and (
            not needs_files or all(pathlib.Path(name).exists() for name in self.files)
        )


class Ensurepip(Program):
    """What Python makes virtual environments with, which Debian has in a package of its own."""

    def is_there(self) -> bool:
        """Tell whether the Python that runs this can make environments."""
        return importlib.util.find_spec("ensurepip") is not None


ENSUREPIP = Ensurepip("ensurepip", (f"python3.{sys.version_info.minor}-venv",), ())
GIT = Program("git", ("git",), ("git",))
SHELLCHECK = Program("shellcheck", ("shellcheck",), ("shellcheck",))
NGINX = Program(
    "nginx",
    ("nginx-light", "libnginx-mod-http-dav-ext"),
    ("nginx",),
    ("/usr/lib/nginx/modules/ngx_http_dav_ext_module.so",),
)
# The program and its modules alone: the package "apache2" would start a server, too.
APACHE = Program(
    "httpd" if sys.platform == "darwin" else "apache2",
    ("apache2-bin",),
    ("httpd",),
    ("/usr/lib/apache2/modules/mod_dav_fs.so",),
)
# On a Mac, every volume clones files.
BTRFS = Program("true" if sys.platform == "darwin" else "mkfs.btrfs", ("btrfs-progs",), ())
NPM = Program("npm", ("nodejs", "npm"), ("node",))
CURL = Program("curl", ("curl",), ("curl",))
SHASUM = Program("shasum", ("perl",), ("perl",))
SSHD = Program("sshd", ("openssh-server",), ())
SSH = Program("ssh", ("openssh-client",), ())


def install_missing(programs: tuple[Program, ...]) -> list[str]:
    """Install what is not there, and what makes environments; return the packages that were installed."""
    with locked(CACHE / "packages.lock"):
        missing = [program for program in (ENSUREPIP, *programs) if not program.is_there()]
        if not missing:
            return []
        wanted = _install(missing)
        importlib.invalidate_caches()
        still = [program.name for program in missing if not program.is_there()]
    if still:
        raise ToolError(
            f"Still missing after installing {' '.join(wanted) or 'nothing'}: {', '.join(still)}. Install what brings "
            "these programs by hand, then run the same command again."
        )
    return wanted


def _install(missing: list[Program]) -> list[str]:
    if shutil.which("apt-get"):
        wanted = [package for program in missing for package in program.debian]
        # Another program, such as the nightly upgrade, may hold apt's lock for a while.
        apt = ["apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=120"]
        _as_root([*apt, "update"], wanted)
        _as_root([*apt, "install", "--no-install-recommends", *wanted], wanted)
    elif shutil.which("brew"):
        wanted = [package for program in missing for package in program.homebrew]
        if wanted:
            _run(["brew", "install", *wanted])
    else:
        raise ToolError(
            f"These programs are missing: {', '.join(program.name for program in missing)}. Neither apt-get nor brew "
            "is here to install them: install them by hand, then run the same command again."
        )
    return wanted


def _as_root(command: list[str], wanted: list[str]) -> None:
    if os.geteuid() == 0:
        return _run(command)
    sudo = shutil.which("sudo")
    if sudo and subprocess.run([sudo, "-n", "true"], capture_output=True, check=False).returncode == 0:
        return _run([sudo, "-n", *command])
    raise ToolError(
        f"These packages are missing: {' '.join(wanted)}. Installing them needs root, and there is no sudo without a "
        f"password: run 'apt-get install {' '.join(wanted)}' as root, then run the same command again."
    )


def _run(command: list[str]) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env=environment,
    )
    if done.returncode:
        raise ToolError(f"{' '.join(command)} failed with exit code {done.returncode}:\n{done.stdout[-3000:]}")
