# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""What stops Sysprep: found in the guest before it runs, fixed where that was ordered, and named after a failure.

The causes, and the lines that Sysprep writes for them, are those of Microsoft's documentation and of public logs. What
cannot be read in the guest is not a cause, but is reported: Sysprep itself checks it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable, Optional

from .._common.errors import TaskError
from .cli import Result
from .guest import QUESTION_LIMIT, Guest, powershell
from .guest_answer import Answer, ask
from .guest_work import run_long
from .readiness_questions import WINDOWS_RESTART

REMOVE_PACKAGES = "remove_packages"
PROVISION_PACKAGES = "provision_packages"
BITLOCKER = "bitlocker"
DEVICE_ENCRYPTION = "device_encryption"
RESTART = "restart"
HIBERNATION = "hibernation"
# In the order in which they are applied: what was fixed may need a restart.
FIXES = (REMOVE_PACKAGES, PROVISION_PACKAGES, BITLOCKER, DEVICE_ENCRYPTION, HIBERNATION, RESTART)

_RESTARTS = 3
_PAUSE = 10
_FIX_LIMIT = 1800  # seconds for a command that fixes packages
_RESTART_LIMIT = 900  # seconds until a guest that was restarted responds; it may be installing updates
_MOST_PACKAGES = 20

# C(packages) those that block; C(encryption) what Windows calls the conversion status, 0 for a disk that is not
# encrypted; C(prevented) when device encryption is; C(reserve) what uses reserved storage; C(rearms) how often the
# license can be reset; C(earlier) the states of an earlier Sysprep; C(disabled) the services that Sysprep needs.
# Nothing that Windows translates is used.
_ENCRYPTION = r"""
Read-Topic encryption {
  $namespace = 'root/cimv2/Security/MicrosoftVolumeEncryption'
  $filter = "DriveLetter = '$env:SystemDrive'"
  $volume = Get-CimInstance -Namespace $namespace -ClassName Win32_EncryptableVolume -Filter $filter
  Add-Row encryption (Invoke-CimMethod -InputObject $volume -MethodName GetConversionStatus).ConversionStatus
}
"""
_FACTS = (
    WINDOWS_RESTART
    + _ENCRYPTION
    + r"""
function Get-Value($path, $name) { (Get-Item -LiteralPath $path).GetValue($name) }
Read-Topic packages {
  $there = @{}
  foreach ($package in Get-AppxProvisionedPackage -Online) {
    $parts = $package.PackageName.Split('_')
    $there[$parts[0] + '_' + $parts[-1]] = [version]$parts[1]
  }
  foreach ($package in Get-AppxPackage -AllUsers) {
    if ($package.IsFramework -or $package.IsResourcePackage -or $package.NonRemovable) { continue }
    if ("$($package.SignatureKind)" -eq 'System') { continue }
    if (-not @($package.PackageUserInformation | Where-Object { "$($_.InstallState)" -like 'Installed*' })) { continue }
    $version = $there[$package.PackageFamilyName]
    if ($version -and [version]"$($package.Version)" -le $version) { continue }
    Add-Row packages $package.PackageFullName
  }
}
Read-Topic prevented {
  if ((Test-Path "$control\BitLocker") -and (Get-Value "$control\BitLocker" 'PreventDeviceEncryption') -eq 1) {
    Add-Row prevented 'yes'
  }
}
Read-Topic reserve {
  if (Test-Path "$setup\ReserveManager") {
    $scenario = Get-Value "$setup\ReserveManager" 'ActiveScenario'
    if ($scenario) { Add-Row reserve $scenario }
  }
}
Read-Topic rearms { Add-Row rearms (Get-CimInstance SoftwareLicensingService).RemainingWindowsReArmCount }
Read-Topic earlier {
  $status = 'HKLM:\SYSTEM\Setup\Status\SysprepStatus'
  Add-Row earlier (Get-Value $status 'GeneralizationState') (Get-Value $status 'CleanupState')
}
Read-Topic servicing {
  if (Get-ChildItem "$env:windir\servicing\SessionsPending" -Force -ErrorAction SilentlyContinue) {
    Add-Row servicing 'SessionsPending'
  }
}
Read-Topic old_windows { if (Test-Path "$env:SystemDrive\Windows.old") { Add-Row old_windows 'Windows.old' } }
Read-Topic fast_startup {
  if ((Get-Value "$control\Session Manager\Power" 'HiberbootEnabled') -eq 1) { Add-Row fast_startup 'on' }
}
Read-Topic disabled {
  foreach ($name in 'wuauserv', 'AppXSvc', 'sppsvc') {
    if ("$((Get-Service $name).StartType)" -eq 'Disabled') { Add-Row disabled $name }
  }
}
Read-Topic booted {
  $started = (Get-CimInstance Win32_OperatingSystem).LastBootUpTime
  Add-Row booted ($started.ToUniversalTime().Ticks)
}
"""
)
_QUESTIONS = {
    "packages": "which apps are installed for one user only",
    "encryption": "whether the disk is encrypted",
    "prevented": "whether device encryption is prevented",
    "reserve": "whether an update uses reserved storage",
    "restart": "whether a restart is pending",
    "rearms": "how often the license can still be reset",
    "earlier": "whether an earlier Sysprep has finished",
    "servicing": "whether servicing is pending",
    "old_windows": "whether an earlier Windows is left",
    "fast_startup": "whether fast startup is on",
    "disabled": "whether services that Sysprep needs are disabled",
}
_DECRYPTED = ("0",)
_FINISHED = ("7", "2")


def _quoted(names: Iterable[str]) -> str:
    """Return names as a list in PowerShell."""
    return ",".join("'" + name.replace("'", "''") + "'" for name in names)


_REMOVE = r"""
$failed=@()
foreach($n in @(NAMES)){try{Remove-AppxPackage -Package $n -AllUsers}catch{$failed+="$n ($_)"}}
if($failed){[Console]::Error.WriteLine($failed -join '; ');exit 1}
"""
_PROVISION = r"""
$failed=@()
foreach($n in @(NAMES)){try{
  $p=@(Get-AppxPackage -AllUsers|Where-Object{$_.PackageFullName -eq $n})[0]
  [void](Add-AppxProvisionedPackage -Online -FolderPath $p.InstallLocation -SkipLicense)
}catch{$failed+="$n ($_)"}}
if($failed){[Console]::Error.WriteLine($failed -join '; ');exit 1}
"""
_PREVENT_ENCRYPTION = r"""
$k='HKLM:\SYSTEM\CurrentControlSet\Control\BitLocker'
if(-not (Test-Path $k)){[void](New-Item $k)}
[void](New-ItemProperty $k -Name PreventDeviceEncryption -Value 1 -PropertyType DWord -Force)
"""
_NO_HIBERNATION = r"""
powercfg.exe /hibernate off
Set-ItemProperty 'HKLM:\SYSTEM\CurrentControlSet\Control\Session Manager\Power' -Name HiberbootEnabled -Value 0
"""


@dataclass(frozen=True)
class Finding:
    """Something that stops Sysprep, or spoils what it makes."""

    id: str
    problem: str
    remedy: str
    # Whether Sysprep fails because of it. Otherwise it is only reported.
    blocks: bool = True
    # What fixes it: elements of C(FIXES).
    fixes: tuple[str, ...] = ()

    def sentence(self) -> str:
        """Return the problem and its remedy."""
        ways = " or ".join(f"`{fix}`" for fix in self.fixes)
        return f"{self.problem} {self.remedy}" + (f" Or let this task do it: add {ways} to fix." if ways else "")

    def result(self) -> dict[str, Any]:
        """Return it as a module result."""
        return {
            "id": self.id,
            "blocks": self.blocks,
            "problem": self.problem,
            "remedy": self.remedy,
            "fixes": list(self.fixes),
        }


def look(guest: Guest) -> Answer:
    """Ask the guest, in one call."""
    return ask(guest, "", _FACTS)


def findings(answer: Answer, *, skip_rearm: bool = False) -> list[Finding]:
    """Return all that the guest shows, what blocks Sysprep first."""
    found = [each for rule in _RULES for each in rule(answer)]
    return sorted(
        (each for each in found if not (skip_rearm and each.id == "rearms")), key=lambda each: not each.blocks
    )


def unknown(answer: Answer) -> list[str]:
    """Return a sentence for each fact that could not be read."""
    return [
        f"It is not known {question}. {answer.why_unknown(topic)} Sysprep checks it."
        for topic, question in _QUESTIONS.items()
        if answer.rows(topic) is None
    ]


def _names(answer: Answer, topic: str) -> list[str]:
    return [row[0] for row in answer.rows(topic) or [] if row]


def _packages(answer: Answer) -> Iterable[Finding]:
    names = _names(answer, "packages")
    if names:
        more = f" and {len(names) - _MOST_PACKAGES} more" if len(names) > _MOST_PACKAGES else ""
        yield Finding(
            "packages",
            f"{len(names)} {'apps are' if len(names) > 1 else 'app is'} installed for a user, but not provisioned for "
            f"all users in that version: {', '.join(names[:_MOST_PACKAGES])}{more}.",
            "Remove them in the guest (`Remove-AppxPackage -AllUsers -Package NAME`), or provision them.",
            fixes=(REMOVE_PACKAGES, PROVISION_PACKAGES),
        )


def _encryption(answer: Answer) -> Iterable[Finding]:
    status = answer.one("encryption")
    if status is not None and status != _DECRYPTED:
        yield Finding(
            "bitlocker",
            "BitLocker or device encryption is on, is being turned on or off, or waits for activation.",
            "Decrypt the disk in the guest (`manage-bde -off C:`), and wait until that has finished.",
            fixes=(BITLOCKER,),
        )
    if answer.rows("prevented") == []:
        yield Finding(
            "device_encryption",
            "Windows may turn on device encryption by itself before Sysprep has finished.",
            r"Set PreventDeviceEncryption to 1 in HKLM\SYSTEM\CurrentControlSet\Control\BitLocker.",
            blocks=False,
            fixes=(DEVICE_ENCRYPTION,),
        )


def _updates(answer: Answer) -> Iterable[Finding]:
    if answer.rows("reserve"):
        yield Finding(
            "updates",
            "An update or a servicing operation uses reserved storage.",
            "Let Windows Update finish in the guest, and restart it. If nothing is being installed, run "
            "`DISM /Online /Cleanup-Image /StartComponentCleanup`, and restart.",
        )
    waiting = answer.rows("restart")
    if waiting:
        yield Finding(
            "restart",
            f"A restart is pending ({', '.join(row[0] for row in waiting if row)}).",
            "Restart the guest.",
            # Files that are replaced at the next start are only worth a warning in Sysprep's log.
            blocks=any(row[1:] != ("rename",) for row in waiting),
            fixes=(RESTART,),
        )
    if answer.rows("servicing"):
        yield Finding(
            "servicing",
            "Windows has servicing sessions that have not finished.",
            "Restart the guest, and run `DISM /Online /Cleanup-Image /StartComponentCleanup`.",
            blocks=False,
        )


def _license(answer: Answer) -> Iterable[Finding]:
    if answer.one("rearms") == ("0",):
        yield Finding(
            "rearms",
            "The license has been reset as often as Windows allows.",
            "Make the image from a new source VM, or use an answer file with SkipRearm (skip_rearm).",
        )


def _earlier(answer: Answer) -> Iterable[Finding]:
    states = answer.one("earlier")
    if states is not None and "" not in states and states != _FINISHED:
        yield Finding(
            "earlier_sysprep",
            "An earlier Sysprep has not finished (GeneralizationState and CleanupState are "
            f"{' and '.join(states)}, not {' and '.join(_FINISHED)}).",
            "Remove the virtual machine, so that it is cloned again from a source in which Sysprep has never failed.",
        )
    if answer.rows("old_windows"):
        yield Finding(
            "old_windows",
            "An earlier Windows is left in Windows.old.",
            "Remove it with Disk Cleanup: it makes the image larger, and Sysprep may fail.",
            blocks=False,
        )


def _services(answer: Answer) -> Iterable[Finding]:
    disabled = _names(answer, "disabled")
    if disabled:
        yield Finding(
            "services",
            f"Sysprep needs services that are disabled: {', '.join(disabled)}.",
            "Set them to start on demand (`sc config NAME start= demand`).",
        )
    if answer.rows("fast_startup"):
        yield Finding(
            "hibernation",
            "Fast startup is on, so Windows may hibernate instead of shutting down.",
            "Turn it off in the guest (`powercfg /hibernate off`).",
            blocks=False,
            fixes=(HIBERNATION,),
        )


_RULES: tuple[Callable[[Answer], Iterable[Finding]], ...] = (
    _packages,
    _encryption,
    _updates,
    _license,
    _earlier,
    _services,
)


# --- fixing


@dataclass(frozen=True)
class Preparation:
    """What is still found in a guest, and what was fixed."""

    found: tuple[Finding, ...] = ()
    fixed: tuple[str, ...] = ()
    # What could not be read, one sentence each.
    unknown: tuple[str, ...] = ()


def prepare(guest: Guest, fixes: Collection[str], *, skip_rearm: bool, timeout: float, dry: bool) -> Preparation:
    """Find what stops Sysprep, and fix what C(fixes) names; raise TaskError with all that still blocks it.

    In a dry run nothing is fixed, and what would be fixed does not block.
    """
    end = guest.prl.clock() + timeout
    fixed: list[str] = []
    answer = look(guest)
    while True:
        found = findings(answer, skip_rearm=skip_rearm)
        fix = None if dry else _next_fix(found, fixes, fixed)
        if fix is None:
            break
        if fix == RESTART:
            _restart(guest, answer)
        else:
            _apply_fix(guest, fix, _names(answer, "packages"), end)
        fixed.append(fix)
        answer = look(guest)
    blocking = [each for each in found if each.blocks and not (dry and set(each.fixes) & set(fixes))]
    if blocking:
        raise TaskError(
            f"Sysprep would fail in '{guest.vm.name}', so it was not started. "
            f"{' '.join(each.sentence() for each in blocking)} The virtual machine is still running: run again when "
            "that is done, and fix the source VM, too, for the next image.",
            findings=[each.result() for each in found],
        )
    return Preparation(tuple(found), tuple(dict.fromkeys(fixed)), tuple(unknown(answer)))


def _next_fix(found: Iterable[Finding], fixes: Collection[str], fixed: Sequence[str]) -> Optional[str]:
    """Return what to fix next. A restart may lead to another one; anything else is tried once."""
    wanted = {fix for each in found for fix in each.fixes if fix in fixes}
    left = [fix for fix in wanted if fixed.count(fix) < (_RESTARTS if fix == RESTART else 1)]
    return min(left, key=FIXES.index, default=None)


def _apply_fix(guest: Guest, fix: str, packages: Sequence[str], end: float) -> None:
    if fix == BITLOCKER:
        # It returns at once, and may be repeated. What the disk shows counts.
        _check(guest, fix, guest.ask(["manage-bde.exe", "-off", "C:"]))
        while ask(guest, "", _ENCRYPTION).one("encryption") != _DECRYPTED:
            if guest.prl.clock() >= end:
                raise TaskError(
                    f"The disk of '{guest.vm.name}' was not decrypted in time. The guest is still decrypting it: run "
                    "again to wait once more, or raise timeout."
                )
            guest.prl.sleep(_PAUSE)
        return
    script = {
        REMOVE_PACKAGES: _REMOVE.replace("NAMES", _quoted(packages)),
        PROVISION_PACKAGES: _PROVISION.replace("NAMES", _quoted(packages)),
        DEVICE_ENCRYPTION: _PREVENT_ENCRYPTION,
        HIBERNATION: _NO_HIBERNATION,
    }[fix]
    if fix in (REMOVE_PACKAGES, PROVISION_PACKAGES):
        result = run_long(guest, powershell(script), limit=_FIX_LIMIT)
    else:
        result = guest.run(powershell(script), limit=QUESTION_LIMIT)
    _check(guest, fix, result)


def _check(guest: Guest, fix: str, result: Result) -> None:
    if result.rc != 0:
        raise TaskError(
            f"{fix} did not succeed in '{guest.vm.name}': {result.said.strip()[-1000:] or f'exit code {result.rc}'}. "
            "Do it by hand in the guest, then run again.",
            **result.details(),
        )


def _restart(guest: Guest, before: Answer) -> None:
    """Restart the guest, and wait until it has started again."""
    guest.begin(["shutdown.exe", "/r", "/t", "0"], limit=QUESTION_LIMIT)
    end = guest.prl.clock() + _RESTART_LIMIT
    while True:
        guest.prl.sleep(_PAUSE)
        try:
            booted = look(guest).one("booted")
        except TaskError:  # it is going down, or coming up
            booted = None
        if booted is not None and booted != before.one("booted"):
            return
        if guest.prl.clock() >= end:
            raise TaskError(
                f"'{guest.vm.name}' did not restart within {_RESTART_LIMIT} seconds. Check its screen, then run again."
            )


# --- Sysprep's logs

_LOGS = {
    "setuperr": r"C:\Windows\System32\Sysprep\Panther\setuperr.log",
    "setupact": r"C:\Windows\System32\Sysprep\Panther\setupact.log",
}
_LOG_KEPT = 200_000  # bytes of each log
_LINES_SHOWN = 3
_SIZES = "".join(
    f"""
Read-Topic {name} {{
  if (Test-Path -LiteralPath '{path}') {{ Add-Row {name} (Get-Item -LiteralPath '{path}').Length }}
}}"""
    for name, path in _LOGS.items()
)
_NEW_LINES = f"""
Read-Topic NAME {{
  if (-not (Test-Path -LiteralPath 'PATH')) {{ return }}
  $from = FROM
  $file = [IO.File]::Open('PATH', 'Open', 'Read', 'ReadWrite, Delete')
  if ($file.Length -lt $from) {{ $from = 0 }}
  $from = [Math]::Max($from, $file.Length - {_LOG_KEPT})
  [void]$file.Seek($from, 'Begin')
  $bytes = New-Object byte[] ($file.Length - $from)
  [void]$file.Read($bytes, 0, $bytes.Length)
  $file.Close()
  $text = [Text.Encoding]::UTF8.GetString($bytes)
  foreach ($line in $text -split "`n") {{ if ($line.Trim()) {{ Add-Row NAME $line }} }}
}}
"""

_PACKAGE = re.compile(r"Package (\S+) was installed for a user, but not provisioned for all users", re.IGNORECASE)


@dataclass(frozen=True)
class Cause:
    """Why Sysprep has failed, as its logs show it."""

    id: str
    pattern: str
    advice: str


# In the order in which they are looked for: what follows from another cause comes after it.
CAUSES = (
    Cause(
        "packages",
        r"installed for a user, but not provisioned for all users|0x80073cf2",
        "An app was installed from the Store for one user only. Remove it in the guest (`Remove-AppxPackage -AllUsers "
        "-Package NAME`), or provision it for all users. To let this task do it, add `remove_packages` or "
        "`provision_packages` to fix.",
    ),
    Cause(
        "bitlocker",
        r"BitLocker-Sysprep|0x80310039|ValidateBitLockerState",
        "BitLocker or device encryption is on. Decrypt the disk in the guest (`manage-bde -off C:`), and wait until "
        "that has finished. To let this task do it, add `bitlocker` and `device_encryption` to fix.",
    ),
    Cause(
        "updates",
        r"reserved storage|0x800f0975|active scenario",
        "Windows is installing updates, or an update was not finished. Let Windows Update finish in the guest, restart "
        "it, and run `DISM /Online /Cleanup-Image /StartComponentCleanup`.",
    ),
    Cause(
        "rearms",
        r"0xc004d307|SLReArmWindows",
        "The license has been reset as often as Windows allows. Make the image from a new source VM, or use an answer "
        "file with SkipRearm.",
    ),
    Cause(
        "answer_file",
        r"0x80220005|processorArchitecture|unattend[^\n]*(invalid|error|failed)",
        "Windows does not accept the answer file. Its components must be for the architecture of the guest (arm64 on "
        "Apple silicon, amd64 on Intel), and its values must be valid.",
    ),
    Cause(
        "old_windows",
        r"Sysprep_Clean_Opk: Failed to remove Uninstall",
        "An upgrade of Windows has left files. Remove the earlier Windows with Disk Cleanup.",
    ),
    Cause(
        "earlier_sysprep",
        r"0x8007001f|Not running DLLs",
        "An earlier Sysprep has not finished. Remove the virtual machine, so that it is cloned again from a source in "
        "which Sysprep has never failed.",
    ),
    Cause(
        "component_store",
        r"CbsExecuteStateFailed",
        "The component store of Windows is inconsistent. Run `DISM /Online /Cleanup-Image /StartComponentCleanup "
        "/ResetBase` in the source VM.",
    ),
    Cause(
        "restart",
        r"File operations pending|pending (restart|reboot)",
        "A restart is pending. Restart the guest. To let this task do it, add `restart` to fix.",
    ),
    Cause(
        "boot_configuration",
        r"Sysprep_Generalize_Bcd|BiUpdateEfiEntry",
        "Windows could not change its boot configuration. Check it in the guest (`bcdedit /enum all`).",
    ),
)


@dataclass(frozen=True)
class Failure:
    """What Sysprep's logs say about a failure: the cause where it is known, and the lines that show it."""

    cause: Optional[Cause]
    packages: tuple[str, ...]
    log: str
    lines: tuple[str, ...]


def log_sizes(guest: Guest) -> dict[str, int]:
    """Return how long Sysprep's logs are: it appends to them, so only what follows is about the next run."""
    answer = ask(guest, "", _SIZES)
    sizes = {name: answer.one(name) for name in _LOGS}
    return {name: int(row[0]) for name, row in sizes.items() if row and row[0].isdigit()}


def name_failure(guest: Guest, before: Mapping[str, int]) -> Failure:
    """Read the new lines of Sysprep's logs. Some errors are only in the second one."""
    scripts = (
        _NEW_LINES.replace("NAME", name).replace("PATH", path).replace("FROM", str(before.get(name, 0)))
        for name, path in _LOGS.items()
    )
    answer = ask(guest, "", "".join(scripts))
    logs = {name: _names(answer, name) for name in _LOGS}
    packages = tuple(dict.fromkeys(found for lines in logs.values() for found in _PACKAGE.findall("\n".join(lines))))
    for name, lines in logs.items():
        for cause in CAUSES:
            matching = [line for line in lines if re.search(cause.pattern, line, re.IGNORECASE)]
            if matching:
                return Failure(cause, packages, _LOGS[name], tuple(matching[:_LINES_SHOWN]))
    told = next((name for name, lines in logs.items() if lines), "setuperr")
    return Failure(None, packages, _LOGS[told], tuple(logs[told][-_LINES_SHOWN:]))
