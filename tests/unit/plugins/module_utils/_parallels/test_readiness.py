# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a VM is ready to become an image. What is not known never passes."""

from __future__ import annotations

import dataclasses
import re
import subprocess
from pathlib import Path
from typing import Any, Optional

import pytest
import yaml
from ansible_collections.macops.parallels.plugins.module_utils._common.claim import Claim
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._parallels import readiness
from ansible_collections.macops.parallels.plugins.module_utils._parallels.cli import Result
from ansible_collections.macops.parallels.plugins.module_utils._parallels.guest_answer import (
    Answer,
    _lines,
    shell_script,
)
from ansible_collections.macops.parallels.plugins.module_utils._parallels.kept_answers import INVENTORY, keep
from ansible_collections.macops.parallels.plugins.module_utils._parallels.readiness import (
    FAIL,
    IDS,
    PASS,
    WAIVED,
    WARN,
    Checked,
    Wanted,
    check,
    for_record,
    gate,
    summary,
    table,
)
from ansible_collections.macops.parallels.plugins.module_utils._parallels.readiness_questions import POWERSHELL, SHELL
from ansible_collections.macops.parallels.plugins.module_utils._parallels.settings import Settings
from ansible_collections.macops.parallels.plugins.module_utils._parallels.vm import Medium, SharedFolder, Vm, get_vm

UUID = "de22df32-80e2-4e92-ba4b-efb3a66cf092"
ROOT = Path(__file__).parents[5]
OF_GUEST = IDS[IDS.index("guest_answers") + 1 :]

# What a Windows and a Linux guest answer with which all is well.
WINDOWS = """
arch\t+\tARM64
arch\t=
restart\t=
updates\t=
domain\t=
entra\t=
profiles\t=
channel\t+\tVolume:GVLK
channel\t=
free\t+\t42949672960\t136000000000
free\t=
sign_in\t=
"""
LINUX = """
arch\t+\taarch64
arch\t=
restart\t=
updates\t=
domain\t=
profiles\t=
free\t+\t20971520K\t41943040K
free\t=
"""


@pytest.fixture(name="vm")
def fixture_vm(mac: Any, tmp_path: Path) -> Vm:
    """Return a running Windows VM with which all is well."""
    home = mac.bundle(
        tmp_path / "Übung.pvm",
        config="<IsolatedVm>0</IsolatedVm>",
        info="<UefiPlatformKeySha256>ab</UefiPlatformKeySha256>",
    )
    facts = {"Host Shared Folders": {"enabled": True}, "GuestTools": {"state": "installed", "version": "26.1.0-57288"}}
    mac.list((UUID, "x", "running")).look(UUID, Name="x", State="running", Uptime="100", **home, **facts)
    return get_vm(mac.prl, UUID)


class Guests:
    """Stands in for the guest: answers what it is told to, or fails."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.says = WINDOWS
        self.fails: Optional[TaskError] = None
        self.asked = 0
        monkeypatch.setattr(readiness, "ask", self._ask)

    def _ask(self, guest: Any, shell: str, windows: str) -> Answer:
        assert (shell, windows) == (SHELL, POWERSHELL)
        self.asked += 1
        if self.fails is not None:
            raise self.fails
        return Answer(self.says.strip().split("\n"))


@pytest.fixture(name="guest")
def fixture_guest(monkeypatch: pytest.MonkeyPatch) -> Guests:
    return Guests(monkeypatch)


def look(mac: Any, vm: Vm, wanted: Optional[Wanted] = None, **changes: Any) -> dict[str, Checked]:
    checks, _at = check(mac.prl, dataclasses.replace(vm, **changes), wanted or Wanted())
    return {each.id: each for each in checks}


def test_a_vm_with_which_all_is_well(mac: Any, vm: Vm, guest: Guests) -> None:
    found = look(mac, vm, Wanted(windows_activation="kms"))
    # Only a VM that is shut down shows these.
    assert {id: each.status for id, each in found.items() if each.status != PASS} == {
        "suspended_state": WARN,
        "generalized": WARN,
    }
    assert list(found) == [id for id in IDS if id != "software_list"]
    assert all(each.known for each in found.values() if each.status == PASS)
    assert all(each.message.endswith(".") for each in found.values())


def test_a_linux_guest_with_which_all_is_well(mac: Any, vm: Vm, guest: Guests) -> None:
    guest.says = LINUX
    found = look(mac, vm, family="linux", os="ubuntu")
    assert {id for id, each in found.items() if each.status != PASS} == {"suspended_state", "generalized"}
    assert not {"secure_boot_key", "entra_joined", "activation_channel", "automatic_sign_in"} & set(found)


@pytest.mark.parametrize(
    ("id", "changes", "status", "text"),
    [
        ("linked_clone", {"linked_clone": True}, FAIL, "It is a linked clone"),
        ("linked_clone", {"linked_clone": None}, FAIL, "not known whether it is a linked clone"),
        ("encrypted", {"encrypted": True}, FAIL, "It is encrypted"),
        ("encrypted", {"encrypted": None}, FAIL, "not known whether it is encrypted"),
        ("bundle", {"template": True}, FAIL, "It is a template"),
        ("bundle", {"home": "/p/x.macvm"}, FAIL, "not a .pvm bundle"),
        ("disks", {"disks": []}, FAIL, "not known which disks"),
        ("disks", {"disks_known": False}, FAIL, "not known which disks"),
        ("shared_folders", {"shared_folders": None}, FAIL, "not known"),
        ("shared_folders", {"shared_folders": (SharedFolder("code", "~/code"),)}, FAIL, r"code \(~/code\)"),
        ("shared_folders", {"shared_folders": (SharedFolder("a\x1b[1m", "/b"),)}, FAIL, r"a\\x1b\[1m \(/b\)"),
        ("attached_media", {"media": None}, FAIL, "not known"),
        ("attached_media", {"media": (Medium("cdrom0", "/Users/a/win.iso"),)}, FAIL, "/Users/a/win.iso in cdrom0"),
        ("suspended_state", {"state": "suspended"}, FAIL, "It is suspended"),
        ("suspended_state", {"state": "stopped"}, PASS, "no saved memory"),
        ("suspended_state", {"state": "stopped", "home": "/not/there"}, FAIL, "not known"),
        ("saved_password", {"home": "/not/there"}, FAIL, "not known"),
        ("architecture", {"arch": "unknown"}, FAIL, "does not show its architecture"),
        ("secure_boot_key", {"secure_boot_key": "outdated"}, FAIL, "outdated"),
        ("secure_boot_key", {"secure_boot_key": "unknown"}, WARN, "not known"),
        ("tools", {"tools": {"state": "not_installed"}}, FAIL, "not installed"),
        ("tools", {"tools": {"state": "outdated", "version": "20.0.0"}}, WARN, "older than those of this Mac"),
        ("tools", {"tools": {"state": "unknown", "version": ""}}, WARN, "not known"),
        ("tools", {"tools": {"state": "possibly_installed", "version": "20.0.0"}}, PASS, "answered through them"),
        ("generalized", {"state": "stopped"}, WARN, "Nothing shows that it is generalized"),
        ("free_space", {"home": "/not/there/x.pvm"}, WARN, "not known"),
    ],
)
def test_what_this_mac_shows(
    mac: Any, vm: Vm, guest: Guests, id: str, changes: dict[str, Any], status: str, text: str
) -> None:
    found = look(mac, vm, **changes)[id]
    assert (found.status, bool(re.search(text, found.message))) == (status, True), found.message
    assert found.known == ("not known" not in found.message and found.message.find("does not show") < 0)
    assert found.remedy or status == PASS or id == "free_space"


@pytest.mark.parametrize(
    ("config", "status", "text"),
    [
        ("<IsolatedVm>0</IsolatedVm>", PASS, "It is not isolated"),
        ("<IsolatedVm>1</IsolatedVm>", WARN, "It is isolated"),
        ("<IsolatedVm>2</IsolatedVm>", WARN, "not known"),
        ("", WARN, "not known"),
        (None, WARN, "not known"),
    ],
)
def test_isolation(mac: Any, guest: Guests, tmp_path: Path, config: Optional[str], status: str, text: str) -> None:
    facts = mac.bundle(tmp_path / "x.pvm", config=config or "")
    if config is None:
        (tmp_path / "x.pvm" / "config.pvs").unlink()
    mac.list((UUID, "x", "running")).look(UUID, Name="x", State="running", **facts)
    vm = get_vm(mac.prl, UUID)
    found = look(mac, vm)["isolation"]
    assert (found.status, text in found.message, found.known) == (status, True, text != "not known")
    assert guest.asked == int(vm.settings.isolated is not True)


@pytest.mark.parametrize(("format", "status"), [("expanding", PASS), ("plain", WARN), ("unknown", WARN)])
def test_plain_disks(mac: Any, vm: Vm, guest: Guests, format: str, status: str) -> None:
    disks = [dataclasses.replace(vm.disks[0], format=format)]
    assert look(mac, vm, disks=disks)["plain_disks"].status == status
    assert "plain_disks" not in look(mac, vm, disks=[])  # reported with the disks


@pytest.mark.parametrize(
    ("name", "id"),
    [
        ("{guid}.mem", "suspended_state"),
        ("{guid}.SAV", "suspended_state"),
        ("unattended.fdd", "saved_password"),
        ("Autounattend.xml", "saved_password"),
        ("VmInfo.pvi", ""),
    ],
)
def test_files_in_the_bundle(mac: Any, vm: Vm, guest: Guests, name: str, id: str) -> None:
    (Path(vm.home) / name).touch()
    found = look(mac, vm, state="stopped")
    assert {each for each in ("suspended_state", "saved_password") if found[each].status == FAIL} == ({id} - {""})
    if id:
        assert name in found[id].message


def test_the_architecture_that_the_image_is_to_have(mac: Any, vm: Vm, guest: Guests) -> None:
    found = look(mac, vm, Wanted(arch="x86_64"))
    assert (found["architecture"].status, found["guest_architecture"].status) == (FAIL, FAIL)
    # The option names it where the configuration does not.
    found = look(mac, vm, Wanted(arch="arm64"), arch="unknown")
    assert (found["architecture"].status, found["guest_architecture"].status) == (WARN, PASS)


def test_a_vm_whose_disk_may_be_too_full_for_packing(
    mac: Any, vm: Vm, guest: Guests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "free_bytes", lambda _path: 10)
    assert look(mac, vm)["free_space"].status == WARN
    monkeypatch.setattr(readiness, "free_bytes", lambda _path: None)
    assert look(mac, vm)["free_space"].known is False


@pytest.mark.parametrize(("wanted", "bad"), [(True, FAIL), (False, WARN)])
def test_a_vm_that_is_or_is_not_generalized(mac: Any, vm: Vm, guest: Guests, wanted: bool, bad: str) -> None:
    seen = []
    for notes in ({}, {"generalizing": True}, {"generalized_at": "2026-11-22T09:30:00Z", "generalized_uptime": [7, 9]}):
        with Claim.take(vm.home) as claim:
            claim.write(generalized_vm=UUID, **notes) if notes else claim.write()
        found = look(mac, vm, Wanted(generalized=wanted), state="stopped", uptime=8)["generalized"]
        seen.append((found.status, found.known))
    assert seen == [(bad, True), (bad, False), (PASS, True)]


@pytest.mark.parametrize(
    ("id", "line", "status", "text"),
    [
        ("guest_architecture", "arch\t+\tAMD64", FAIL, "for x86_64, but the image is for arm64"),
        ("guest_architecture", "arch\t+\tMIPS", FAIL, "not known"),
        ("guest_architecture", "", FAIL, "not known"),
        ("restart_pending", "restart\t+\tWindows Update", FAIL, "A restart is pending: Windows Update"),
        ("restart_pending", "restart\t+\tfiles\trename", WARN, "Files wait"),
        ("updates_in_progress", "updates\t+\tTiWorker.exe", FAIL, "TiWorker.exe"),
        ("domain_joined", "domain\t+\tcorp.example.com", FAIL, "corp.example.com"),
        ("entra_joined", "entra\t+\tMicrosoft Entra ID", FAIL, "Microsoft Entra ID"),
        ("user_profiles", "profiles\t+\tadmin\tC:\\Users\\admin", WARN, "admin"),
        ("automatic_sign_in", "sign_in\t+\tadmin", FAIL, "signs in admin by itself."),
        ("automatic_sign_in", "sign_in\t+\tadmin\tpassword", FAIL, "and the password is saved"),
        ("automatic_sign_in", "sign_in\t+\t", FAIL, "a user without a name"),
        ("activation_channel", "channel\t+\tRetail", FAIL, "is Retail, but kms is expected"),
        ("activation_channel", "channel\t+\tVolume:MAK", FAIL, "is Volume:MAK"),
        ("activation_channel", "channel\t+\tVolume:GVLK\nchannel\t+\tRetail", FAIL, "Volume:GVLK, Retail"),
        ("activation_channel", "", FAIL, "is none, but kms is expected"),
        ("guest_free_space", "free\t+\t1073741824\t68719476736", WARN, "1.0 GiB free, less than 10.0 GiB"),
        ("guest_free_space", "free\t+\t\t", FAIL, "not known"),
        ("guest_free_space", "free\t+\t-1\t5", FAIL, "not known"),
        ("guest_free_space", "free\t+\t1e9\t5", FAIL, "not known"),
    ],
)
def test_what_the_guest_shows(mac: Any, vm: Vm, guest: Guests, id: str, line: str, status: str, text: str) -> None:
    topic = {each.id: each.topic for each in readiness._CHECKS}[id]
    others = [each for each in WINDOWS.split("\n") if not each.startswith(f"{topic}\t+")]
    guest.says = "\n".join([*others, line])
    found = look(mac, vm, Wanted(windows_activation="kms"))
    assert (found[id].status, text in found[id].message) == (status, True), found[id].message
    others_failed = {each for each in found if found[each].status == FAIL} - {id}
    assert not others_failed


@pytest.mark.parametrize("channel", ["Retail", "OEM:DM", "Volume:MAK", "Volume:GVLK"])
def test_each_channel_passes_if_none_is_expected(mac: Any, vm: Vm, guest: Guests, channel: str) -> None:
    guest.says = WINDOWS.replace("Volume:GVLK", channel)
    assert look(mac, vm)["activation_channel"].status == PASS
    passed = [
        word
        for word in readiness.ACTIVATIONS
        if look(mac, vm, Wanted(windows_activation=word))["activation_channel"].status == PASS
    ]
    assert len(passed) == 1


@pytest.mark.parametrize("id", OF_GUEST)
@pytest.mark.parametrize("how", ["left out", "broke off", "failed"])
def test_what_a_guest_cannot_say_is_not_known_and_fails(mac: Any, vm: Vm, guest: Guests, id: str, how: str) -> None:
    topic = {each.id: each.topic for each in readiness._CHECKS}[id]
    lines = [line for line in WINDOWS.split("\n") if not line.startswith(f"{topic}\t")]
    more = {"left out": [], "broke off": [f"{topic}\t+\tx"], "failed": [f"{topic}\t!\tAccess denied"]}[how]
    guest.says = "\n".join([*lines, *more])
    found = look(mac, vm)
    assert (found[id].status, found[id].known) == (FAIL, False)
    assert [each for each in found if found[each].status == FAIL] == [id]
    assert ("Access denied" in found[id].message) == (how == "failed")


# --- guests that are not asked ------------------------------------------------------------------------------------


def assert_not_asked(found: dict[str, Checked], status: str) -> None:
    assert (found["guest_answers"].status, found["guest_answers"].known) == (status, False)
    asked = [found[id] for id in OF_GUEST if id in found]
    assert asked
    assert {(each.status, each.known) for each in asked} == {(WARN, False)}


def test_a_guest_that_does_not_answer_is_one_failure(mac: Any, vm: Vm, guest: Guests) -> None:
    guest.fails = TaskError("The guest of 'x' did not respond within 120 seconds.")
    assert_not_asked(look(mac, vm), FAIL)
    assert look(mac, vm, Wanted(waive=frozenset({"guest_answers"})))["guest_answers"].status == WAIVED


@pytest.mark.parametrize(
    "changes",
    [
        {"tools": {"state": "not_installed"}},
        {"settings": Settings(isolated=True)},
        {"os": "macosx", "family": "macos"},
        {"state": "paused"},
    ],
    ids=str,
)
def test_a_guest_that_cannot_be_asked_is_not_waited_for(
    mac: Any, vm: Vm, guest: Guests, changes: dict[str, Any]
) -> None:
    found = look(mac, vm, **changes)
    assert guest.asked == 0
    if changes.get("family") == "macos":
        assert found["guest_answers"].status == WARN
        assert not set(OF_GUEST) & set(found)
    else:
        assert_not_asked(found, WARN if "state" in changes else FAIL)


def test_a_stopped_vm_is_never_started_and_its_earlier_answer_holds_until_it_runs_again(
    mac: Any, vm: Vm, guest: Guests
) -> None:
    stopped = dataclasses.replace(vm, state="stopped")
    assert_not_asked(look(mac, stopped), WARN)
    guest.says = WINDOWS.replace("restart\t=", "restart\t+\tWindows Update\nrestart\t=")
    assert look(mac, vm)["restart_pending"].status == FAIL
    later = look(mac, stopped, uptime=160)
    assert (later["restart_pending"].status, later["domain_joined"].status) == (FAIL, PASS)
    assert look(mac, stopped, uptime=160)["guest_answers"].status == PASS
    # It has run for a minute since that report.
    assert_not_asked(look(mac, stopped, uptime=220), WARN)
    # Parallels does not count, or counts for another VM.
    assert_not_asked(look(mac, stopped, uptime=0), WARN)
    assert_not_asked(look(mac, stopped, uptime=160, uuid=UUID.replace("d", "e")), WARN)
    assert guest.asked == 1


def test_where_parallels_counts_nothing_only_the_answer_of_a_clone_holds(mac: Any, vm: Vm, guest: Guests) -> None:
    look(mac, vm, uptime=0)
    assert_not_asked(look(mac, vm, state="stopped", uptime=0), WARN)
    with Claim.take(vm.home) as claim:
        claim.write(operation="clone")
    assert look(mac, vm, state="stopped", uptime=0)["guest_answers"].status == PASS


def test_the_report_on_a_packed_vm_is_the_one_before_packing(mac: Any, vm: Vm, guest: Guests) -> None:
    look(mac, vm)
    look(mac, vm, state="stopped", uptime=160, secure_boot_key="outdated")
    packed = dataclasses.replace(vm, state="stopped", uptime=160, packed=True, secure_boot_key="unknown")
    assert look(mac, packed)["secure_boot_key"].status == FAIL
    assert look(mac, packed, Wanted(waive=frozenset({"secure_boot_key"})))["secure_boot_key"].status == WAIVED
    # It was unpacked, has run, and was packed again.
    assert look(mac, packed, uptime=220)["secure_boot_key"].status == WARN


def test_whether_the_software_is_listed(mac: Any, vm: Vm, guest: Guests) -> None:
    assert look(mac, vm, Wanted(inventory=True))["software_list"].status == WARN
    keep(INVENTORY, vm, ["all\t="])
    assert look(mac, vm, Wanted(inventory=True))["software_list"].status == PASS
    assert "software_list" not in look(mac, vm)


# --- the report ---------------------------------------------------------------------------------------------------


def test_a_waived_check_does_not_fail(mac: Any, vm: Vm, guest: Guests) -> None:
    wanted = Wanted(waive=frozenset({"linked_clone", "tools"}))
    found = look(mac, vm, wanted, linked_clone=True, tools={"state": "outdated", "version": "1"})
    assert (found["linked_clone"].status, found["tools"].status) == (WAIVED, WARN)
    assert look(mac, vm, Wanted(allow_encrypted=True), encrypted=True)["encrypted"].status == WAIVED


def test_a_check_that_does_not_exist_cannot_be_waived(mac: Any, vm: Vm, guest: Guests) -> None:
    with pytest.raises(TaskError, match=r"waive names checks that do not exist: toolz\. The checks are: bundle, "):
        look(mac, vm, Wanted(waive=frozenset({"toolz", "tools"})))
    assert guest.asked == 0


def line(id: str, status: str) -> Checked:
    return Checked(id, status, f"The {id}\u202e.", "Do it." if status != PASS else "", True)


CHECKS = [line("disks", PASS), line("tools", WARN), line("isolation", FAIL), line("bundle", FAIL), line("x", WAIVED)]


def test_the_report_for_people() -> None:
    assert summary(CHECKS) == "1 passed, 1 with a warning, 1 waived, 2 failed."
    assert [each.split()[:2] for each in table(CHECKS)] == [
        ["Readiness:", "1"],
        ["fail", "isolation"],
        ["fail", "bundle"],
        ["waived", "x"],
        ["warn", "tools"],
    ]
    assert table([line("disks", PASS)]) == ["Readiness: 1 passed."]


def test_the_gate_names_all_failures_at_once(vm: Vm) -> None:
    refusal = gate(vm, CHECKS)
    assert refusal is not None
    assert refusal.message.startswith("'x' is not ready to become an image. 2 of 5 checks failed:\nisolation: ")
    assert refusal.message.endswith("waive them (image_waive in the playbooks): isolation, bundle.")
    assert refusal.details["failed_checks"] == ["isolation", "bundle"]
    assert gate(vm, [each for each in CHECKS if each.status != FAIL]) is None


def test_the_report_in_the_record() -> None:
    assert for_record(CHECKS, "2026-11-22T09:30:00Z") == {
        "guest_answered_at": "2026-11-22T09:30:00Z",
        "passed": ["disks"],
        "warnings": [{"id": "tools", "message": "The tools\\u202e."}],
        "waived": [{"id": "x", "message": "The x\\u202e."}],
        "failed": [
            {"id": "isolation", "message": "The isolation\\u202e."},
            {"id": "bundle", "message": "The bundle\\u202e."},
        ],
    }


# --- the scripts --------------------------------------------------------------------------------------------------


def test_the_scripts_ask_all_topics() -> None:
    topics = {each.topic for each in readiness._CHECKS if each.topic}
    assert set(re.findall(r"^Read-Topic (\w+) \{$", POWERSHELL, re.MULTILINE)) == topics
    of_linux = {each.topic for each in readiness._CHECKS if each.topic and "linux" in each.families}
    assert set(re.findall(r"whole (\w+)", SHELL)) == of_linux
    assert (SHELL + POWERSHELL).isascii()


def test_the_script_in_a_real_linux() -> None:
    script = shell_script(SHELL)
    done = subprocess.run(["/bin/sh", "-s"], input=script, capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == ""
    answer = Answer(_lines(Result([], 0, done.stdout, "")))
    assert answer.one("arch")
    assert all(answer.rows(topic) is not None for topic in ("restart", "updates", "domain", "profiles"))
    assert re.fullmatch(r"\d+K", answer.one("free")[0])  # type: ignore[index]


def test_the_role_and_the_documentation_name_all_checks() -> None:
    options = yaml.safe_load((ROOT / "roles/seal_vm/meta/argument_specs.yml").read_text(encoding="utf-8"))
    assert options["argument_specs"]["variables"]["options"]["image_waive"]["choices"] == list(IDS)
    documented = (ROOT / "docs/readiness.md").read_text(encoding="utf-8").partition("## The checks")[2]
    assert re.findall(r"^\| `(\w+)` \|", documented, re.MULTILINE) == list(IDS)
