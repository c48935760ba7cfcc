# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The root folder of a guest: the machine's own with the guest's changes over it. Linux only.

While the guest runs, its changes are in memory, in a mount that no other process sees. While it does not, they are one
file in the VM's bundle, so that they go along with a clone and a package.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import stat
import subprocess
import tarfile
from pathlib import Path

from .bundle import GUEST_ROOT
from .namespaces import mount

_OPAQUE = "trusted.overlay.opaque"
_KEPT_ATTRIBUTES = (_OPAQUE, "security.capability")
_PAX = "SCHILY.xattr."
OPTIONS = "lowerdir=/,upperdir=upper,workdir=work,redirect_dir=off,metacopy=off,index=off,xino=off"

# The folders of a Linux system. What else is in the machine's root folder is not in the guest's.
_SYSTEM = re.compile(r"bin|boot|dev|etc|home|lib\w*|media|mnt|opt|proc|root|run|sbin|srv|sys|tmp|usr|var")
# What the guest has of its own, empty at first.
_EMPTY = {
    "boot": 0o755,
    "dev": 0o755,
    "home": 0o755,
    "media": 0o755,
    "mnt": 0o755,
    "opt": 0o755,
    "proc": 0o555,
    "root": 0o700,
    "run": 0o755,
    "srv": 0o755,
    "sys": 0o555,
    "tmp": 0o1777,
    "var/tmp": 0o1777,
    "var/spool/cron": 0o755,
    **{f"etc/rc{level}.d": 0o755 for level in "0123456S"},  # no service of the machine is enabled in the guest
}
_FIRST_USER, _LAST_USER = 1000, 60000
_KEY_TYPES = ("ecdsa", "ed25519")
_MACHINES = {"arm64": "aarch64"}
_UNAME = "usr/lib/simulated-uname"

_INIT = """#!/bin/sh
echo "This guest has been started already." >&2
exit 1
"""
_SHUTDOWN = """#!/bin/sh
# The init of a simulated guest: 0 shuts it down, 6 restarts it.
level={level}
for word in "$@"; do
    case $word in
    -r | --reboot) level=6 ;;
    -h | -P | -H | -p | --halt | --poweroff) level=0 ;;
    -c) exit 0 ;;
    esac
done
echo $level > /run/initctl
"""
_LEVELS = {"shutdown": 0, "poweroff": 0, "halt": 0, "reboot": 6}


def mount_root(store: str, name: str, arch: str) -> None:
    """Mount the guest's root folder on C(merged) in the current folder, which is in memory and empty."""
    for folder in ("upper", "work", "merged"):
        os.mkdir(folder, 0o755)
    if os.path.exists(store):
        _load(store)
    else:
        _install(Path("upper"), name, arch)
    mount("overlay", "merged", "overlay", options=OPTIONS)


# --- installation -------------------------------------------------------------------------------------------------


def _install(upper: Path, name: str, arch: str) -> None:
    """Make what is different in a guest that was just installed."""
    for entry in os.listdir("/"):
        if not _SYSTEM.fullmatch(entry):
            _hide(upper / entry)
    for folder, mode in _EMPTY.items():
        if os.path.isdir(f"/{folder}") and not os.path.islink(f"/{folder}"):
            _own_folder(upper / folder, mode)
    _write(upper / "etc/hostname", f"{name}\n")
    _write(upper / "etc/hosts", f"127.0.0.1\tlocalhost\n127.0.1.1\t{name}\n")
    _write(upper / "etc/machine-id", os.urandom(16).hex() + "\n", 0o444)
    if os.path.lexists("/var/lib/dbus/machine-id"):
        _parents(upper / "var/lib/dbus/machine-id")
        (upper / "var/lib/dbus/machine-id").symlink_to("/etc/machine-id")
    _install_accounts(upper)
    _install_host_keys(upper)
    programs = os.path.realpath("/sbin").lstrip("/")
    _write(upper / programs / "init", _INIT, 0o755)  # often a link to that of systemd, which is not there
    for program, level in _LEVELS.items():
        _write(upper / programs / program, _SHUTDOWN.format(level=level), 0o755)
    _install_uname(upper, _MACHINES.get(arch, arch))


def _install_uname(upper: Path, machine: str) -> None:
    """Let C(uname -m) name the architecture of the VM, where that is not the machine's own."""
    own = os.path.realpath(shutil.which("uname") or "/usr/bin/uname")
    if machine == os.uname().machine:
        return
    real = upper / _UNAME
    _parents(real)
    shutil.copy2(own, real)
    script = f'#!/bin/sh\nif [ "$*" = -m ]; then echo {machine}; else exec /{_UNAME} "$@"; fi\n'
    _write(upper / own.lstrip("/"), script, 0o755)


def _install_accounts(upper: Path) -> None:
    """Leave out the machine's people, and lock root's password."""
    people = {
        line.split(":")[0]
        for line in _lines("/etc/passwd")
        if line.count(":") == 6 and _FIRST_USER <= int(line.split(":")[2]) < _LAST_USER
    }
    for file in ("passwd", "group", "shadow", "gshadow", "subuid", "subgid"):
        source = f"/etc/{file}"
        if not os.path.exists(source):
            continue
        lines = [line for line in _lines(source) if line.split(":")[0] not in people]
        if file == "shadow":
            lines = [re.sub(r"^root:[^:]*:", "root:*:", line) for line in lines]
        _write(upper / "etc" / file, "".join(f"{line}\n" for line in lines), stat.S_IMODE(os.stat(source).st_mode))
        shutil.chown(upper / "etc" / file, 0, os.stat(source).st_gid)


def _install_host_keys(upper: Path) -> None:
    folder = upper / "etc/ssh"
    with contextlib.suppress(FileNotFoundError):
        for entry in os.listdir("/etc/ssh"):
            if entry.startswith("ssh_host_"):
                _hide(folder / entry)
    program = shutil.which("ssh-keygen")
    for kind in _KEY_TYPES if program else ():
        key = folder / f"ssh_host_{kind}_key"
        _parents(key)
        for path in (key, key.with_name(f"{key.name}.pub")):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
        command = [str(program), "-q", "-t", kind, "-N", "", "-C", "root@guest", "-f", str(key)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8", errors="surrogateescape").splitlines()


def _parents(path: Path) -> None:
    """Make the folders above a file as they are in the machine's root."""
    for parent in reversed(path.parents):
        if parent.parts[1:] and not parent.exists():
            parent.mkdir()
            _like(Path("/", *parent.parts[1:]), parent)


def _like(source: Path, target: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        status = source.stat()
        os.chown(target, status.st_uid, status.st_gid)
        os.chmod(target, stat.S_IMODE(status.st_mode))


def _hide(path: Path) -> None:
    """Let something of the machine's root be missing in the guest's."""
    _parents(path)
    os.mknod(path, stat.S_IFCHR, os.makedev(0, 0))


def _own_folder(path: Path, mode: int) -> None:
    _parents(path)
    path.mkdir(exist_ok=True)
    os.chmod(path, mode)
    os.setxattr(path, _OPAQUE, b"y")


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    _parents(path)
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    os.chmod(path, mode)


# --- in the bundle ------------------------------------------------------------------------------------------------


def save(store: str) -> None:
    """Write the guest's changes to a file, which belongs to the owner of its folder."""
    temporary = f"{store}.{os.getpid()}"
    with tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as archive:
        for folder, folders, files in os.walk("upper"):
            folders.sort()
            for name in sorted([*folders, *files]):
                path = os.path.join(folder, name)
                if not folder.startswith(("upper/tmp", "upper/run", "upper/dev")):
                    with contextlib.suppress(FileNotFoundError):
                        _add(archive, path)
    owner = os.stat(os.path.dirname(store))
    os.chown(temporary, owner.st_uid, owner.st_gid)
    os.chmod(temporary, 0o600)
    os.replace(temporary, store)


def _add(archive: tarfile.TarFile, path: str) -> None:
    info = archive.gettarinfo(path, os.path.relpath(path, "upper"))
    if info is None:  # a socket
        return
    for attribute in os.listxattr(path, follow_symlinks=False):
        if attribute in _KEPT_ATTRIBUTES:
            value = os.getxattr(path, attribute, follow_symlinks=False)
            info.pax_headers[_PAX + attribute] = value.decode("latin-1")
    content = Path(path).read_bytes() if info.isreg() else b""  # whole, since the guest may be writing it
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


def _load(store: str) -> None:
    with tarfile.open(store) as archive:
        archive.extraction_filter = lambda member, _folder: member
        members = archive.getmembers()
        for member in members:
            archive.extract(member, "upper", set_attrs=not member.isdir(), numeric_owner=True)
            path = os.path.join("upper", member.name)
            for name, value in member.pax_headers.items():
                if name.startswith(_PAX):
                    os.setxattr(path, name[len(_PAX) :], value.encode("latin-1"), follow_symlinks=False)
        for member in reversed(members):
            if member.isdir():
                path = os.path.join("upper", member.name)
                os.chown(path, member.uid, member.gid)
                os.chmod(path, member.mode)
                os.utime(path, (member.mtime, member.mtime))


def store_of(home: str) -> str:
    """Return the file in a bundle that holds the guest's changes."""
    return os.path.join(home, GUEST_ROOT)
