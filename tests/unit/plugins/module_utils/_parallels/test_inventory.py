# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is installed in a guest, from what the guests print; an answer that is not whole is never an empty list."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._parallels import inventory
from ansible_collections.macops.parallels.plugins.module_utils._parallels.cli import Result
from ansible_collections.macops.parallels.plugins.module_utils._parallels.guest_answer import (
    Answer,
    _lines,
    shell_script,
)
from ansible_collections.macops.parallels.plugins.module_utils._parallels.inventory import take
from ansible_collections.macops.parallels.plugins.module_utils._parallels.vm import Vm, get_vm

UUID = "de22df32-80e2-4e92-ba4b-efb3a66cf092"

DEBIAN = """
system\t+\tdebian\t12\tDebian GNU/Linux 12 (bookworm)\t\taarch64\t6.1.0-18-arm64
system\t=
deb\t+\tzlib1g\t1:1.2.13.dfsg-1\tarm64\tzlib\t1:1.2.13.dfsg-1\tMark Brown <broonie@debian.org>
deb\t+\tbash\t5.2.15-2+b7\tarm64\tbash\t5.2.15-2\tMatthias Klose <doko@debian.org>
deb\t+\tbash\t5.2.15-2+b7\tarm64\tbash\t5.2.15-2\tMatthias Klose <doko@debian.org>
deb\t=
all\t=
"""
FEDORA = """
system\t+\tfedora\t40\tFedora Linux 40\tcpe:/o:fedoraproject:fedora:40\tx86_64\t6.8.5-301.fc40.x86_64
system\t=
rpm\t+\tcurl\t0\t8.6.0-7.fc40\tx86_64\tFedora Project\tcurl\tcurl-8.6.0-7.fc40.src.rpm
rpm\t+\tgpg-pubkey\t0\ta15b79cc-63d04c2c\t(none)\t(none)\tpubkey\t(none)
rpm\t+\tshadow-utils\t2\t4.15.1-3.fc40\tx86_64\t(none)\tBSD-3-Clause AND GPL-2.0-or-later\t(none)
rpm\t=
snap\t=
flatpak\t+\torg.gnome.Maps\t46.10\tstable\tfedora
flatpak\t=
all\t=
"""
WINDOWS = """
system\t+\t26200\t7840\t25H2\tEnterprise\tClient\tARM64
system\t=
program\t+\t7-Zip 24.08 (arm64)\t24.08\tIgor Pavlov\t7-Zip\t\tmachine
program\t+\tExample Agent\t1.2.3\tExample GmbH\t{8D1C2F1A-0000-4000-8000-0123456789AB}\tmsi\tmachine, 32-bit
program\t=
appx\t+\tMicrosoft.WindowsCalculator\t11.2405.2.0\tArm64\t8wekyb3d8bbwe\tMicrosoft.WindowsCalculator_11.2405.2.0_arm64__8wekyb3d8bbwe
appx\t=
update\t+\tKB5054156\tUpdate
update\t=
all\t=
"""


@pytest.fixture(name="vm")
def fixture_vm(mac: Any, tmp_path: Path) -> Vm:
    mac.list((UUID, "x", "running")).look(UUID, Name="x", State="running", Uptime="9", **mac.bundle(tmp_path / "x.pvm"))
    return get_vm(mac.prl, UUID)


@pytest.fixture(name="listed")
def fixture_listed(mac: Any, vm: Vm, monkeypatch: pytest.MonkeyPatch) -> Any:
    def listed(text: str, family: str = "linux") -> Any:
        monkeypatch.setattr(inventory, "ask", lambda *_args: Answer(text.strip().split("\n")))
        return take(mac.prl, dataclasses.replace(vm, family=family), 0)[0]

    return listed


def test_debian(listed: Any) -> None:
    found = listed(DEBIAN)
    assert found["system"] == {
        "family": "linux",
        "id": "debian",
        "name": "Debian GNU/Linux 12 (bookworm)",
        "version": "12",
        "arch": "aarch64",
        "kernel": "6.1.0-18-arm64",
    }
    assert [each["name"] for each in found["components"]] == ["bash", "zlib1g"]  # sorted, each once
    assert found["components"][0] == {
        "type": "deb",
        "name": "bash",
        "version": "5.2.15-2+b7",
        "arch": "arm64",
        "source": "bash",
        "source_version": "5.2.15-2",
        "supplier": "Matthias Klose <doko@debian.org>",
    }


def test_fedora(listed: Any) -> None:
    found = listed(FEDORA)
    assert found["system"]["cpe"] == "cpe:/o:fedoraproject:fedora:40"
    assert [(each["type"], each["name"], each.get("epoch")) for each in found["components"]] == [
        ("flatpak", "org.gnome.Maps", None),
        ("rpm", "curl", "0"),
        ("rpm", "shadow-utils", "2"),
    ]
    assert "supplier" not in found["components"][2]  # rpm prints (none)


def test_windows(listed: Any) -> None:
    found = listed(WINDOWS, "windows")
    assert found["system"] == {
        "family": "windows",
        "id": "windows_11",
        "name": "Windows 11 25H2",
        "version": "10.0.26200.7840",
        "release": "25H2",
        "edition": "Enterprise",
        "arch": "ARM64",
    }
    assert [(each["type"], each["name"]) for each in found["components"]] == [
        ("appx", "Microsoft.WindowsCalculator"),
        ("program", "7-Zip 24.08 (arm64)"),
        ("program", "Example Agent"),
        ("update", "KB5054156"),
    ]
    assert found["components"][2]["msi"] == "msi"


@pytest.mark.parametrize(
    ("build", "kind", "name"),
    [("19045", "Client", "Windows 10"), ("22000", "Client", "Windows 11"), ("26100", "Server", "Windows Server")],
)
def test_the_name_of_windows(listed: Any, build: str, kind: str, name: str) -> None:
    text = WINDOWS.replace("26200", build).replace("Client", kind).replace("25H2", "")
    assert listed(text, "windows")["system"]["name"] == name


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("", "linux"),
        (DEBIAN.replace("all\t=\n", ""), "linux"),
        (DEBIAN.replace("deb\t=\n", ""), "linux"),
        (DEBIAN.replace("system\t=\n", ""), "linux"),
        (DEBIAN.replace("deb\t=", "deb\t!\tdpkg-query failed"), "linux"),
        ("\n".join(line for line in DEBIAN.split("\n") if not line.startswith("deb\t")), "linux"),
        ("\n".join(line for line in DEBIAN.split("\n") if not line.startswith("deb\t+")), "linux"),
        (DEBIAN.replace("deb\t+\tbash", "deb\t+\t"), "linux"),
        (DEBIAN.replace("aarch64", ""), "linux"),
        (DEBIAN.replace("deb\t=", "deb\t+\ta\tb\tc\td\te\tf\tg\ndeb\t="), "linux"),
        (DEBIAN + "snap\t!\tsnap list failed", "linux"),
        (DEBIAN + "snap\t+\tcore22", "linux"),
        (WINDOWS.replace("appx\t=", "appx\t!\tAccess denied"), "windows"),
        ("\n".join(line for line in WINDOWS.split("\n") if not line.startswith("appx\t+")), "windows"),
        ("\n".join(line for line in WINDOWS.split("\n") if not line.startswith("update\t")), "windows"),
        (WINDOWS.replace("26200", "Windows"), "windows"),
        (WINDOWS.replace("\t7840", "\t"), "windows"),
        (DEBIAN, "windows"),
        (WINDOWS, "linux"),
    ],
    ids=range(19),
)
def test_an_answer_that_is_odd_or_cut_off_is_an_error(listed: Any, text: str, family: str) -> None:
    with pytest.raises(TaskError, match="'x' is not known, because the answer of the guest cannot be used"):
        listed(text, family)


def test_an_answer_with_more_than_any_system_has(listed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "_MOST", 1)
    with pytest.raises(TaskError, match="names 2 components"):
        listed(DEBIAN)


def test_a_vm_that_is_not_running_is_not_started(mac: Any, vm: Vm, listed: Any) -> None:
    stopped = dataclasses.replace(vm, family="linux", state="stopped", uptime=60)
    with pytest.raises(TaskError, match="is not known: it is stopped, and has no earlier answer that holds"):
        take(mac.prl, stopped, 0)
    known = listed(DEBIAN)
    assert take(mac.prl, stopped, 0)[0] == known
    # As it is packed, and as it has run again.
    assert take(mac.prl, dataclasses.replace(stopped, packed=True), 0)[0] == known
    with pytest.raises(TaskError, match="is not known"):
        take(mac.prl, dataclasses.replace(stopped, uptime=61), 0)


def test_an_answer_that_cannot_be_used_is_not_kept(mac: Any, vm: Vm, listed: Any) -> None:
    with pytest.raises(TaskError):
        listed("all\t=")
    with pytest.raises(TaskError, match="no earlier answer"):
        take(mac.prl, dataclasses.replace(vm, family="linux", state="stopped"), 0)


def test_a_system_that_is_not_asked(mac: Any, vm: Vm) -> None:
    with pytest.raises(TaskError, match="its system is 'macosx'. Only Windows and Linux guests are asked"):
        take(mac.prl, dataclasses.replace(vm, family="macos", os="macosx"), 0)


# --- the scripts --------------------------------------------------------------------------------------------------

APK_DATABASE = """C:Q1x=
P:musl
V:1.2.5-r0
A:aarch64
L:MIT
o:musl
F:lib

P:py3-six
V:1.16.0-r9
A:aarch64
"""
PROGRAMS = {
    "rpm": r"printf 'rpm\t+\tbash\t0\t5.2-1\tx86_64\t(none)\tGPL\tbash.src.rpm\n'",
    "pacman": "echo 'pacman 6.1.0-3'; echo 'zlib 1:1.3.1-1'",
    "snap": "echo 'Name    Version   Rev   Notes'; echo 'core22  20240111  1122  base'",
    "flatpak": r"printf 'org.gnome.Maps\t46.10\tstable\tflathub\n'",
    "dpkg-query": r"printf 'ii \tbash\t5.2\tarm64\tbash\t5.2\tA <a@example.com>\nrc \told\t1\tarm64\told\t1\tB\n'",
}


def run_in(root: Path, script: str, failing: str = "") -> Answer:
    """Return the answer of a system whose files and programs are in a folder."""
    programs = root / "programs"
    programs.mkdir(parents=True)
    for name, body in PROGRAMS.items():
        (programs / name).write_text(f"#!/bin/sh\n{'exit 1' if name == failing else body}\n")
        (programs / name).chmod(0o755)
    # The script names its files by absolute paths.
    moved = re.sub(r"(?<![\w.])/(etc|var|usr/lib|lib|run)/", rf"{root}/\1/", shell_script(script))
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["/bin/sh", "-s"], input=moved, capture_output=True, text=True, check=True, timeout=60, env=environment
    )
    return Answer(_lines(Result([], 0, done.stdout, "")))


def system_with(root: Path, *files: str) -> Path:
    for name in ("etc/os-release", *files):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        content = 'ID=alpine\nVERSION_ID=3.20.0\nPRETTY_NAME="Alpine Linux v3.20"\n' if name.endswith("release") else ""
        path.write_text(APK_DATABASE if "apk" in name else content)
    return root


@pytest.mark.parametrize(
    ("files", "kind", "rows"),
    [
        (["var/lib/dpkg/status"], "deb", [("bash", "5.2", "arm64", "bash", "5.2", "A <a@example.com>")]),
        (["var/lib/rpm/rpmdb.sqlite"], "rpm", [("bash", "0", "5.2-1", "x86_64", "(none)", "GPL", "bash.src.rpm")]),
        (
            ["usr/lib/sysimage/rpm/rpmdb.sqlite"],
            "rpm",
            [("bash", "0", "5.2-1", "x86_64", "(none)", "GPL", "bash.src.rpm")],
        ),
        (
            ["lib/apk/db/installed"],
            "apk",
            [("musl", "1.2.5-r0", "aarch64", "MIT", "musl"), ("py3-six", "1.16.0-r9", "aarch64", "", "")],
        ),
        (["var/lib/pacman/local/x"], "pacman", [("pacman", "6.1.0-3"), ("zlib", "1:1.3.1-1")]),
        (["var/lib/flatpak/x"], "flatpak", [("org.gnome.Maps", "46.10", "stable", "flathub")]),
    ],
)
def test_the_script_for_each_kind_of_package(tmp_path: Path, files: list[str], kind: str, rows: Any) -> None:
    answer = run_in(system_with(tmp_path, *files), inventory._SHELL)
    assert answer.rows(kind) == rows
    assert answer.rows("all") == []
    assert answer.one("system")[:3] == ("alpine", "3.20.0", "Alpine Linux v3.20")  # type: ignore[index]
    others = set(inventory._LINUX_KINDS) - {kind}
    assert all(answer.is_unasked(other) for other in others)


@pytest.mark.parametrize(
    ("file", "program", "kind"),
    [
        ("var/lib/dpkg/status", "dpkg-query", "deb"),
        ("var/lib/rpm/x", "rpm", "rpm"),
        ("var/lib/pacman/local/x", "pacman", "pacman"),
        ("var/lib/flatpak/x", "flatpak", "flatpak"),
    ],
)
def test_a_program_that_fails_leaves_no_list(tmp_path: Path, file: str, program: str, kind: str) -> None:
    answer = run_in(system_with(tmp_path, file), inventory._SHELL, failing=program)
    assert answer.rows(kind) is None
    assert not answer.is_unasked(kind)


def test_the_scripts_name_all_kinds() -> None:
    assert set(re.findall(r"whole (\w+)", inventory._SHELL)) == {"system", "all", *inventory._LINUX_KINDS}
    topics = re.findall(r"^Read-Topic (\w+) \{", inventory._POWERSHELL, re.MULTILINE)
    assert set(topics) == {"system", "all", *inventory._WINDOWS_KINDS}
    assert topics[-1] == "all"
    assert (inventory._SHELL + inventory._POWERSHELL).isascii()
