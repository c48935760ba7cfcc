# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""What stops Sysprep: found in the guest before it runs, mended where that was ordered, and named after a failure.

The causes, and the lines that Sysprep writes for them, are those of Microsoft's documentation and of public logs. What
cannot be read in the guest is not a cause, but is reported: Sysprep itself checks it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable, Optional

from .._common.errors import TaskError
from .._common.json_reader import read_json
from .cli import Result
from .guest import QUESTION_LIMIT, Guest, powershell

REMOVE_PACKAGES = "remove_packages"
PROVISION_PACKAGES = "provision_packages"
BITLOCKER = "bitlocker"
DEVICE_ENCRYPTION = "device_encryption"
RESTART = "restart"
HIBERNATION = "hibernation"
# In the order in which they are applied: what was mended may need a restart.
FIXES = (REMOVE_PACKAGES, PROVISION_PACKAGES, BITLOCKER, DEVICE_ENCRYPTION, HIBERNATION, RESTART)

_RESTARTS = 3
_PAUSE = 10
_FIX_LIMIT = 1800  # seconds for a command that mends something
_RESTART_LIMIT = 900  # seconds until a guest that was restarted responds; it may be installing updates
_MARK = "macops.parallels:"
_MOST_PACKAGES = 20
# Without them, Sysprep waits for ever, or cannot remove apps or reset the license.
_SERVICES = ("wuauserv", "AppXSvc", "sppsvc")


def _quoted(names: Iterable[str]) -> str:
    """Return names as a list in PowerShell."""
    return ",".join("'" + name.replace("'", "''") + "'" for name in names)


# Each fact by itself: one that cannot be read hides no other. No name or message that Windows translates is used.
_FACTS = rf"""
$r=@{{}};$e=@{{}}
function fact($name,[scriptblock]$block){{try{{$r[$name]=& $block}}catch{{$r[$name]=$null;$e[$name]="$_"}}}}
function value($path,$name){{$key=Get-Item -LiteralPath $path;$key.GetValue($name)}}
$cv='HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion'
$ccs='HKLM:\SYSTEM\CurrentControlSet\Control'
fact packages {{
  $there=@{{}}
  foreach($p in Get-AppxProvisionedPackage -Online){{
    $w=$p.PackageName.Split('_');$there[$w[0]+'_'+$w[-1]]=[version]$w[1]
  }}
  ,@(foreach($p in Get-AppxPackage -AllUsers){{
    if($p.IsFramework -or $p.IsResourcePackage -or $p.NonRemovable -or "$($p.SignatureKind)" -eq 'System'){{continue}}
    if(-not @($p.PackageUserInformation|Where-Object{{"$($_.InstallState)" -like 'Installed*'}})){{continue}}
    $v=$there[$p.PackageFamilyName]
    if($v -and [version]"$($p.Version)" -le $v){{continue}}
    $p.PackageFullName
  }})
}}
fact encryption {{
  $n='root/cimv2/Security/MicrosoftVolumeEncryption'
  $v=Get-CimInstance -Namespace $n -ClassName Win32_EncryptableVolume -Filter "DriveLetter='$env:SystemDrive'"
  (Invoke-CimMethod -InputObject $v -MethodName GetConversionStatus).ConversionStatus
}}
fact encryption_prevented {{
  if(Test-Path "$ccs\BitLocker"){{(value "$ccs\BitLocker" 'PreventDeviceEncryption') -eq 1}}else{{$false}}
}}
fact reserve {{value "$cv\ReserveManager" 'ActiveScenario'}}
fact restart {{
  ,@(if(Test-Path "$cv\Component Based Servicing\RebootPending"){{'servicing'}}
  if(Test-Path "$cv\WindowsUpdate\Auto Update\RebootRequired"){{'updates'}}
  if(value "$ccs\Session Manager" 'PendingFileRenameOperations'){{'files'}}
  $names="$ccs\ComputerName"
  if((value "$names\ActiveComputerName" 'ComputerName') -ne (value "$names\ComputerName" 'ComputerName')){{'name'}})
}}
fact rearms {{(Get-CimInstance SoftwareLicensingService).RemainingWindowsReArmCount}}
fact generalization {{value 'HKLM:\SYSTEM\Setup\Status\SysprepStatus' 'GeneralizationState'}}
fact cleanup {{value 'HKLM:\SYSTEM\Setup\Status\SysprepStatus' 'CleanupState'}}
fact servicing {{[bool](Get-ChildItem "$env:windir\servicing\SessionsPending" -Force -ErrorAction Ignore)}}
fact old_windows {{Test-Path "$env:SystemDrive\Windows.old"}}
fact hibernation {{(value "$ccs\Session Manager\Power" 'HiberbootEnabled') -eq 1}}
fact disabled {{
  ,@(foreach($s in {_quoted(_SERVICES)}){{if("$((Get-Service $s).StartType)" -eq 'Disabled'){{$s}}}})
}}
fact arch {{"$env:PROCESSOR_ARCHITECTURE"}}
fact booted {{(Get-CimInstance Win32_OperatingSystem).LastBootUpTime.ToUniversalTime().Ticks}}
$r['unreadable']=$e
'{_MARK}'+(ConvertTo-Json $r -Compress -Depth 4)
"""

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
    # What mends it: elements of C(FIXES).
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


@dataclass(frozen=True)
class Facts:
    """What the guest has reported. What it could not read is not in C(values), but in C(unreadable) with the reason."""

    values: Mapping[str, Any]
    unreadable: Mapping[str, str]

    def get(self, name: str, kind: type) -> Any:
        """Return a fact, None where it is not known."""
        value = self.values.get(name)
        return value if isinstance(value, kind) and not (kind is int and isinstance(value, bool)) else None

    def names(self, name: str) -> list[str]:
        """Return a fact that is a list of names; empty where it is not known."""
        return [value for value in self.get(name, list) or [] if isinstance(value, str)]


# What the guest reports, with its type.
_KINDS: dict[str, type] = {
    "packages": list,
    "encryption": int,
    "encryption_prevented": bool,
    "reserve": int,
    "restart": list,
    "rearms": int,
    "generalization": int,
    "cleanup": int,
    "servicing": bool,
    "old_windows": bool,
    "hibernation": bool,
    "disabled": list,
    "arch": str,
    "booted": int,
}
_QUESTIONS = {
    "packages": "which apps are installed for one user only",
    "encryption": "whether the disk is encrypted",
    "encryption_prevented": "whether device encryption is prevented",
    "reserve": "whether an update uses reserved storage",
    "restart": "whether a restart is pending",
    "rearms": "how often the license can still be reset",
    "generalization": "whether an earlier Sysprep has finished",
    "cleanup": "whether an earlier Sysprep has finished",
    "servicing": "whether servicing is pending",
    "old_windows": "whether an earlier Windows is left",
    "hibernation": "whether fast startup is on",
    "disabled": "whether services that Sysprep needs are disabled",
    "arch": "which architecture Windows has",
    "booted": "when Windows was started",
}
_RESTART_REASONS = {
    "servicing": "component servicing",
    "updates": "updates",
    "files": "files that are replaced at the next start",
    "name": "a new computer name",
}


def look(guest: Guest) -> Facts:
    """Ask the guest, in one call."""
    answer = guest.ask(powershell(_FACTS))
    line = next((line for line in answer.stdout.splitlines() if line.startswith(_MARK)), None)
    if line is None:
        raise _odd_answer(guest, answer)
    try:
        found = read_json(line[len(_MARK) :].encode())
    except ValueError as error:
        raise _odd_answer(guest, answer) from error
    if not isinstance(found, dict):
        raise _odd_answer(guest, answer)
    reasons = found.get("unreadable")
    reasons = reasons if isinstance(reasons, dict) else {}
    facts = Facts(found, {})
    unknown = {name: str(reasons.get(name, "")) for name, kind in _KINDS.items() if facts.get(name, kind) is None}
    return Facts(found, unknown)


def _odd_answer(guest: Guest, answer: Result) -> TaskError:
    return TaskError(
        f"Windows in '{guest.vm.name}' did not report what Sysprep needs. Check whether PowerShell works in the guest, "
        "then run again.",
        **answer.details(),
    )


def findings(facts: Facts, *, skip_rearm: bool = False) -> list[Finding]:
    """Return all that the facts show, what blocks Sysprep first."""
    found = [each for rule in _RULES for each in rule(facts, skip_rearm)]
    return sorted(found, key=lambda each: not each.blocks)


def unknown(facts: Facts) -> list[str]:
    """Return a sentence for each fact that could not be read."""
    sentences = []
    for name, why in facts.unreadable.items():
        reason = f" ({why.strip().splitlines()[0].rstrip('.')})" if why.strip() else ""
        sentences.append(f"It is not known {_QUESTIONS[name]}{reason}. Sysprep checks it.")
    return list(dict.fromkeys(sentences))


def _packages(facts: Facts, _skip: bool) -> Iterable[Finding]:
    names = facts.names("packages")
    if names:
        more = f" and {len(names) - _MOST_PACKAGES} more" if len(names) > _MOST_PACKAGES else ""
        yield Finding(
            "packages",
            f"{len(names)} {'apps are' if len(names) > 1 else 'app is'} installed for a user, but not provisioned for "
            f"all users in that version: {', '.join(names[:_MOST_PACKAGES])}{more}.",
            "Remove them in the guest (`Remove-AppxPackage -AllUsers -Package NAME`), or provision them.",
            fixes=(REMOVE_PACKAGES, PROVISION_PACKAGES),
        )


def _encryption(facts: Facts, _skip: bool) -> Iterable[Finding]:
    if facts.get("encryption", int):
        yield Finding(
            "bitlocker",
            "BitLocker or device encryption is on, is being turned on or off, or waits for activation.",
            "Decrypt the disk in the guest (`manage-bde -off C:`), and wait until that has finished.",
            fixes=(BITLOCKER,),
        )
    if facts.get("encryption_prevented", bool) is False:
        yield Finding(
            "device_encryption",
            "Windows may turn on device encryption by itself before Sysprep has finished.",
            "Set PreventDeviceEncryption to 1 below HKLM\\SYSTEM\\CurrentControlSet\\Control\\BitLocker.",
            blocks=False,
            fixes=(DEVICE_ENCRYPTION,),
        )


def _updates(facts: Facts, _skip: bool) -> Iterable[Finding]:
    if facts.get("reserve", int):
        yield Finding(
            "updates",
            "An update or a servicing operation uses reserved storage.",
            "Let Windows Update finish in the guest, and restart it. If nothing is being installed, run "
            "`DISM /Online /Cleanup-Image /StartComponentCleanup`, and restart.",
        )
    reasons = facts.names("restart")
    if reasons:
        yield Finding(
            "restart",
            f"A restart is pending, because of {', '.join(_RESTART_REASONS.get(each, each) for each in reasons)}.",
            "Restart the guest.",
            fixes=(RESTART,),
        )
    if facts.get("servicing", bool):
        yield Finding(
            "servicing",
            "Windows has servicing sessions that have not finished.",
            "Restart the guest, and run `DISM /Online /Cleanup-Image /StartComponentCleanup`.",
            blocks=False,
        )


def _license(facts: Facts, skip_rearm: bool) -> Iterable[Finding]:
    if facts.get("rearms", int) == 0 and not skip_rearm:
        yield Finding(
            "rearms",
            "The license has been reset as often as Windows allows.",
            "Make the image from a new source VM, or use an answer file with SkipRearm.",
        )


def _earlier(facts: Facts, _skip: bool) -> Iterable[Finding]:
    state, cleanup = facts.get("generalization", int), facts.get("cleanup", int)
    if state not in (None, 7) or cleanup not in (None, 2):
        yield Finding(
            "earlier_sysprep",
            f"An earlier Sysprep has not finished (GeneralizationState {state}, CleanupState {cleanup}).",
            "Remove the virtual machine, so that it is cloned again from a source in which Sysprep has never failed.",
        )
    if facts.get("old_windows", bool):
        yield Finding(
            "old_windows",
            "An earlier Windows is left in Windows.old.",
            "Remove it with Disk Cleanup: it makes the image larger, and Sysprep may fail.",
            blocks=False,
        )


def _services(facts: Facts, _skip: bool) -> Iterable[Finding]:
    disabled = facts.names("disabled")
    if disabled:
        yield Finding(
            "services",
            f"Sysprep needs services that are disabled: {', '.join(disabled)}.",
            "Set them to start on demand (`sc config NAME start= demand`).",
        )
    if facts.get("hibernation", bool):
        yield Finding(
            "hibernation",
            "Fast startup is on, so Windows may hibernate instead of shutting down.",
            "Turn it off in the guest (`powercfg /hibernate off`).",
            blocks=False,
            fixes=(HIBERNATION,),
        )


_RULES: tuple[Callable[[Facts, bool], Iterable[Finding]], ...] = (
    _packages,
    _encryption,
    _updates,
    _license,
    _earlier,
    _services,
)


# --- mending


@dataclass
class Preparation:
    """What was found in a guest, and what was mended."""

    found: list[Finding]
    mended: list[str]
    unknown: list[str]


def prepare(
    guest: Guest,
    fixes: Collection[str],
    *,
    skip_rearm: bool,
    timeout: float,
    dry: bool,
    report: Callable[[str], object],
) -> Preparation:
    """Find what stops Sysprep, and mend what C(fixes) names; raise TaskError with all that still blocks it.

    In a dry run nothing is mended, and what would be mended does not block.
    """
    end = guest.prl.clock() + timeout
    mended: list[str] = []
    facts = look(guest)
    while True:
        found = findings(facts, skip_rearm=skip_rearm)
        fix = None if dry else _next_fix(found, fixes, mended)
        if fix is None:
            break
        report(f"Mending in the guest: {fix}")
        if fix == RESTART:
            _restart(guest, facts)
        else:
            _mend(guest, fix, facts, end)
        mended.append(fix)
        facts = look(guest)
    blocking = [each for each in found if each.blocks and not (dry and set(each.fixes) & set(fixes))]
    if blocking:
        raise TaskError(
            f"Sysprep would fail in '{guest.vm.name}', so it was not started. "
            f"{' '.join(each.sentence() for each in blocking)} The virtual machine is still running: run again when "
            "that is done, and mend the source VM, too, for the next image.",
            findings=[each.result() for each in found],
        )
    return Preparation(found, list(dict.fromkeys(mended)), unknown(facts))


def _next_fix(found: Iterable[Finding], fixes: Collection[str], mended: Sequence[str]) -> Optional[str]:
    """Return what to mend next. A restart may lead to another one; anything else is tried once."""
    wanted = {fix for each in found for fix in each.fixes if fix in fixes}
    left = [fix for fix in wanted if mended.count(fix) < (_RESTARTS if fix == RESTART else 1)]
    return min(left, key=FIXES.index, default=None)


def _mend(guest: Guest, fix: str, facts: Facts, end: float) -> None:
    if fix == BITLOCKER:
        _check(guest, fix, guest.run(["manage-bde.exe", "-off", "C:"], limit=QUESTION_LIMIT))
        while look(guest).get("encryption", int) != 0:
            if guest.prl.clock() >= end:
                raise TaskError(
                    f"The disk of '{guest.vm.name}' was not decrypted in time. Decrypting goes on in the guest: run "
                    "again to wait once more, or raise timeout."
                )
            guest.prl.sleep(_PAUSE)
        return
    script = {
        REMOVE_PACKAGES: _REMOVE.replace("NAMES", _quoted(facts.names("packages"))),
        PROVISION_PACKAGES: _PROVISION.replace("NAMES", _quoted(facts.names("packages"))),
        DEVICE_ENCRYPTION: _PREVENT_ENCRYPTION,
        HIBERNATION: _NO_HIBERNATION,
    }[fix]
    _check(guest, fix, guest.run(powershell(script), limit=_FIX_LIMIT))


def _check(guest: Guest, fix: str, result: Result) -> None:
    if result.rc != 0:
        raise TaskError(
            f"{fix} did not succeed in '{guest.vm.name}': {result.said.strip()[-1000:] or f'exit code {result.rc}'}. "
            "Do it by hand in the guest, then run again.",
            **result.details(),
        )


def _restart(guest: Guest, before: Facts) -> None:
    """Restart the guest, and wait until it has started again."""
    guest.begin(["shutdown.exe", "/r", "/t", "0"], limit=QUESTION_LIMIT)
    end = guest.prl.clock() + _RESTART_LIMIT
    while True:
        guest.prl.sleep(_PAUSE)
        try:
            booted = look(guest).get("booted", int)
        except TaskError:  # it is going down, or coming up
            booted = None
        if booted is not None and booted != before.get("booted", int):
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
_SIZES = f"""
$r=@{{}}
foreach($l in {",".join(f"@({_quoted(each)})" for each in _LOGS.items())}){{
  $r[$l[0]]=if(Test-Path -LiteralPath $l[1]){{(Get-Item -LiteralPath $l[1]).Length}}else{{0}}
}}
'{_MARK}'+(ConvertTo-Json $r -Compress)
"""
_NEW_LINES = f"""
$from=FROM
if(-not (Test-Path -LiteralPath 'PATH')){{exit 0}}
$f=[IO.File]::Open('PATH','Open','Read','ReadWrite,Delete')
if($f.Length -lt $from){{$from=0}}
if($f.Length-$from -gt {_LOG_KEPT}){{$from=$f.Length-{_LOG_KEPT}}}
[void]$f.Seek($from,'Begin')
$b=New-Object byte[] ($f.Length-$from)
[void]$f.Read($b,0,$b.Length)
[Text.Encoding]::UTF8.GetString($b)
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
    answer = guest.ask(powershell(_SIZES))
    line = next((line for line in answer.stdout.splitlines() if line.startswith(_MARK)), "")
    try:
        found = json.loads(line[len(_MARK) :])
    except ValueError:
        found = {}
    sizes = found if isinstance(found, dict) else {}
    return {name: size if isinstance(size, int) and size >= 0 else 0 for name, size in sizes.items()}


def name_failure(guest: Guest, before: Mapping[str, int]) -> Failure:
    """Read the new lines of Sysprep's logs. Some errors are only in the second one."""
    logs = {name: _new_lines(guest, path, before.get(name, 0)) for name, path in _LOGS.items()}
    packages = tuple(dict.fromkeys(name for text in logs.values() for name in _PACKAGE.findall(text)))
    for name, text in logs.items():
        cause = next((cause for cause in CAUSES if re.search(cause.pattern, text, re.IGNORECASE)), None)
        if cause is not None:
            return Failure(cause, packages, _LOGS[name], _matching(text, cause.pattern))
    told = next((name for name, text in logs.items() if text.strip()), "setuperr")
    return Failure(None, packages, _LOGS[told], tuple(_lines(logs[told])[-3:]))


def _new_lines(guest: Guest, path: str, start: int) -> str:
    return guest.ask(powershell(_NEW_LINES.replace("FROM", str(start)).replace("PATH", path))).stdout


def _matching(text: str, pattern: str) -> tuple[str, ...]:
    return tuple([line for line in _lines(text) if re.search(pattern, line, re.IGNORECASE)][:3])


def _lines(text: str) -> Sequence[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]
