# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""What a guest is asked before an image is made of it. The scripts only read, and are ASCII.

The topics, with the values of each entry: C(arch) the machine; C(restart) what waits for it, and in Windows C(rename)
for files alone; C(updates) the program or the mark of an update at work; C(domain) and C(entra) the directory;
C(profiles) a user and the folder; C(channel) that of the license; C(free) bytes free and in total on the system's disk;
C(sign_in) the user that Windows signs in by itself, and C(password) if it has saved the password.
"""

from __future__ import annotations

SHELL = r"""
machine=$(uname -m) && row arch "$machine" && whole arch

for mark in /run/reboot-required /var/run/reboot-required; do
  if [ -e "$mark" ]; then row restart "$mark"; break; fi
done
whole restart

for process in /proc/[0-9]*/comm; do
  read -r program <"$process" || continue
  case $program in
    apt|apt-get|aptitude|dpkg|unattended-upgr|dnf|dnf5|yum|rpm|zypper|apk|pacman) row updates "$program" ;;
  esac
done
for mark in /var/lib/dpkg/updates/[0-9]*; do
  if [ -e "$mark" ]; then row updates 'an interrupted dpkg'; break; fi
done
if [ -r /proc/self/comm ]; then whole updates; else failed updates 'the list of processes cannot be read'; fi

if [ -s /etc/krb5.keytab ]; then row domain /etc/krb5.keytab; fi
whole domain

if [ -r /etc/passwd ]; then
  while IFS=: read -r name _ uid _ _ home _; do
    case $uid in ''|*[!0-9]*) continue ;; esac
    if [ "$uid" -ge 1000 ] && [ "$uid" -lt 60000 ] && [ -d "$home" ]; then row profiles "$name" "$home"; fi
  done </etc/passwd
  whole profiles
fi

df -Pk / | {
  read -r _ && read -r _ total _ free _ && [ "$total" -gt 0 ] && row free "${free}K" "${total}K" && whole free
}
"""

# Names of registry keys and WMI classes are the same in all languages of Windows.
WINDOWS_RESTART = r"""
$setup = 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion'
$control = 'HKLM:\SYSTEM\CurrentControlSet\Control'
Read-Topic restart {
  if (Test-Path "$setup\Component Based Servicing\RebootPending") { Add-Row restart 'Windows servicing' }
  if (Test-Path "$setup\WindowsUpdate\Auto Update\RebootRequired") { Add-Row restart 'Windows Update' }
  $active = (Get-ItemProperty "$control\ComputerName\ActiveComputerName").ComputerName
  $next = (Get-ItemProperty "$control\ComputerName\ComputerName").ComputerName
  if ($active -ne $next) { Add-Row restart 'a new computer name' }
  if ((Get-ItemProperty "$control\Session Manager").PendingFileRenameOperations) { Add-Row restart 'files' 'rename' }
}
"""

POWERSHELL = (
    WINDOWS_RESTART
    + r"""
Read-Topic arch {
  if ($env:PROCESSOR_ARCHITEW6432) { Add-Row arch $env:PROCESSOR_ARCHITEW6432 }
  else { Add-Row arch $env:PROCESSOR_ARCHITECTURE }
}
Read-Topic updates {
  if (Test-Path "$setup\ReserveManager") {
    if ((Get-ItemProperty "$setup\ReserveManager").ActiveScenario) { Add-Row updates 'reserved storage in use' }
  }
  if (Test-Path "$setup\Component Based Servicing\PackagesPending") { Add-Row updates 'packages to install' }
  if (Get-Process TiWorker -ErrorAction SilentlyContinue) { Add-Row updates 'TiWorker.exe' }
}
Read-Topic domain {
  $computer = Get-CimInstance Win32_ComputerSystem
  if ($null -eq $computer.PartOfDomain) { throw 'Win32_ComputerSystem does not report PartOfDomain' }
  if ($computer.PartOfDomain) { Add-Row domain $computer.Domain }
}
Read-Topic entra {
  $joined = & dsregcmd.exe /status | Select-String '^\s*AzureAdJoined\s*:\s*(YES|NO)' | Select-Object -First 1
  if (-not $joined) { throw 'dsregcmd does not report AzureAdJoined' }
  if ($joined.Matches[0].Groups[1].Value -eq 'YES') { Add-Row entra 'Microsoft Entra ID' }
}
Read-Topic profiles {
  Get-CimInstance Win32_UserProfile -Filter 'Special = FALSE' |
    ForEach-Object { Add-Row profiles (Split-Path -Leaf $_.LocalPath) $_.LocalPath }
}
Read-Topic channel {
  $windows = "ApplicationID = '55c92734-d682-4d71-983e-d6ec3f16059f' AND PartialProductKey IS NOT NULL"
  Get-CimInstance SoftwareLicensingProduct -Filter $windows -Property ProductKeyChannel |
    ForEach-Object { Add-Row channel $_.ProductKeyChannel }
}
Read-Topic free {
  $disk = Get-CimInstance Win32_LogicalDisk -Filter "DeviceID = '$env:SystemDrive'"
  Add-Row free $disk.FreeSpace $disk.Size
}
Read-Topic sign_in {
  $logon = Get-ItemProperty 'HKLM:\SOFTWARE\Microsoft\Windows NT\CurrentVersion\Winlogon'
  if ($logon.DefaultPassword) { Add-Row sign_in $logon.DefaultUserName 'password' }
  elseif ("$($logon.AutoAdminLogon)" -eq '1') { Add-Row sign_in $logon.DefaultUserName }
}
"""
)
