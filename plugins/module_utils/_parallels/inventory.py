# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Lists what is installed in a guest: its system, its packages or applications, its updates.

An answer that is empty, cut off or odd is an error and never an empty list: no system has nothing installed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Callable, Optional

from .._common.errors import TaskError
from .cli import Prlctl
from .guest import LINUX, WINDOWS, Guest
from .guest_answer import Answer, ask
from .kept_answers import INVENTORY, keep, kept
from .vm import RUNNING, Vm

# The kinds of entries, and what their fields are called. Fields that are empty are left out.
_LINUX_KINDS: dict[str, tuple[str, ...]] = {
    "deb": ("name", "version", "arch", "source", "source_version", "supplier"),
    "rpm": ("name", "epoch", "version", "arch", "supplier", "license", "source"),
    "apk": ("name", "version", "arch", "license", "source"),
    "pacman": ("name", "version"),
    "snap": ("name", "version", "revision"),
    "flatpak": ("name", "version", "branch", "origin"),
}
_WINDOWS_KINDS: dict[str, tuple[str, ...]] = {
    "program": ("name", "version", "supplier", "key", "msi", "scope"),
    "appx": ("name", "version", "arch", "publisher_id", "full_name"),
    "update": ("name", "description"),
}
# Without any of these, the list is not that of a whole system.
_NEEDED = {LINUX: ("deb", "rpm", "apk", "pacman"), WINDOWS: ("appx",)}
_MOST = 50_000

_SHELL = r"""
if [ -r /etc/os-release ]; then
  (
    . /etc/os-release
    row system "${ID:-}" "${VERSION_ID:-}" "${PRETTY_NAME:-${NAME:-}}" "${CPE_NAME:-}" "$(uname -m)" "$(uname -r)"
  ) && whole system
fi

if [ -e /var/lib/dpkg/status ]; then
  fields='${db:Status-Abbrev}\t${Package}\t${Version}\t${Architecture}'
  fields=$fields'\t${source:Package}\t${source:Version}\t${Maintainer}\n'
  if list=$(dpkg-query -W -f="$fields"); then
    printf '%s\n' "$list" | while IFS= read -r line; do
      case $line in 'ii '*) printf 'deb\t+\t%s\n' "${line#*"$tab"}" ;; esac
    done
    whole deb
  else failed deb 'dpkg-query failed'; fi
fi

is_rpm=
for database in /var/lib/rpm /usr/lib/sysimage/rpm; do
  if [ -e "$database" ] && [ ! -e /var/lib/dpkg/status ]; then is_rpm=yes; fi
done
if [ "$is_rpm" ]; then
  fields='rpm\t+\t%{NAME}\t%{EPOCHNUM}\t%{VERSION}-%{RELEASE}\t%{ARCH}'
  fields=$fields'\t%{VENDOR}\t%{LICENSE}\t%{SOURCERPM}\n'
  if list=$(rpm -qa --qf "$fields"); then
    printf '%s\n' "$list"
    whole rpm
  else failed rpm 'rpm -qa failed'; fi
fi

if [ -e /lib/apk/db/installed ] && [ ! -r /lib/apk/db/installed ]; then
  failed apk 'the database cannot be read'
elif [ -e /lib/apk/db/installed ]; then
  name= version= arch= license= origin=
  while IFS= read -r line; do
    case $line in
      P:*) name=${line#P:} ;;
      V:*) version=${line#V:} ;;
      A:*) arch=${line#A:} ;;
      L:*) license=${line#L:} ;;
      o:*) origin=${line#o:} ;;
      '')
        if [ -n "$name" ]; then row apk "$name" "$version" "$arch" "$license" "$origin"; fi
        name= version= arch= license= origin=
        ;;
    esac
  done </lib/apk/db/installed
  if [ -n "$name" ]; then row apk "$name" "$version" "$arch" "$license" "$origin"; fi
  whole apk
fi

if [ -d /var/lib/pacman/local ]; then
  if list=$(pacman -Q); then
    printf '%s\n' "$list" | while read -r name version; do row pacman "$name" "$version"; done
    whole pacman
  else failed pacman 'pacman -Q failed'; fi
fi

if command -v snap >/dev/null && [ -S /run/snapd.socket ]; then
  if list=$(snap list); then
    printf '%s\n' "$list" |
      while read -r name version revision _; do
        if [ -n "$name" ] && [ "$name" != Name ]; then row snap "$name" "$version" "$revision"; fi
      done
    whole snap
  else failed snap 'snap list failed'; fi
fi

if command -v flatpak >/dev/null && [ -d /var/lib/flatpak ]; then
  if list=$(flatpak list --system --columns=application,version,branch,origin); then
    if [ -n "$list" ]; then
      printf '%s\n' "$list" | while IFS= read -r line; do printf 'flatpak\t+\t%s\n' "$line"; done
    fi
    whole flatpak
  else failed flatpak 'flatpak list failed'; fi
fi

whole all
"""

_POWERSHELL = r"""
Read-Topic system {
  $windows = Get-ItemProperty 'HKLM:\SOFTWARE\Microsoft\Windows NT\CurrentVersion'
  $machine = $env:PROCESSOR_ARCHITECTURE
  if ($env:PROCESSOR_ARCHITEW6432) { $machine = $env:PROCESSOR_ARCHITEW6432 }
  $build = $windows.CurrentBuildNumber
  Add-Row system $build $windows.UBR $windows.DisplayVersion $windows.EditionID $windows.InstallationType $machine
}
Read-Topic program {
  function Add-Programs([string]$path, [string]$scope) {
    if (-not (Test-Path -LiteralPath $path)) { return }
    Get-ChildItem -LiteralPath $path | ForEach-Object {
      $values = Get-ItemProperty -LiteralPath $_.PSPath
      $is_part = $values.SystemComponent -eq 1 -or $values.ParentKeyName -or
        @('Update', 'Hotfix', 'Security Update') -contains $values.ReleaseType
      if ($values.DisplayName -and -not $is_part) {
        $msi = ''
        if ($values.WindowsInstaller -eq 1) { $msi = 'msi' }
        Add-Row program $values.DisplayName $values.DisplayVersion $values.Publisher $_.PSChildName $msi $scope
      }
    }
  }
  $uninstall = 'Microsoft\Windows\CurrentVersion\Uninstall'
  Add-Programs "Registry::HKEY_LOCAL_MACHINE\SOFTWARE\$uninstall" 'machine'
  Add-Programs "Registry::HKEY_LOCAL_MACHINE\SOFTWARE\WOW6432Node\$uninstall" 'machine, 32-bit'
  Get-ChildItem Registry::HKEY_USERS | Where-Object { $_.PSChildName -match '^S-1-5-21-[0-9-]+$' } | ForEach-Object {
    Add-Programs "Registry::HKEY_USERS\$($_.PSChildName)\SOFTWARE\$uninstall" 'user'
  }
}
Read-Topic appx {
  Get-AppxPackage -AllUsers | ForEach-Object {
    Add-Row appx $_.Name $_.Version $_.Architecture $_.PublisherId $_.PackageFullName
  }
}
Read-Topic update { Get-HotFix | ForEach-Object { Add-Row update $_.HotFixID $_.Description } }
Read-Topic all { $null }
"""


def take(prl: Prlctl, vm: Vm, patience: float) -> tuple[dict[str, Any], str]:
    """Return the inventory of a VM, and when its guest was asked. Raises TaskError when it is not known.

    That of a VM that is not running is the one that was kept before its shutdown.
    """
    if vm.family not in (WINDOWS, LINUX):
        raise TaskError(
            f"What is installed in '{vm.name}' cannot be listed: its system is '{vm.os}'. Only Windows and Linux "
            "guests are asked."
        )
    if vm.state != RUNNING:
        earlier = kept(INVENTORY, vm)
        if earlier is None:
            raise TaskError(
                f"What is installed in '{vm.name}' is not known: it is {vm.state}, and has no earlier answer that "
                "holds. List it while it runs. Do not start it for that if it is generalized.",
                state=vm.state,
            )
        return _read(vm, Answer(earlier.lines)), earlier.at
    answer = ask(Guest(prl, vm, patience=patience), _SHELL, _POWERSHELL)
    inventory = _read(vm, answer)
    return inventory, keep(INVENTORY, vm, answer.lines()).at


def _read(vm: Vm, answer: Answer) -> dict[str, Any]:
    """Return the inventory in an answer. Raises TaskError for one that is not that of a whole system."""
    kinds, system = (_WINDOWS_KINDS, _windows_system) if vm.family == WINDOWS else (_LINUX_KINDS, _linux_system)
    found = _system(vm, answer, system)
    components: list[dict[str, str]] = []
    # The script has run to its end.
    problems = [] if answer.rows("all") is not None else ["It is incomplete."]
    for kind, fields in kinds.items():
        rows = answer.rows(kind)
        if rows is not None:
            components += _components(vm, kind, fields, rows)
        elif vm.family == WINDOWS or not answer.is_unasked(kind):
            problems.append(f"{kind}: {answer.why_unknown(kind)}")
    needed = _NEEDED[vm.family]
    if problems or not any(component["type"] in needed for component in components):
        why = " ".join(problems) or f"It names no package of the kinds {', '.join(needed)}."
        raise _unknown(vm, why)
    if len(components) > _MOST:
        raise _unknown(vm, f"It names {len(components)} components, which is more than any system has.")
    return {"system": found, "components": sorted(components, key=_order)}


def _unknown(vm: Vm, why: str) -> TaskError:
    return TaskError(
        f"What is installed in '{vm.name}' is not known, because the answer of the guest cannot be used. {why} Check "
        "the guest, then list it again."
    )


def _order(component: dict[str, str]) -> tuple[str, ...]:
    return tuple(component.get(key, "") for key in ("type", "name", "version", "arch", "key", "full_name", "scope"))


def _components(vm: Vm, kind: str, fields: Sequence[str], rows: Iterable[tuple[str, ...]]) -> Iterable[dict[str, str]]:
    """Return the entries of one kind, each once."""
    seen = set()
    for row in rows:
        values = [value.strip() for value in row]
        values = ["" if value == "(none)" else value for value in values]  # as rpm writes what it does not know
        if len(values) > len(fields) or not values or not values[0]:
            raise _unknown(vm, f"An entry of the kind {kind} has not the expected fields.")
        component = {"type": kind, **{key: value for key, value in zip(fields, values) if value}}
        if kind == "rpm" and component["name"] == "gpg-pubkey":  # a key, not a package
            continue
        if tuple(values) not in seen:
            seen.add(tuple(values))
            yield component


def _system(vm: Vm, answer: Answer, read: Callable[[Sequence[str]], Optional[dict[str, str]]]) -> dict[str, str]:
    row = answer.one("system")
    found = read(row) if row is not None and len(row) == 6 else None
    if found is None:
        raise _unknown(vm, "It does not name the system.")
    return {key: value for key, value in found.items() if value}


def _linux_system(row: Sequence[str]) -> Optional[dict[str, str]]:
    id, version, name, cpe, machine, kernel = (value.strip() for value in row)
    if not (id or name) or not machine:
        return None
    return {
        "family": LINUX,
        "id": id or "linux",
        "name": name or id,
        "version": version,
        "arch": machine,
        "kernel": kernel,
        "cpe": cpe,
    }


# Its registry still says "Windows 10" in Windows 11.
_FIRST_BUILD_OF_11 = 22000


def _windows_system(row: Sequence[str]) -> Optional[dict[str, str]]:
    build, revision, release, edition, kind, machine = (value.strip() for value in row)
    if not (build.isdigit() and revision.isdigit() and machine):
        return None
    is_server = kind.lower().startswith("server")
    name = "Windows Server" if is_server else f"Windows {11 if int(build) >= _FIRST_BUILD_OF_11 else 10}"
    return {
        "family": WINDOWS,
        "id": name.lower().replace(" ", "_"),
        "name": f"{name} {release}".strip(),
        "version": f"10.0.{build}.{revision}",
        "release": release,
        "edition": edition,
        "arch": machine,
    }
