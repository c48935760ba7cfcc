# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The facts of a VM: read from prlctl and, where prlctl does not report them, from the VM's bundle."""

from __future__ import annotations

import os
import re
import unicodedata
import uuid as uuid_module
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Optional
from xml.etree import ElementTree

from .._common.errors import TaskError
from .._common.files import IMAGE_SUFFIX, bytes_on_disk
from .cli import PRLCTL, Prlctl
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
    current: bool
    parent: str
    depth: int


@dataclass(frozen=True)
class Disk:
    """One virtual hard disk. A packed VM's disks are within the image: they have no path of their own."""

    device: str
    path: str
    format: str
    size: int
    bytes_on_disk: int


@dataclass(frozen=True)
class Settings:
    """The settings of a VM that this collection can change."""

    description: Optional[str] = None
    cpus: Optional[int] = None
    memory: Optional[int] = None
    pause_idle: Optional[bool] = None
    startup_view: Optional[str] = None
    on_shutdown: Optional[str] = None
    on_window_close: Optional[str] = None

    def changed_from(self, now: Settings) -> dict[str, Any]:
        """Return the wanted values, those that are not None, that differ from what the VM has now."""
        return {key: value for key, value in asdict(self).items() if value is not None and value != getattr(now, key)}


@dataclass(frozen=True)
class Vm:
    """One VM, as it was when it was read."""

    uuid: str
    name: str
    state: str
    os: str
    family: str
    arch: str
    home: str
    packed: bool
    encrypted: bool
    tools: dict[str, str]
    settings: Settings
    template: Optional[bool] = None
    linked_clone: bool = False
    linked_to: str = ""
    linked_snapshot: str = ""
    secure_boot_key: str = UNKNOWN
    disks: list[Disk] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)
    bytes_on_disk: int = 0
    uptime: int = 0  # seconds that it has run in total, as far as Parallels counts them

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
        return os.path.join(self.folder, self.stem + BUNDLE_SUFFIX) if self.packed else self.home

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
            "encrypted": self.encrypted,
            "template": self.template,
            "tools": self.tools,
            "linked_clone": self.linked_clone,
            "secure_boot_key": self.secure_boot_key,
            "bytes_on_disk": self.bytes_on_disk,
            **asdict(self.settings),
            "disks": [asdict(disk) for disk in self.disks],
            "snapshots": [asdict(snapshot) for snapshot in self.snapshots],
        }


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


def same_name(one: str, other: str) -> bool:
    """Return whether two names are the same to a person: an umlaut may be one character or two."""
    return unicodedata.normalize("NFC", one) == unicodedata.normalize("NFC", other)


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
    """Return all VMs of this user, with the basic facts of each."""
    answer = prl.read_json(PRLCTL, "list", "-a", "-j")
    if not answer:
        # The list may be empty right after the service started, and much depends on "there is no such VM".
        prl.sleep(1)
        answer = prl.read_json(PRLCTL, "list", "-a", "-j")
    return [
        Entry(bare_uuid(str(row.get("uuid", ""))), str(row.get("name", "")), str(row.get("status", UNKNOWN)))
        for row in answer
        if isinstance(row, dict)
    ]


def find_entry(prl: Prlctl, name_or_uuid: str) -> Optional[Entry]:
    """Return the VM with exactly this name or UUID, or None. Raises TaskError for two of one name."""
    entries = list_entries(prl)
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


def find_vm(prl: Prlctl, name_or_uuid: str) -> Optional[Vm]:
    """Return the VM with exactly this name or UUID, or None. One that a killed run unregistered is registered again."""
    entry = _find_or_put_back(prl, name_or_uuid)
    return _read_if_there(prl, entry) if entry else None


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


def _read_if_there(prl: Prlctl, entry: Entry) -> Optional[Vm]:
    """Return a VM that was just on the list; None when another run has removed it since."""
    try:
        return read_vm(prl, entry)
    except TaskError:
        if find_entry(prl, entry.uuid) is None:
            return None
        raise


def get_vm(prl: Prlctl, name_or_uuid: str) -> Vm:
    """Return the VM with exactly this name or UUID; raise TaskError when there is none."""
    vm = find_vm(prl, name_or_uuid)
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
    """Return all VMs of this user. Each is read separately: in one answer for all, some facts are missing."""
    found = (_read_if_there(prl, entry) for entry in list_entries(prl))
    return [vm for vm in found if vm is not None]


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


def find_linked_clones(prl: Prlctl, vm: Vm) -> list[tuple[Entry, str]]:
    """Return the linked clones of a VM, each with the id of the snapshot that it depends on."""
    found = []
    for entry in list_entries(prl):
        if entry.uuid != vm.uuid:
            home = home_of(prl, entry)
            link = _read_link(home) if home else {}
            if link.get("vm") == vm.uuid:
                found.append((entry, link["snapshot"]))
    return found


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
        raise no_such_vm(entry.name)
    return info


def get_vm_at_rest(prl: Prlctl, name_or_uuid: str, timeout: float = BUSY_TIME) -> Vm:
    """Return a VM once Parallels is not working on it: facts that were read before may be out of date."""
    entry = _find_or_put_back(prl, name_or_uuid)
    if entry is None:
        raise no_such_vm(name_or_uuid)
    if entry.busy:
        wait_while_busy(prl, entry.uuid, timeout)
    return get_vm(prl, entry.uuid)


def read_vm(prl: Prlctl, entry: Entry) -> Vm:
    """Return all facts of one VM."""
    info = _read_info(prl, entry)
    return _from_info(entry, info, _snapshots_in_passing(prl, info, entry))


def _snapshots_in_passing(prl: Prlctl, info: dict[str, Any], entry: Entry) -> list[Snapshot]:
    """Return the snapshots; none where Parallels may not be able to read them: in an image, or without files."""
    try:
        return read_snapshots(prl, entry.uuid)
    except TaskError:
        if info.get("State") == INVALID or _home(info).endswith(IMAGE_SUFFIX):
            return []
        raise


def _from_info(entry: Entry, info: dict[str, Any], snapshots: list[Snapshot]) -> Vm:
    home = _home(info)
    packed = home.endswith(IMAGE_SUFFIX) or _security(info).get("Packed") == "yes"
    system = str(info.get("OS", ""))
    link = _read_link(home)
    tools = info.get("GuestTools") or {}
    return Vm(
        uuid=bare_uuid(str(info.get("ID", ""))) or entry.uuid,
        name=str(info.get("Name", entry.name)),
        state=str(info.get("State", entry.state)),
        os=system,
        family=family_of(system),
        arch=_arch(info, home),
        home=home,
        packed=packed,
        encrypted=_security(info).get("Encrypted") == "yes",
        tools={"state": str(tools.get("state", UNKNOWN)), "version": str(tools.get("version", ""))},
        settings=_settings(info),
        template={"yes": True, "no": False}.get(str(info.get("Template"))),
        linked_clone=bool(link),
        linked_to=link.get("vm", ""),
        linked_snapshot=link.get("snapshot", ""),
        secure_boot_key=_secure_boot_key(home),
        disks=_disks(info, home, packed),
        snapshots=snapshots,
        bytes_on_disk=bytes_on_disk(home) if home else 0,
        uptime=_whole_number(info.get("Uptime")),
    )


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
        home = re.sub(r"/config\.pvs$", "", str(info.get("Home path") or ""))
    return home.rstrip("/")


def _settings(info: dict[str, Any]) -> Settings:
    startup = _section(info, "Startup and Shutdown")
    return Settings(
        description=str(info.get("Description", "")),
        cpus=_whole_number(_section(info, "Hardware", "cpu").get("cpus")),
        memory=_whole_number(_section(info, "Hardware", "memory").get("size")),
        pause_idle=startup.get("Pause idle", "off") == "on",
        startup_view=str(startup.get("Startup view", "")),
        on_shutdown=str(startup.get("On shutdown", "")),
        on_window_close=str(startup.get("On window close", "")),
    )


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
        size = _whole_number(values.get("size")) * 1024 * 1024
        taken = bytes_on_disk(path) if path else 0
        disks.append(Disk(device, path, _DISK_FORMATS.get(kind, kind), size, taken))
    return disks


@dataclass(frozen=True)
class Layer:
    """One file of a disk: what was written up to a snapshot, or since the last one, over the layer C(parent)."""

    id: str  # that of the snapshot
    parent: str
    path: str


def layers_of(disk: Disk) -> list[Layer]:
    """Return the layers of a disk; none where its descriptor cannot be read."""
    root = _read_xml(os.path.join(disk.path, "DiskDescriptor.xml"))
    if root is None:
        return []
    parents = {bare_uuid(_text(shot, "GUID")): bare_uuid(_text(shot, "ParentGUID")) for shot in root.iter("Shot")}
    layers = ((bare_uuid(_text(image, "GUID")), _text(image, "File")) for image in root.iter("Image"))
    return [Layer(id, parents.get(id, ""), os.path.join(disk.path, file)) for id, file in layers if id and file]


def _read_xml(path: str) -> Optional[ElementTree.Element]:
    try:
        return ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError):  # no such file, or Parallels is just writing it
        return None


def uuid_in(home: str) -> str:
    """Return the UUID in a bundle's own configuration; empty for images and where it cannot be read."""
    return bare_uuid(_text(_read_xml(os.path.join(home, "config.pvs")), "VmUuid"))


def _text(root: Optional[ElementTree.Element], tag: str) -> str:
    element = root.find(f".//{tag}") if root is not None else None
    return (element.text or "").strip() if element is not None else ""


def _read_link(home: str) -> dict[str, str]:
    """Return the parent of a linked clone; prlctl does not report it."""
    root = _read_xml(os.path.join(home, "config.pvs"))
    parent, snapshot = bare_uuid(_text(root, "LinkedVmUuid")), bare_uuid(_text(root, "LinkedSnapshotUuid"))
    nobody = str(uuid_module.UUID(int=0))
    if parent in ("", nobody):
        return {}
    return {"vm": parent, "snapshot": snapshot}


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
                    current=bool(values.get("current", False)),
                    parent=parent,
                    depth=depth,
                )
            )
            add(identity, depth + 1)

    add("", 0)
    return ordered
