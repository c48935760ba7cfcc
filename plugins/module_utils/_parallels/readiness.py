# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Checks before a VM is made into an image: one report, in which nothing that is not known passes.

Some checks are answered by this Mac (Parallels, the bundle), others only by the running guest, in one call. What a
guest has answered is kept until the VM runs again, so the report of a VM that was shut down since is whole.

A check that does not apply to the guest's system is left out. What could be asked and is not known fails. What cannot
be asked, because the VM is not running or is not shut down yet, is a warning: a VM that may be generalized must not be
started for an answer.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Callable, Optional

from .._common.errors import TaskError
from .._common.files import free_bytes
from .._common.text import printable_line
from .cli import Prlctl
from .generalize import noted
from .guest import LINUX, WINDOWS, Guest
from .guest_answer import Answer, ask
from .kept_answers import INVENTORY, READINESS, REPORT, KeptAnswer, keep, kept
from .obstacles import ENCRYPTED, LINKED_CLONE, Obstacle, obstacles
from .readiness_questions import POWERSHELL, SHELL
from .vm import ARM64, RUNNING, STOPPED, SUSPENDED, UNKNOWN, X86_64, Vm

PASS, WARN, FAIL, WAIVED = "pass", "warn", "fail", "waived"

# What license channels are called: the word of the option, and how the channels of Windows begin.
ACTIVATIONS = {"retail": "Retail", "oem": "OEM:", "mak": "Volume:MAK", "kms": "Volume:GVLK"}

# Names and paths that one message shows.
_MOST_SHOWN = 5
_LONGEST_NAME = 80
_GIB = 1024**3
_LEAST_FREE = {WINDOWS: 10 * _GIB, LINUX: 1 * _GIB}
_MEMORY_FILES = (".mem", ".sav")
# In the bundle, left by an unattended installation: they hold the password of the first user as plain text.
_ANSWER_FILES = ("autounattend.xml", "unattend.xml", "user-data", "ks.cfg", "preseed.cfg")
_ANSWER_MEDIA = (".fdd", ".flp")
_ARCHITECTURES = {"arm64": ARM64, "aarch64": ARM64, "amd64": X86_64, "x86_64": X86_64}


@dataclass(frozen=True)
class Wanted:
    """The options of the module: what the image is to be, and which checks may fail."""

    waive: frozenset[str] = frozenset()
    generalized: bool = False
    allow_encrypted: bool = False
    arch: str = ""
    windows_activation: str = ""
    inventory: bool = False
    wait_timeout: float = 120


@dataclass(frozen=True)
class Finding:
    """The result of one check. C(known) is false where a fact could not be read or asked for."""

    status: str
    message: str
    remedy: str = ""
    known: bool = True


@dataclass(frozen=True)
class Checked:
    """One line of the report."""

    id: str
    status: str
    message: str
    remedy: str
    known: bool


@dataclass(frozen=True)
class _Replies:
    """What is known of the guest: its answer, when it gave it, or why there is none."""

    answer: Optional[Answer]
    at: str = ""
    why: str = ""
    remedy: str = ""
    # Whether it runs and should have answered.
    silent: bool = False


class _Facts:
    """What the checks are made on."""

    def __init__(self, vm: Vm, wanted: Wanted, replies: _Replies) -> None:
        self.vm = vm
        self.wanted = wanted
        self.replies = replies

    @cached_property
    def obstacles(self) -> list[Obstacle]:
        return obstacles(self.vm)


@dataclass(frozen=True)
class _Check:
    """One check; C(look) returns nothing where it does not apply."""

    id: str
    look: Callable[[_Facts], Optional[Finding]]
    # Of the guest's answer. A check with a topic is made only where there is an answer.
    topic: str = ""
    families: tuple[str, ...] = ()


def check(prl: Prlctl, vm: Vm, wanted: Wanted) -> tuple[list[Checked], str]:
    """Return the report on a VM, and when its guest answered, empty if it did not."""
    unknown = sorted(wanted.waive - set(IDS))
    if unknown:
        raise TaskError(
            f"waive names checks that do not exist: {', '.join(unknown)}. The checks are: {', '.join(IDS)}.",
        )
    replies = _replies(prl, vm, wanted)
    # An image shows less than the bundle of which it was made.
    checks = _earlier_report(vm) if vm.packed else None
    if checks is None:
        checks = list(_report(_Facts(vm, wanted, replies)))
        if vm.state == STOPPED and not vm.packed:
            keep(REPORT, vm, [json.dumps(asdict(each)) for each in checks])
    return [_with_waiver(each, wanted) for each in checks], replies.at


def _earlier_report(vm: Vm) -> Optional[list[Checked]]:
    """Return the report on a VM before it was packed; None where there is none that holds."""
    earlier = kept(REPORT, vm)
    try:
        return None if earlier is None else [Checked(**json.loads(line)) for line in earlier.lines]
    except (ValueError, TypeError):
        return None


def _with_waiver(each: Checked, wanted: Wanted) -> Checked:
    return replace(each, status=WAIVED) if each.status == FAIL and each.id in wanted.waive else each


def _replies(prl: Prlctl, vm: Vm, wanted: Wanted) -> _Replies:
    if vm.family not in (WINDOWS, LINUX):
        return _Replies(None, why=f"Guests with the system '{vm.os}' are not asked.")
    if vm.state != RUNNING:
        earlier = kept(READINESS, vm)
        if earlier is not None:
            return _Replies(Answer(earlier.lines), earlier.at)
        return _Replies(
            None,
            why=f"The guest was not asked: the virtual machine is {vm.state}, and no earlier answer holds.",
            remedy="Start it and check again, unless it is generalized.",
        )
    if vm.tools.get("state") == "not_installed":
        return _Replies(None, why="The guest cannot be asked without Parallels Tools.", remedy=_SEE_TOOLS, silent=True)
    if vm.settings.isolated:
        return _Replies(
            None, why="The guest cannot be asked while it is isolated from the Mac.", remedy=_SEE_ISOLATION, silent=True
        )
    try:
        answer = ask(Guest(prl, vm, patience=wanted.wait_timeout), SHELL, POWERSHELL)
    except TaskError as error:
        return _Replies(None, why=error.message, remedy="Correct that, then check again.", silent=True)
    note: KeptAnswer = keep(READINESS, vm, answer.lines())
    return _Replies(answer, note.at)


_SEE_TOOLS = "See tools."
_SEE_ISOLATION = "See isolation."


def _report(facts: _Facts) -> Iterator[Checked]:
    for each in _CHECKS:
        if each.families and facts.vm.family not in each.families:
            continue
        found = _found(each, facts)
        if found is None:
            continue
        yield Checked(each.id, found.status, found.message, found.remedy, found.known)


def _found(each: _Check, facts: _Facts) -> Optional[Finding]:
    if not each.topic:
        return each.look(facts)
    answer = facts.replies.answer
    if answer is None:
        return Finding(WARN, "Not checked, because the guest has not answered.", "See guest_answers.", known=False)
    if answer.rows(each.topic) is None:
        return Finding(FAIL, f"It is not known. {answer.why_unknown(each.topic)}", _READ_AGAIN, known=False)
    return each.look(facts)


_READ_AGAIN = "Check the guest for errors, then check again. Waive the check only if you have looked yourself."


def _rows(facts: _Facts, topic: str) -> list[tuple[str, ...]]:
    answer = facts.replies.answer
    return (answer.rows(topic) if answer is not None else None) or []


def _list(names: Sequence[str]) -> str:
    shown = [printable_line(name, _LONGEST_NAME) for name in names[:_MOST_SHOWN]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


# --- answered by this Mac -----------------------------------------------------------------------------------------


def _of_obstacles(*ids: str, good: str) -> Callable[[_Facts], Finding]:
    def look(facts: _Facts) -> Finding:
        found = [each for each in facts.obstacles if each.id in ids]
        if not found:
            return Finding(PASS, good)
        reasons = " ".join(f"{each.reason[:1].upper()}{each.reason[1:]}" for each in found)
        advice = " ".join(dict.fromkeys(each.advice for each in found))
        return Finding(FAIL, reasons, advice, known="not known" not in reasons)

    return look


def _encrypted(facts: _Facts) -> Finding:
    found = _of_obstacles(ENCRYPTED, good="It is not encrypted.")(facts)
    if found.status == FAIL and facts.wanted.allow_encrypted:
        return Finding(WAIVED, found.message, found.remedy, found.known)
    return found


def _plain_disks(facts: _Facts) -> Optional[Finding]:
    if not (facts.vm.disks and facts.vm.disks_known):
        return None  # reported with the disks
    plain = [disk.device for disk in facts.vm.disks if disk.format == "plain"]
    if plain:
        return Finding(
            WARN,
            f"Disks have their full size from the start and cannot be compacted: {_list(plain)}.",
            "Convert them to expanding disks in the configuration of the virtual machine.",
        )
    odd = [disk.device for disk in facts.vm.disks if disk.format != "expanding"]
    if odd:
        return Finding(WARN, f"The format of disks is not known: {_list(odd)}.", "Check them.", known=False)
    return Finding(PASS, "All disks are expanding disks.")


def _shared_folders(facts: _Facts) -> Finding:
    folders = facts.vm.shared_folders
    if folders is None:
        return Finding(FAIL, "It is not known which folders of this Mac it shares.", _READ_CONFIGURATION, known=False)
    if not folders:
        return Finding(PASS, "It shares no folder of this Mac by its path.")
    names = [f"{folder.name} ({folder.path})" for folder in folders]
    return Finding(
        FAIL,
        f"It shares folders of this Mac, and the image would have their paths: {_list(names)}.",
        "Remove them in Options > Sharing > Custom Folders, or with `prlctl set VM --shf-host-del NAME`.",
    )


_READ_CONFIGURATION = "Check `prlctl list -i -j VM` on the Mac."


def _media(facts: _Facts) -> Finding:
    media = facts.vm.media
    if media is None:
        return Finding(FAIL, "It is not known which images are in its drives.", _READ_CONFIGURATION, known=False)
    if not media:
        return Finding(PASS, "Its drives are empty.")
    names = [f"{medium.path} in {medium.device}" for medium in media]
    return Finding(
        FAIL,
        f"Its drives hold images of this Mac, which users do not have: {_list(names)}.",
        "Eject them (Devices > CD/DVD > Disconnect), or remove the drive with `prlctl set VM --device-del DEVICE`.",
    )


def _suspended_state(facts: _Facts) -> Finding:
    vm = facts.vm
    if vm.state == SUSPENDED:
        return Finding(
            FAIL,
            "It is suspended. Its saved memory cannot be resumed on other hardware, and may hold passwords.",
            "Resume it and shut it down, or discard the memory (vm_power with suspended: discard).",
        )
    if vm.state != STOPPED:
        return Finding(
            WARN,
            f"Not checked yet, because the virtual machine is {vm.state}.",
            "Check again when it is shut down.",
            known=False,
        )
    names = _names_in(vm)
    if names is None:
        return _unreadable_bundle(vm, "whether its bundle has saved memory")
    found = [name for name in names if name.lower().endswith(_MEMORY_FILES)]
    if found:
        return Finding(
            FAIL,
            f"Its bundle has saved memory of the guest, which may hold passwords: {_list(found)}.",
            "Start it, shut it down, and check again. Remove what is left.",
        )
    return Finding(PASS, "Its bundle has no saved memory.")


def _saved_password(facts: _Facts) -> Finding:
    names = _names_in(facts.vm)
    if names is None:
        return _unreadable_bundle(facts.vm, "whether its bundle has answer files")
    found = [name for name in names if name.lower() in _ANSWER_FILES or name.lower().endswith(_ANSWER_MEDIA)]
    if found:
        return Finding(
            FAIL,
            f"Its bundle has answer files or floppy images of its installation, which may hold a password: "
            f"{_list(found)}.",
            "Remove them from the bundle, and the drive from the configuration.",
        )
    return Finding(PASS, "Its bundle has no answer file.")


def _names_in(vm: Vm) -> Optional[list[str]]:
    """Return the names of the files in a bundle, none for an image; None if they cannot be read."""
    if vm.packed:
        return []
    try:
        return sorted(os.listdir(vm.home)) if vm.home else None
    except OSError:
        return None


def _unreadable_bundle(vm: Vm, what: str) -> Finding:
    return Finding(
        FAIL,
        f"It is not known {what}: {vm.home or 'its bundle'} cannot be read.",
        "Check the owner and the permissions of its files.",
        known=False,
    )


def _architecture(facts: _Facts) -> Finding:
    has, wanted = facts.vm.arch, facts.wanted.arch
    if has == UNKNOWN:
        return Finding(
            WARN if wanted else FAIL,
            "Its configuration does not show its architecture.",
            "Set image_arch, and make sure that it is right.",
            known=False,
        )
    if wanted and has != wanted:
        return Finding(FAIL, f"It is a virtual machine for {has}, but the image is for {wanted}.", _WRONG_ARCH)
    return Finding(PASS, f"It is a virtual machine for {has}.")


_WRONG_ARCH = "Correct image_arch, or choose another source VM."


def _isolation(facts: _Facts) -> Optional[Finding]:
    if facts.vm.packed:
        return None
    if facts.vm.settings.isolated is None:
        return Finding(WARN, "It is not known whether it is isolated from the Mac.", _READ_ISOLATION, known=False)
    if facts.vm.settings.isolated:
        return Finding(
            WARN,
            "It is isolated from the Mac: nothing can be run or checked in the guest, and users cannot share with it.",
            "Turn it off (`prlctl set VM --isolate-vm off`) until the image is sealed.",
        )
    return Finding(PASS, "It is not isolated from the Mac.")


_READ_ISOLATION = "Check Options > Security > Isolate from Mac."


def _secure_boot_key(facts: _Facts) -> Finding:
    key = facts.vm.secure_boot_key
    if key == "outdated":
        return Finding(
            FAIL,
            "Its Secure Boot key is outdated. Windows gets no new boot loader with it since March 2026.",
            "Update the key in the source VM, as Parallels describes.",
        )
    if key == UNKNOWN:
        return Finding(WARN, "It is not known whether its Secure Boot key is current.", "Start it once.", known=False)
    return Finding(PASS, "Its Secure Boot key is current.")


def _tools(facts: _Facts) -> Finding:
    state, version = facts.vm.tools.get("state", UNKNOWN), printable_line(facts.vm.tools.get("version", ""), 40)
    if state == "installed":
        return Finding(PASS, f"Parallels Tools {version} are installed.")
    if state == "outdated":
        return Finding(
            WARN, f"Parallels Tools {version} are older than those of this Mac.", "Update them in the source VM."
        )
    if state == "not_installed":
        return Finding(FAIL, "Parallels Tools are not installed.", "Install them in the source VM.")
    if state == "possibly_installed" and facts.replies.answer is not None:
        return Finding(PASS, f"Parallels Tools {version} are installed. The guest has answered through them.")
    return Finding(
        WARN,
        f"It is not known whether Parallels Tools {version} work, because that only shows while the guest runs.",
        "Start it and check again, unless it is generalized.",
        known=False,
    )


def _generalized(facts: _Facts) -> Finding:
    vm = facts.vm
    bad = FAIL if facts.wanted.generalized else WARN
    remedy = "Set image_generalize, or run vm_generalize."
    if vm.family not in (WINDOWS, LINUX):
        return Finding(WARN, f"Guests with the system '{vm.os}' cannot be generalized.", known=False)
    if vm.state == RUNNING:
        return Finding(
            WARN,
            "Not checked yet, because the virtual machine is running.",
            "Check again when it is shut down.",
            known=False,
        )
    state = noted(vm)
    if state.generalized:
        return Finding(PASS, "It is generalized, and has not run since.")
    if state.generalized is None:
        return Finding(bad, "It is not known whether it is generalized: it may have run since.", remedy, known=False)
    return Finding(
        bad,
        "Nothing shows that it is generalized. Unless that was done by hand, all copies of the image have the same "
        "identity.",
        remedy,
    )


def _free_space(facts: _Facts) -> Optional[Finding]:
    vm = facts.vm
    if vm.packed:
        return None
    need, free = vm.bytes_on_disk, free_bytes(vm.folder) if vm.home else None
    if need is None or free is None:
        return Finding(WARN, "It is not known whether the Mac has enough free space for packing.", known=False)
    if free < need:
        return Finding(
            WARN,
            f"Packing may need {_gib(need)}, and {vm.folder} has {_gib(free)} free.",
            "Free some space. Compacting may be enough.",
        )
    return Finding(PASS, f"{vm.folder} has {_gib(free)} free.")


def _software_list(facts: _Facts) -> Optional[Finding]:
    if not facts.wanted.inventory or facts.vm.family not in (WINDOWS, LINUX):
        return None
    found = kept(INVENTORY, facts.vm)
    if found is not None:
        return Finding(PASS, f"What is installed in the guest was listed at {found.at}.")
    return Finding(
        WARN,
        "The guest has not listed what is installed in it, so the image has no SBOM.",
        "Have it run before it is sealed (image_generalize, image_provision_tasks, image_guest_tasks or "
        "image_guest_roles), or run vm_inventory_info while it runs. Or set image_sbom to false.",
        known=False,
    )


def _gib(size: int) -> str:
    return f"{size / _GIB:.1f} GiB"


# --- answered by the guest ----------------------------------------------------------------------------------------


def _guest_answers(facts: _Facts) -> Finding:
    replies = facts.replies
    if replies.answer is not None:
        return Finding(PASS, f"The guest has answered, at {replies.at}.")
    status = FAIL if replies.silent else WARN
    return Finding(status, printable_line(replies.why, 400), replies.remedy, known=False)


def _guest_architecture(facts: _Facts) -> Finding:
    said = [row[0] for row in _rows(facts, "arch") if row]
    machine = printable_line(said[0], 40) if len(said) == 1 else ""
    arch = _ARCHITECTURES.get(machine.lower())
    if arch is None:
        return Finding(
            FAIL, f"The architecture of the guest's system is not known ({machine or 'no answer'}).", _READ_AGAIN, False
        )
    expected = facts.wanted.arch or facts.vm.arch
    if expected not in (UNKNOWN, "", arch):
        return Finding(FAIL, f"The guest's system is for {arch}, but the image is for {expected}.", _WRONG_ARCH)
    return Finding(PASS, f"The guest's system is for {arch}.")


def _restart_pending(facts: _Facts) -> Finding:
    rows = _rows(facts, "restart")
    waiting = [row[0] for row in rows if row and "rename" not in row[1:]]
    if waiting:
        return Finding(FAIL, f"A restart is pending: {_list(waiting)}.", "Restart the guest until none is pending.")
    if rows:
        return Finding(WARN, "Files wait for a restart to be renamed or deleted.", "Restart the guest.")
    return Finding(PASS, "No restart is pending.")


def _none_of(topic: str, good: str, bad: str, remedy: str, status: str = FAIL) -> Callable[[_Facts], Finding]:
    """Return a check that passes if a topic has no entry, and shows the first value of each otherwise."""

    def look(facts: _Facts) -> Finding:
        names = [row[0] if row else "" for row in _rows(facts, topic)]
        return Finding(status, f"{bad}: {_list(list(dict.fromkeys(names)))}.", remedy) if names else Finding(PASS, good)

    return look


def _activation_channel(facts: _Facts) -> Finding:
    channels = [row[0] for row in _rows(facts, "channel") if row and row[0]]
    wanted = facts.wanted.windows_activation
    shown = _list(channels) or "none"
    if not wanted:
        return Finding(PASS, f"The activation channel of Windows is {shown}. None is expected.")
    if len(channels) == 1 and channels[0].startswith(ACTIVATIONS[wanted]):
        return Finding(PASS, f"The activation channel of Windows is {shown}.")
    return Finding(
        FAIL,
        f"The activation channel of Windows is {shown}, but {wanted} is expected.",
        "Install the right product key in the source VM (slmgr /ipk), or correct image_windows_activation.",
    )


def _guest_free_space(facts: _Facts) -> Finding:
    rows = _rows(facts, "free")
    numbers = [_bytes(value) for value in rows[0]] if len(rows) == 1 else []
    if len(numbers) != 2 or None in numbers:
        return Finding(FAIL, "The free space in the guest is not known.", _READ_AGAIN, known=False)
    free = numbers[0] or 0
    least = _LEAST_FREE[facts.vm.family]
    if free < least:
        return Finding(
            WARN,
            f"The guest's system disk has {_gib(free)} free, less than {_gib(least)}.",
            "Delete what is not needed, or make the disk larger: updates need the space.",
        )
    return Finding(PASS, f"The guest's system disk has {_gib(free)} free.")


def _bytes(text: str) -> Optional[int]:
    """Return the number of bytes of a text such as 1024 or 1K."""
    digits, unit = (text[:-1], 1024) if text.endswith("K") else (text, 1)
    return int(digits) * unit if digits.isascii() and digits.isdigit() and len(digits) < 20 else None


def _sign_in(facts: _Facts) -> Finding:
    rows = _rows(facts, "sign_in")
    if not rows:
        return Finding(PASS, "Windows signs in nobody by itself.")
    users = _list([row[0] if row and row[0] else "a user without a name" for row in rows])
    with_password = any("password" in row[1:] for row in rows)
    saved = ", and the password is saved in its registry" if with_password else ""
    return Finding(
        FAIL,
        f"Windows signs in {users} by itself{saved}.",
        "Turn off automatic sign-in, and delete DefaultPassword in HKLM\\SOFTWARE\\Microsoft\\Windows "
        "NT\\CurrentVersion\\Winlogon.",
    )


_CHECKS = (
    _Check(
        "bundle",
        _of_obstacles("intermediate", "macos", "bundle", "template", good="It is a whole .pvm bundle, not a template."),
    ),
    _Check(LINKED_CLONE, _of_obstacles(LINKED_CLONE, good="It is not a linked clone.")),
    _Check(ENCRYPTED, _encrypted),
    _Check(
        "disks",
        _of_obstacles(
            *("disks", "physical_disk", "disk_outside", "disk_missing", "disks_unreadable"),
            good="All of its disks are in its bundle.",
        ),
    ),
    _Check("plain_disks", _plain_disks),
    _Check("shared_folders", _shared_folders),
    _Check("attached_media", _media),
    _Check("suspended_state", _suspended_state),
    _Check("saved_password", _saved_password),
    _Check("architecture", _architecture),
    _Check("isolation", _isolation),
    _Check("secure_boot_key", _secure_boot_key, families=(WINDOWS,)),
    _Check("tools", _tools),
    _Check("generalized", _generalized),
    _Check("free_space", _free_space),
    _Check("software_list", _software_list),
    _Check("guest_answers", _guest_answers),
    _Check("guest_architecture", _guest_architecture, "arch", (WINDOWS, LINUX)),
    _Check("restart_pending", _restart_pending, "restart", (WINDOWS, LINUX)),
    _Check(
        "updates_in_progress",
        _none_of(
            "updates",
            "No update is in progress.",
            "An update is in progress",
            "Let it finish, and restart the guest.",
        ),
        "updates",
        (WINDOWS, LINUX),
    ),
    _Check(
        "domain_joined",
        _none_of(
            "domain",
            "It is not joined to a domain.",
            "It is joined to a domain",
            "Leave the domain. Users' machines join it after their first start.",
        ),
        "domain",
        (WINDOWS, LINUX),
    ),
    _Check(
        "entra_joined",
        _none_of(
            "entra",
            "It is not joined to Microsoft Entra ID.",
            "It is joined to a directory",
            "Leave it (dsregcmd /leave), or build from a source that was never joined.",
        ),
        "entra",
        (WINDOWS,),
    ),
    _Check(
        "user_profiles",
        _none_of(
            "profiles",
            "No user has a profile.",
            "Users have profiles, which every copy of the image gets",
            "Delete those that are not meant for the users.",
            WARN,
        ),
        "profiles",
        (WINDOWS, LINUX),
    ),
    _Check("automatic_sign_in", _sign_in, "sign_in", (WINDOWS,)),
    _Check("activation_channel", _activation_channel, "channel", (WINDOWS,)),
    _Check("guest_free_space", _guest_free_space, "free", (WINDOWS, LINUX)),
)
IDS = tuple(each.id for each in _CHECKS)


# --- the report ---------------------------------------------------------------------------------------------------


def failed(checks: Sequence[Checked]) -> list[Checked]:
    """Return the checks that keep a VM from becoming an image."""
    return [each for each in checks if each.status == FAIL]


def summary(checks: Sequence[Checked]) -> str:
    """Return how many checks have each result, as one sentence."""
    counts = [(sum(each.status == status for each in checks), word) for status, word in _WORDS]
    return f"{', '.join(f'{count} {word}' for count, word in counts if count)}."


_WORDS = ((PASS, "passed"), (WARN, "with a warning"), (WAIVED, "waived"), (FAIL, "failed"))


def table(checks: Sequence[Checked]) -> list[str]:
    """Return the report for people: the summary, then a line for each check that has not passed, the worst first."""
    order = (FAIL, WAIVED, WARN)
    rows = sorted((each for each in checks if each.status != PASS), key=lambda each: order.index(each.status))
    width = max((len(each.id) for each in rows), default=0)
    return [
        f"Readiness: {summary(checks)}",
        *(f"{each.status:<6}  {each.id:<{width}}  {' '.join((each.message, each.remedy)).strip()}" for each in rows),
    ]


def gate(vm: Vm, checks: Sequence[Checked]) -> Optional[TaskError]:
    """Return the error for a VM with failed checks, all of them in one message; None if there are none."""
    bad = failed(checks)
    if not bad:
        return None
    reasons = "\n".join(f"{each.id}: {each.message} {each.remedy}".rstrip() for each in bad)
    return TaskError(
        f"'{vm.name}' is not ready to become an image. {len(bad)} of {len(checks)} checks failed:\n{reasons}\nCorrect "
        f"them in the source VM, or waive them (image_waive in the playbooks): {', '.join(each.id for each in bad)}.",
        failed_checks=[each.id for each in bad],
        checks=[asdict(each) for each in checks],
    )


def for_record(checks: Sequence[Checked], guest_at: str) -> dict[str, Any]:
    """Return the report as the record of an image has it: what passed by its id, the rest with its message."""
    return {
        "guest_answered_at": guest_at,
        "passed": [each.id for each in checks if each.status == PASS],
        "warnings": [_in_record(each) for each in checks if each.status == WARN],
        "waived": [_in_record(each) for each in checks if each.status == WAIVED],
        "failed": [_in_record(each) for each in checks if each.status == FAIL],
    }


def _in_record(each: Checked) -> dict[str, str]:
    return {"id": each.id, "message": printable_line(each.message, 300)}
