# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The facts of a VM: read from prlctl and, where prlctl does not report them, from the VM's bundle."""

from __future__ import annotations

import os
import re
import sys
import uuid as uuid_module
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Optional
from xml.etree import ElementTree  # nosec B405 # the type alone

from .._common.errors import TaskError
from .._common.files import IMAGE_SUFFIX, INTERMEDIATE_SUFFIX, bytes_on_disk, intermediate_of
from .._common.ownership import open_regular, refuse_foreign
from .._common.text import same_name
from .._common.unreadable import Unreadable, why_unreadable
from .._common.xml import parse_xml
from .cli import PRLCTL, Prlctl
from .settings import Settings, read_settings
from .unlisted import Unlisted, find_unlisted, forget_unlisted

STOPPED = "stopped"
RUNNING = "running"
SUSPENDED = "suspended"
PAUSED = "paused"
INVALID = "invalid"

# In any other state, known or not, Parallels is working on the VM.
_AT_REST = frozenset((STOPPED, RUNNING, SUSPENDED, PAUSED, INVALID))

ARM64 = "arm64"
X86_64 = "x86_64"
UNKNOWN = "unknown"

_LINUX = re.compile(
    r".*linux|lin-|alma|arch|boot2docker|centos|debian|fedora|gentoo|kali|mageia|mandra?[kv]|manjaro|mint|opensuse|oracle"
    r"|popos|redhat|rhel|rocky|slackware|sles|suse|ubuntu|xandros"
)

# According to Parallels, Windows guests with this platform key get no new boot loaders after March 2026.
_OUTDATED_PLATFORM_KEY = "7ec69a1bd679fb7aa7b22ce6b3d0204113b19591db1f1d52014022d8c74f0d53"

# Bytes. A configuration has less than one percent of that.
_LARGEST_XML = 16 * 1024 * 1024
_NO_HARDWARE = "Parallels does not report the hardware and disks"

# Seconds that Parallels gets to finish its work on a VM before something else is done to it.
BUSY_TIME = 600

BUNDLE_SUFFIX = ".pvm"
MACOS_BUNDLE_SUFFIX = ".macvm"


@dataclass(frozen=True)
class Snapshot:
    """One snapshot; C(depth) is 0 for those without a parent."""

    id: str
    name: str
    date: str
    state: str
    current: Optional[bool]
    parent: str
    depth: int


@dataclass(frozen=True)
class Disk:
    """One virtual hard disk. A packed VM's disks are within the image: they have no path of their own."""

    device: str
    path: str
    format: str
    size: Optional[int]  # that the guest sees

    @cached_property
    def bytes_on_disk(self) -> Optional[int]:
        """The bytes that it takes, read when they are needed first; None if that is not known."""
        return _measure(self.path)[0] if self.path else 0

    def result(self) -> dict[str, Any]:
        """Return the disk as modules show it."""
        return {**asdict(self), "bytes_on_disk": self.bytes_on_disk}


@dataclass(frozen=True)
class SharedFolder:
    """A folder of this Mac that a guest sees under a name."""

    name: str
    path: str


@dataclass(frozen=True)
class Medium:
    """The image in a CD or floppy drive."""

    device: str
    path: str


@dataclass(frozen=True)
class Vm:
    """One VM, as it was when it was read. Facts that are None are not known: that is never a no."""

    uuid: str
    name: str
    state: str
    os: str
    family: str
    arch: str
    home: str
    packed: Optional[bool]  # None also while it is neither packed nor whole, see intermediate
    encrypted: Optional[bool]
    tools: dict[str, str]
    settings: Settings
    template: Optional[bool] = None
    linked_clone: Optional[bool] = None
    linked_to: str = ""
    linked_snapshot: str = ""
    secure_boot_key: str = UNKNOWN
    disks: list[Disk] = field(default_factory=list)
    snapshots: Optional[list[Snapshot]] = None
    uptime: int = 0  # seconds that it has run in total, as far as Parallels counts them
    # Whether the disks are all that it has: without facts about its hardware, that it has none is not known.
    disks_known: bool = True
    # Sentences about what could not be read, and why.
    unreadable: tuple[str, ...] = ()
    # The folders of this Mac that it shares with the guest, and the images in its CD and floppy drives. None where
    # Parallels does not report them.
    shared_folders: Optional[tuple[SharedFolder, ...]] = None
    media: Optional[tuple[Medium, ...]] = None

    @cached_property
    def _measured(self) -> tuple[Optional[int], str]:
        return _measure(self.home)

    @property
    def bytes_on_disk(self) -> Optional[int]:
        """The bytes that it takes, read when they are needed first; None if that is not known."""
        return self._measured[0]

    def measure(self) -> None:
        """Read the sizes now, before the files are changed or removed."""
        for part in (self, *self.disks):
            getattr(part, "bytes_on_disk")  # noqa: B009  (a cached property)

    def measured(self) -> int:
        """Return the bytes that it takes; raise TaskError if that is not known."""
        return _known(f"'{self.name}'", self.home, self._measured)

    def why_unreadable(self) -> list[str]:
        """Return what could not be read, including the size, and why."""
        why = self._measured[1]
        known = any(sentence.startswith(self.home) for sentence in self.unreadable)
        return [*self.unreadable, *([why] if why and not known else [])]

    @property
    def busy(self) -> bool:
        """Whether Parallels is working on it. An unknown state counts as work."""
        return is_busy(self.state)

    @property
    def folder(self) -> str:
        """The folder in which its bundle or image is."""
        return os.path.dirname(self.home)

    @property
    def stem(self) -> str:
        """The file name of its bundle or image without the suffix; may differ from the VM's name."""
        return os.path.splitext(os.path.basename(self.home))[0]

    @property
    def bundle(self) -> str:
        """The path of its bundle; of a packed VM, the path that it had and will have unpacked."""
        whole = not self.packed and not self.intermediate
        return self.home if whole else os.path.join(self.folder, self.stem + BUNDLE_SUFFIX)

    @property
    def intermediate(self) -> bool:
        """Whether a packing or unpacking of it was interrupted, or is under way: it is in a third kind of bundle."""
        return self.home.endswith(INTERMEDIATE_SUFFIX)

    def result(self) -> dict[str, Any]:
        """Return the VM as modules show it."""
        return {
            "uuid": self.uuid,
            "name": self.name,
            "state": self.state,
            "os": self.os,
            "family": self.family,
            "arch": self.arch,
            "home": self.home,
            "packed": self.packed,
            "intermediate": self.intermediate,
            "encrypted": self.encrypted,
            "template": self.template,
            "tools": self.tools,
            "linked_clone": self.linked_clone,
            "secure_boot_key": self.secure_boot_key,
            "bytes_on_disk": self.bytes_on_disk,
            **asdict(self.settings),
            "disks": [disk.result() for disk in self.disks] if self.disks_known else None,
            "snapshots": None if self.snapshots is None else [asdict(snapshot) for snapshot in self.snapshots],
        }


def _measure(path: str) -> tuple[Optional[int], str]:
    """Return the bytes that a file or folder takes on the disk; if that is not known, None and why."""
    if not path:
        return None, "Parallels does not report where its files are."
    try:
        os.lstat(path)  # of one that does not exist, the size is not known rather than 0
        return bytes_on_disk(path), ""
    except OSError as error:
        return None, why_unreadable(error.filename or path, error)


def known_bytes(path: str) -> int:
    """Return the bytes that a file or folder takes on the disk; raise TaskError if that is not known."""
    return _known(path, path, _measure(path))


def _known(what: str, path: str, measured: tuple[Optional[int], str]) -> int:
    size, why = measured
    if size is None:
        raise TaskError(f"The size of {what} is not known. {why} Then run again.", path=path)
    return size


def refuse_intermediate(vm: Vm) -> None:
    """Raise TaskError for a VM that is neither packed nor whole: Parallels allows nothing but finishing that."""
    if vm.intermediate:
        raise TaskError(
            f"'{vm.name}' is in an intermediate state ({vm.home}): packing or unpacking it was started, but not "
            f"finished. Finish it with `prlctl unpack '{vm.name}'` on the Mac, or with macops.parallels.image_pack and "
            "state: unpacked, then run again.",
            path=vm.home,
        )


def is_busy(state: str) -> bool:
    """Return whether Parallels is working on a VM in this state."""
    return state not in _AT_REST


def bare_uuid(text: str) -> str:
    """Return a UUID in the form of prlctl's JSON: lower case, without braces; empty when it is not a UUID."""
    inner = text.strip()
    if inner.startswith("{") and inner.endswith("}"):
        inner = inner[1:-1]
    try:
        return str(uuid_module.UUID(inner)) if re.fullmatch(r"[0-9a-fA-F-]{36}", inner) else ""
    except ValueError:
        return ""


@dataclass(frozen=True)
class Entry:
    """An entry of the list of VMs, which is cheap to read."""

    uuid: str
    name: str
    state: str

    @property
    def busy(self) -> bool:
        """Whether Parallels is working on it."""
        return is_busy(self.state)


def list_entries(prl: Prlctl) -> list[Entry]:
    """Return all VMs of this user but templates, with the basic facts of each."""
    answer = prl.read_json(PRLCTL, "list", "-a", "-j")
    if not answer:
        # The list may be empty right after the service started, and much depends on "there is no such VM".
        prl.sleep(1)
        answer = prl.read_json(PRLCTL, "list", "-a", "-j")
    return _entries(answer)


def list_templates(prl: Prlctl) -> list[Entry]:
    """Return the templates of this user, which Parallels leaves out of the list of VMs."""
    return _entries(prl.read_json(PRLCTL, "list", "-a", "-t", "-j"))


def list_all_entries(prl: Prlctl) -> list[Entry]:
    """Return all VMs of this user, templates among them."""
    entries = list_entries(prl)
    known = {entry.uuid for entry in entries}
    return [*entries, *(entry for entry in list_templates(prl) if entry.uuid not in known)]


def _entries(answer: list[Any]) -> list[Entry]:
    entries = []
    for row in answer:
        uuid = bare_uuid(str(row.get("uuid", ""))) if isinstance(row, dict) else ""
        if not uuid:  # leaving it out would mean that there is no such VM
            raise TaskError(
                "Parallels returned a list of virtual machines with an entry that has no UUID. Run `prlctl list --all "
                "--json` on the Mac to see it, and restart Parallels Desktop."
            )
        entries.append(Entry(uuid, str(row.get("name", "")), str(row.get("status", UNKNOWN))))
    return entries


def find_entry(prl: Prlctl, name_or_uuid: str) -> Optional[Entry]:
    """Return the VM or template with exactly this name or UUID, or None. Raises TaskError for two of one name."""
    return _named(list_entries(prl), name_or_uuid) or _named(list_templates(prl), name_or_uuid)


def _named(entries: list[Entry], name_or_uuid: str) -> Optional[Entry]:
    wanted = bare_uuid(name_or_uuid)
    if wanted:
        found = [entry for entry in entries if entry.uuid == wanted]
        if found:
            return found[0]
    found = [entry for entry in entries if same_name(entry.name, name_or_uuid)]
    if len(found) > 1:
        raise TaskError(
            f"{len(found)} virtual machines are named '{name_or_uuid}': {', '.join(entry.uuid for entry in found)}. "
            "Use the UUID of the one that you mean instead of the name."
        )
    return found[0] if found else None


def find_vm(prl: Prlctl, name_or_uuid: str, *, partly: bool = False) -> Optional[Vm]:
    """Return the VM with exactly this name or UUID, or None. One that a killed run unregistered is registered again.

    For C(partly) see C(read_vm).
    """
    entry = _find_or_put_back(prl, name_or_uuid)
    return _read_if_there(prl, entry, partly=partly) if entry else None


def _find_or_put_back(prl: Prlctl, name_or_uuid: str) -> Optional[Entry]:
    entry = find_entry(prl, name_or_uuid)
    if entry is None:
        lost = _lost_vm(name_or_uuid)
        return _put_back(prl, lost) if lost and prl.mends else None
    forget_unlisted(entry.uuid)
    return entry


def _lost_vm(name_or_uuid: str) -> Optional[Unlisted]:
    return find_unlisted(lambda vm: bare_uuid(name_or_uuid) == vm.uuid or same_name(vm.name, name_or_uuid))


def _put_back(prl: Prlctl, lost: Unlisted) -> Optional[Entry]:
    """Register a VM again that a run had unregistered before it was killed."""
    with lost.take(prl, BUSY_TIME) as note:
        entry = find_entry(prl, lost.uuid)
        if entry is None and os.path.exists(lost.path):
            refuse_foreign(lost.path, f"'{lost.name}' was not registered again from it.")
            prl.change(
                f"register {lost.path} again",
                ["register", lost.path, "--preserve-uuid=yes"],
                lambda: find_entry(prl, lost.uuid) is not None,
                keep_open=[note.descriptor],
            )
            prl.notice(
                f"An earlier run was interrupted after it had unregistered '{lost.name}'. It was registered again from "
                f"{lost.path}."
            )
            entry = find_entry(prl, lost.uuid)
        if entry is not None:
            note.remove()
        return entry


def _read_if_there(prl: Prlctl, entry: Entry, *, partly: bool = False) -> Optional[Vm]:
    """Return a VM that was just on the list; None when another run has removed it since."""
    try:
        return read_vm(prl, entry, partly=partly)
    except TaskError as error:
        if find_entry(prl, entry.uuid) is None:
            return None
        if partly:
            return _unread(entry, error)
        raise


def get_vm(prl: Prlctl, name_or_uuid: str, *, partly: bool = False) -> Vm:
    """Return the VM with exactly this name or UUID; raise TaskError when there is none.

    For C(partly) see C(read_vm).
    """
    vm = find_vm(prl, name_or_uuid, partly=partly)
    if vm is None:
        raise no_such_vm(name_or_uuid)
    return vm


def no_such_vm(name_or_uuid: str) -> TaskError:
    """Return the error for a VM that does not exist."""
    lost = _lost_vm(name_or_uuid)
    if lost is not None:
        return TaskError(
            f"'{lost.name}' is not on Parallels' list: an earlier run was interrupted after it had unregistered it. "
            "The next run that may change something registers it again if possible. If it cannot, register "
            f"{lost.path} by hand.",
            path=lost.path,
        )
    return TaskError(
        f"There is no virtual machine '{name_or_uuid}' for this user. Run `prlctl list --all` to see which ones there "
        "are. Virtual machines belong to a user, so connect as the user who owns it."
    )


def ip_addresses(prl: Prlctl) -> dict[str, str]:
    """Return the IP addresses of the guests that Parallels knows, by UUID. Only the full list has them."""
    answer = prl.read_json(PRLCTL, "list", "-a", "-f", "-j")
    found = {
        bare_uuid(str(row.get("uuid", ""))): str(row.get("ip_configured") or "").strip()
        for row in answer
        if isinstance(row, dict)
    }
    return {uuid: address for uuid, address in found.items() if address not in ("", "-")}


def list_vms(prl: Prlctl) -> list[Vm]:
    """Return all VMs of this user, also those that can be read only partly.

    Each is read separately: in one answer for all, some facts are missing.
    """
    found = (_read_if_there(prl, entry, partly=True) for entry in list_all_entries(prl))
    return [vm for vm in found if vm is not None]


def list_vms_briefly(prl: Prlctl) -> list[Vm]:
    """Return all VMs of this user without their snapshots, which take a question of their own for each VM."""
    found = []
    for entry in list_all_entries(prl):
        try:
            found.append(_from_info(entry, _read_info(prl, entry), None, []))
        except TaskError as error:
            if find_entry(prl, entry.uuid) is not None:
                found.append(_unread(entry, error))
    return found


def state_of(prl: Prlctl, uuid: str) -> str:
    """Return the state of a VM; raise TaskError when it is gone."""
    entry = find_entry(prl, uuid)
    if entry is None:
        raise no_such_vm(uuid)
    return entry.state


def wait_for_state(prl: Prlctl, uuid: str, wanted: Iterable[str], timeout: float) -> str:
    """Return the state of a VM as soon as it is one of those wanted, else its state after the timeout."""
    goal = frozenset(wanted)
    end = prl.clock() + timeout
    pause = 0.5
    state = state_of(prl, uuid)
    while state not in goal and prl.clock() < end:
        prl.sleep(pause)
        pause = min(pause * 1.5, 5)
        state = state_of(prl, uuid)
    return state


def wait_while_busy(prl: Prlctl, uuid: str, timeout: float) -> str:
    """Return the state of a VM once Parallels no longer works on it; raise TaskError after the timeout."""
    state = wait_for_state(prl, uuid, _AT_REST, timeout)
    if is_busy(state):
        raise TaskError(
            f"The virtual machine {uuid} has been '{state}' for {timeout:.0f} seconds. Wait until Parallels has "
            "finished (Control Center shows it), then run again."
        )
    return state


@dataclass(frozen=True)
class Dependents:
    """The linked clones of a VM, each with the id of the snapshot that it depends on; and the VMs that may be some."""

    clones: list[tuple[Entry, str]]
    # Each with the reason why that cannot be read.
    unreadable: list[tuple[Entry, str]]


def find_linked_clones(prl: Prlctl, vm: Vm) -> Dependents:
    """Return the linked clones of a VM, and the VMs that cannot be read and so may be linked clones of it."""
    found = Dependents([], [])
    for entry in list_all_entries(prl):
        if entry.uuid == vm.uuid:
            continue
        try:
            home = _home_if_there(prl, entry)
            link = _read_link(home) if home else None
        except (Unreadable, TaskError) as error:
            found.unreadable.append((entry, str(error)))
            continue
        if link is not None and link.vm == vm.uuid:
            found.clones.append((entry, link.snapshot))
    return found


def _home_if_there(prl: Prlctl, entry: Entry) -> str:
    """Return the bundle of a VM that may be a linked clone; empty when the VM is gone, or packed."""
    home = home_of(prl, entry)
    if not home and find_entry(prl, entry.uuid) is not None:
        raise Unreadable("Parallels does not report where its files are.")
    return "" if home.endswith(IMAGE_SUFFIX) else home  # the disks of a packed VM are within its image


def home_of(prl: Prlctl, entry: Entry) -> str:
    """Return the bundle or image of a VM that was just on the list; empty when the VM is gone since."""
    try:
        return _home(_read_info(prl, entry))
    except TaskError:
        if find_entry(prl, entry.uuid) is None:
            return ""
        raise


def _read_info(prl: Prlctl, entry: Entry) -> dict[str, Any]:
    answer = prl.read_json(PRLCTL, "list", "-i", "-j", entry.uuid)
    info = next((row for row in answer if isinstance(row, dict)), None)
    if info is None:
        raise TaskError(
            f"Parallels lists the virtual machine '{entry.name}', but returns no facts about it. Check it in Control "
            "Center, then run again."
        )
    return info


def get_vm_at_rest(prl: Prlctl, name_or_uuid: str, timeout: float = BUSY_TIME) -> Vm:
    """Return a VM once Parallels is not working on it: facts that were read before may be out of date."""
    entry = _find_or_put_back(prl, name_or_uuid)
    if entry is None:
        raise no_such_vm(name_or_uuid)
    if entry.busy:
        wait_while_busy(prl, entry.uuid, timeout)
    return get_vm(prl, entry.uuid)


def read_vm(prl: Prlctl, entry: Entry, *, partly: bool = False) -> Vm:
    """Return all facts of one VM. With C(partly), snapshots that Parallels cannot list are unknown and not an error."""
    info = _read_info(prl, entry)
    snapshots, why = _snapshots_in_passing(prl, info, entry, partly)
    vm = _from_info(entry, info, snapshots, why)
    if not (_has_hardware(info) or partly):
        raise TaskError(f"{_NO_HARDWARE} of '{vm.name}'. Check it in Control Center, then run again.")
    return vm


def _snapshots_in_passing(
    prl: Prlctl, info: dict[str, Any], entry: Entry, partly: bool
) -> tuple[Optional[list[Snapshot]], list[str]]:
    """Return the snapshots; where Parallels may be unable to read them (in an image, without files), None, and why."""
    try:
        return read_snapshots(prl, entry.uuid), []
    except TaskError as error:
        if _home(info).endswith((IMAGE_SUFFIX, INTERMEDIATE_SUFFIX)):
            return None, []
        if partly or info.get("State") == INVALID:
            return None, [f"Its snapshots cannot be listed. {error.message}"]
        raise


def _unread(entry: Entry, error: TaskError) -> Vm:
    """Return a VM of which only what the list shows can be read."""
    unknown = Settings()
    tools = {"state": UNKNOWN, "version": ""}
    return Vm(
        entry.uuid,
        entry.name,
        entry.state,
        os="",
        family="other",
        arch=UNKNOWN,
        home="",
        packed=None,
        encrypted=None,
        tools=tools,
        settings=unknown,
        disks_known=False,
        unreadable=(error.message,),
    )


def _from_info(entry: Entry, info: dict[str, Any], snapshots: Optional[list[Snapshot]], unreadable: list[str]) -> Vm:
    home = _home(info)
    packed = None if home.endswith(INTERMEDIATE_SUFFIX) else _is_packed(info, home)
    system = str(info.get("OS", ""))
    linked, link = _link_in_passing(home, bool(packed), unreadable)
    if not _has_hardware(info):
        unreadable.append(f"{_NO_HARDWARE}.")
    disks = _disks(info, home, bool(packed))
    tools = _section(info, "GuestTools")
    return Vm(
        uuid=bare_uuid(str(info.get("ID", ""))) or entry.uuid,
        name=str(info.get("Name", entry.name)),
        state=str(info.get("State", entry.state)),
        os=system,
        family=family_of(system),
        arch=_arch(info, home),
        home=home,
        packed=packed,
        encrypted=_yes_or_no(_security(info).get("Encrypted")),
        tools={"state": str(tools.get("state", UNKNOWN)), "version": str(tools.get("version", ""))},
        settings=read_settings(info, None if packed else _isolated_in(home)),
        template=_yes_or_no(info.get("Template")),
        linked_clone=linked,
        linked_to=link.vm if link else "",
        linked_snapshot=link.snapshot if link else "",
        secure_boot_key=_secure_boot_key(home),
        disks=disks,
        snapshots=snapshots,
        uptime=_whole_number(info.get("Uptime")),
        disks_known=_has_hardware(info) and bool(disks or info.get("State") != INVALID),
        unreadable=tuple(unreadable),
        shared_folders=_shared_folders(info),
        media=_media(info),
    )


def _yes_or_no(value: Any) -> Optional[bool]:
    """Return what prlctl calls yes or no; None for anything else, also where it reports nothing."""
    return {"yes": True, "no": False}.get(value) if isinstance(value, str) else None


def _has_hardware(info: dict[str, Any]) -> bool:
    return isinstance(info.get("Hardware"), dict)


def _section(info: dict[str, Any], *keys: str) -> dict[str, Any]:
    value: Any = info
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _security(info: dict[str, Any]) -> dict[str, Any]:
    return _section(info, "Security")


def _home(info: dict[str, Any]) -> str:
    """Return the bundle or image. "Home" ends with a slash for a bundle; "Home path" names a file in it."""
    home = str(info.get("Home") or "")
    if not home:
        home = re.sub(r"/config\.pvsp?$", "", str(info.get("Home path") or ""))
    home = home.rstrip("/")
    # That Parallels itself names such a bundle as the home is not certain.
    unfinished = intermediate_of(home)
    return unfinished if home and not os.path.exists(home) and os.path.isdir(unfinished) else home


def _is_packed(info: dict[str, Any], home: str) -> Optional[bool]:
    if home.endswith(IMAGE_SUFFIX):
        return True
    told = _yes_or_no(_security(info).get("Packed"))  # old versions do not report it
    return bool(told) if home else told


def _whole_number(value: Any) -> int:
    """Return the number that a value such as 4, "4" or "8192Mb" starts with."""
    found = re.match(r"\d+", str(value))
    return int(found.group()) if found else 0


def family_of(system: str) -> str:
    """Return the family of a guest system as prlctl names it: windows, macos, linux or other."""
    name = system.lower()
    if name.startswith("win"):
        return "windows"
    if name.startswith("mac"):
        return "macos"
    if _LINUX.match(name):
        return "linux"
    return "other"


def _arch(info: dict[str, Any], home: str) -> str:
    if home.endswith(MACOS_BUNDLE_SUFFIX):  # only Apple silicon has them
        return ARM64
    firmware = str(info.get("BIOS type", "")).lower()
    cpu = str(_section(info, "Hardware", "cpu").get("type", "")).lower()
    if "arm" in firmware or cpu.startswith("arm"):
        return ARM64
    if cpu.startswith("x86") or firmware in ("efi64", "efi32", "efi", "legacy", "bios"):
        return X86_64
    return UNKNOWN


_DISK_FORMATS = {"expanded": "expanding", "plain": "plain"}


def _disks(info: dict[str, Any], home: str, packed: bool) -> list[Disk]:
    disks = []
    for device, values in _section(info, "Hardware").items():
        if not (re.fullmatch(r"hdd\d+", device) and isinstance(values, dict)):
            continue
        image = str(values.get("image", ""))
        path = "" if packed or not image else os.path.join(home, image)
        kind = str(values.get("type", UNKNOWN))
        size = _whole_number(values.get("size")) * 1024 * 1024 or None
        disks.append(Disk(device, path, _DISK_FORMATS.get(kind, kind), size))
    return disks


def _shared_folders(info: dict[str, Any]) -> Optional[tuple[SharedFolder, ...]]:
    folders = info.get("Host Shared Folders")
    if not isinstance(folders, dict):
        return None
    return tuple(
        SharedFolder(name, str(values.get("path", ""))) for name, values in folders.items() if isinstance(values, dict)
    )


def _media(info: dict[str, Any]) -> Optional[tuple[Medium, ...]]:
    if not _has_hardware(info):
        return None
    drives = (
        (device, values) for device, values in info["Hardware"].items() if re.fullmatch(r"(cdrom|fdd)\d+", device)
    )
    return tuple(
        Medium(device, str(values["image"]))
        for device, values in drives
        if isinstance(values, dict) and values.get("image")
    )


@dataclass(frozen=True)
class Layer:
    """One file of a disk: what was written up to a snapshot, or since the last one, over the layer C(parent)."""

    id: str  # that of the snapshot
    parent: str
    path: str


def layers_of(disk: Disk) -> list[Layer]:
    """Return the layers of a disk; none where its descriptor cannot be read, or names only some of them."""
    root = _read_xml(os.path.join(disk.path, "DiskDescriptor.xml"))
    if root is None:
        return []
    parents = {bare_uuid(_text(shot, "GUID")): bare_uuid(_text(shot, "ParentGUID")) for shot in root.iter("Shot")}
    layers = [(bare_uuid(_text(image, "GUID")), _text(image, "File")) for image in root.iter("Image")]
    if not all(id and file for id, file in layers):
        return []
    return [Layer(id, parents.get(id, ""), os.path.join(disk.path, file)) for id, file in layers]


def _read_xml(path: str) -> Optional[ElementTree.Element]:
    try:
        return _parse_xml(path)
    except (OSError, ValueError):
        # No such file, Parallels is just writing it, or it is in no encoding that the parser knows.
        return None


def _parse_xml(path: str) -> ElementTree.Element:
    """Return the content of a file in a bundle, which anybody may have made: a pipe is not waited for."""
    with os.fdopen(open_regular(path, most_names=sys.maxsize), "rb") as handle:
        return parse_xml(handle.read(_LARGEST_XML))


def uuid_in(home: str) -> str:
    """Return the UUID in a bundle's own configuration; empty for images and where it cannot be read."""
    return bare_uuid(_text(_read_xml(os.path.join(home, "config.pvs")), "VmUuid"))


def _isolated_in(home: str) -> Optional[bool]:
    """Return whether a bundle's configuration isolates the guest from the Mac; None where that cannot be read."""
    switch = _text(_read_xml(os.path.join(home, "config.pvs")), "IsolatedVm")
    return {"1": True, "0": False}.get(switch)


def _text(root: Optional[ElementTree.Element], tag: str) -> str:
    element = root.find(f".//{tag}") if root is not None else None
    return (element.text or "").strip() if element is not None else ""


@dataclass(frozen=True)
class Link:
    """What a linked clone depends on: its parent, and the snapshot of that, empty if it is not noted."""

    vm: str
    snapshot: str


def _read_link(home: str) -> Optional[Link]:
    """Return what a linked clone depends on, which prlctl does not report; None for other VMs.

    Raises Unreadable when the bundle does not show it.
    """
    path = os.path.join(home, "config.pvs")
    try:
        root = _parse_xml(path)
    except (OSError, ValueError) as error:
        raise Unreadable(why_unreadable(path, error)) from error
    noted = _text(root, "LinkedVmUuid")
    parent = bare_uuid(noted)
    if noted and not parent:
        raise Unreadable(why_unreadable(path, ValueError(noted)))
    nobody = str(uuid_module.UUID(int=0))
    if parent in ("", nobody):
        return None
    return Link(parent, bare_uuid(_text(root, "LinkedSnapshotUuid")))


def _link_in_passing(home: str, packed: bool, unreadable: list[str]) -> tuple[Optional[bool], Optional[Link]]:
    """Return whether a VM is a linked clone, None if that is not known; and what it depends on."""
    if packed or not home:
        return None, None
    try:
        link = _read_link(home)
    except Unreadable as error:
        unreadable.append(str(error))
        return None, None
    return link is not None, link


def _secure_boot_key(home: str) -> str:
    key = _text(_read_xml(os.path.join(home, "VmInfo.pvi")), "UefiPlatformKeySha256").lower()
    if not key:
        return UNKNOWN
    return "outdated" if key == _OUTDATED_PLATFORM_KEY else "current"


def _age(values: dict[str, Any]) -> tuple[str, str]:
    return str(values.get("date", "")), str(values.get("name", ""))


def read_snapshots(prl: Prlctl, uuid: str) -> list[Snapshot]:
    """Return a VM's snapshots, each parent before its children."""
    answer = prl.read_json(PRLCTL, "snapshot-list", uuid, "-j", expect=dict)
    found = {bare_uuid(key): value for key, value in answer.items() if bare_uuid(key) and isinstance(value, dict)}
    if len(found) != len(answer):
        raise _unclear_snapshots(uuid)
    children: dict[str, list[str]] = {}
    for identity, values in found.items():
        parent = bare_uuid(str(values.get("parent", "")))
        children.setdefault(parent if parent in found else "", []).append(identity)

    ordered: list[Snapshot] = []

    def add(parent: str, depth: int) -> None:
        for identity in sorted(children.get(parent, []), key=lambda each: _age(found[each])):
            values = found[identity]
            ordered.append(
                Snapshot(
                    id=identity,
                    name=str(values.get("name", "")),
                    date=str(values.get("date", "")),
                    state=str(values.get("state", UNKNOWN)),
                    current=values["current"] if isinstance(values.get("current"), bool) else None,
                    parent=parent,
                    depth=depth,
                )
            )
            add(identity, depth + 1)

    add("", 0)
    if len(ordered) != len(found):  # some are each other's parents
        raise _unclear_snapshots(uuid)
    return ordered


def _unclear_snapshots(uuid: str) -> TaskError:
    return TaskError(
        f"Parallels returned a list of snapshots of the virtual machine {uuid} that cannot be understood. Run `prlctl "
        f"snapshot-list {uuid} --json` on the Mac to see it."
    )
