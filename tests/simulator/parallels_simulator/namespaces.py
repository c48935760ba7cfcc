# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The system calls that a guest with a root of its own needs, and that Python does not have. Linux only."""

from __future__ import annotations

import ctypes
import os
import sys

NEW_TIME, NEW_MOUNTS, NEW_HOST_NAME, NEW_IPC, NEW_PIDS, NEW_NET = (
    0x80,
    0x20000,
    0x4000000,
    0x8000000,
    0x20000000,
    0x40000000,
)
READ_ONLY, NO_SUID, NO_DEV, NO_EXEC, REMOUNT, BIND, RECURSIVE, PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
_DETACH = 2
_PARENT_DEATH_SIGNAL, _SET_NAME, _DROP_BOUND = 1, 15, 24

# What root may do in a container, too: nothing with the machine's devices, kernel, clock or mounts.
_KEPT_RIGHTS = (
    0,  # CHOWN
    1,  # DAC_OVERRIDE
    2,  # DAC_READ_SEARCH
    3,  # FOWNER
    4,  # FSETID
    5,  # KILL
    6,  # SETGID
    7,  # SETUID
    8,  # SETPCAP
    10,  # NET_BIND_SERVICE
    13,  # NET_RAW
    18,  # SYS_CHROOT
    29,  # AUDIT_WRITE
    31,  # SETFCAP
)
_LAST_RIGHT = 63

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(what: str, result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{os.strerror(number)}", what)


def unshare(flags: int) -> None:
    """Leave some of the machine's namespaces for new ones."""
    _checked("unshare", _libc.unshare(ctypes.c_int(flags)))


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """Mount a file system."""
    words = [text.encode(errors="surrogateescape") for text in (source, target, kind, options)]
    result = _libc.mount(words[0], words[1], words[2] or None, ctypes.c_ulong(flags), words[3] or None)
    _checked(f"mount {kind or source} on {target}", result)


def bind(source: str, target: str, read_only: bool = False) -> None:
    """Show a file or folder at another place as well."""
    mount(source, target, flags=BIND)
    if read_only:
        mount(source, target, flags=BIND | REMOUNT | READ_ONLY)


def enter_root(folder: str) -> None:
    """Make a mount point the root folder of this process; what was the root is gone from its sight."""
    os.chdir(folder)
    _checked("pivot_root", _libc.pivot_root(b".", b"."))
    _checked("umount", _libc.umount2(b".", _DETACH))
    os.chdir("/")


def die_with_parent(signal_number: int) -> None:
    """Have a signal sent to this process when its parent ends, however that comes."""
    _checked("prctl", _libc.prctl(_PARENT_DEATH_SIGNAL, signal_number, 0, 0, 0))


def set_name(name: str) -> None:
    """Set what lists of processes call this process: its name, and its command line."""
    _checked("prctl", _libc.prctl(_SET_NAME, name.encode(), 0, 0, 0))
    with open("/proc/self/stat", encoding="utf-8", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
    start, end = (int(field) for field in fields[45:47])
    ctypes.memset(start, 0, end - start)
    ctypes.memmove(start, name.encode(), min(len(name), end - start - 1))


def give_up_rights() -> None:
    """Let no program that is started from here have rights over the machine, not even as root."""
    for right in range(_LAST_RIGHT + 1):
        if right not in _KEPT_RIGHTS:
            _libc.prctl(_DROP_BOUND, right, 0, 0, 0)  # fails for those that this kernel does not have


def set_host_name(name: str) -> None:
    """Set the name of the host in this namespace."""
    _checked("sethostname", _libc.sethostname(name.encode(), len(name.encode())))


def count_uptime_from_now() -> None:
    """Let the uptime of the processes that this one makes begin at zero, where the kernel can do that."""
    try:
        unshare(NEW_TIME)
        with open("/proc/uptime", encoding="ascii") as file:
            seconds = int(float(file.read().split()[0]))
        with open("/proc/self/timens_offsets", "w", encoding="ascii") as file:
            file.write(f"boottime -{seconds} 0\n")
    except OSError as error:
        print(f"simulator: the guest has the machine's uptime: {error}", file=sys.stderr)


def loopback_up() -> None:
    """Switch the loopback interface on."""
    import fcntl
    import socket
    import struct

    get_flags, set_flags, up = 0x8913, 0x8914, 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        request = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(handle, get_flags, request))[1]
        fcntl.ioctl(handle, set_flags, struct.pack("16sH14x", b"lo", flags | up))
