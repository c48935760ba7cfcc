# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The scripts that run in guests: one for the Bourne shell of Linux and macOS, one for Windows PowerShell.

The loaders are on the command line. What they run comes on standard input: see guest_frame.
"""

from __future__ import annotations

# Without a quote, a newline or a character that is not ASCII. It answers C(?NONCE) until it reads the script.
UNIX_LOADER = 'while read -r l; do case $l in [?]*) echo "!${l#?}";; *) eval "$(printf %b "$l")"; exit;; esac; done'

_UNIX_HASH = r"""
h() {
if command -v sha256sum >/dev/null; then sha256sum
elif command -v shasum >/dev/null; then shasum -a 256
elif command -v openssl >/dev/null; then openssl dgst -sha256 -r
else cat >/dev/null; echo -; fi | { read -r y d; echo "$y"; }
}
"""

# n: nonce. c: command or path. z: bytes of standard input. l: seconds. w, j, g: password, prompt, what shows that it is
# not needed. PATH is that of a login, because Parallels gives nearly none. The umask is the usual one, because that of
# Parallels may be 0. Nothing may ask a question, because nobody would answer.
_UNIX_START = (
    r"""
PATH=${PATH:-/usr/bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
u=$(id -un 2>/dev/null)
case ${HOME:-/} in /) case $u in ''|*[!A-Za-z0-9._-]*) ;; *) eval "y=~$u"; case $y in /*) HOME=$y;; esac;; esac;; esac
: "${HOME:=/}" "${USER:=$u}" "${LOGNAME:=$u}" "${TERM:=dumb}"
DEBIAN_FRONTEND=noninteractive DEBIAN_PRIORITY=critical NEEDRESTART_MODE=l
GIT_TERMINAL_PROMPT=0 PAGER=cat SYSTEMD_PAGER=cat
export PATH HOME USER LOGNAME TERM DEBIAN_FRONTEND DEBIAN_PRIORITY NEEDRESTART_MODE GIT_TERMINAL_PROMPT PAGER
export SYSTEMD_PAGER
umask 077
t=
for d in "${TMPDIR:-/tmp}" /var/tmp /dev/shm "$HOME"; do
t=$(mktemp -d "$d/.macops-XXXXXXXX" 2>/dev/null) && break
done
if [ -z "$t" ]; then echo "NO $n temporary"; exit; fi
trap 'rm -rf "$t"' 0
trap 'exit 1' HUP PIPE TERM
exec 3<&0 4>&1 2>/dev/null
"""
    + _UNIX_HASH
    + r"""
b() { if [ "$1" -gt 0 ]; then head -c "$1" "$2"; fi; }
"""
)

# s: runs a command in a session of its own.
OWN_SESSION = r"""s() {
if command -v setsid >/dev/null; then exec setsid "$@"
elif command -v perl >/dev/null; then exec perl -MPOSIX -e 'POSIX::setsid();exec(@ARGV)' "$@"
else exec "$@"; fi
}
"""

# The output goes into files, so that a process in the background that keeps it open holds nothing up. The command gets
# a session of its own, so that it can be ended with all of its processes.
UNIX_COMMAND = (
    _UNIX_START
    + "\n"
    + OWN_SESSION
    + r"""k() { kill -s "$1" -- "-$p" || kill -s "$1" "$p"; }
f() {
if [ -n "$w" ]; then
until grep -qF -e "$g" "$t/o" "$t/e"; do
if grep -qF -e "$j" "$t/o" "$t/e"; then printf '%s\n' "$w"; break; fi
sleep 0.1 || sleep 1
done
fi
if [ "$z" -gt 0 ]; then head -c "$z" <&3 | { cat; cat >/dev/null; }; fi
echo "GOT $n" >&4
read -r y <&3
case $y in
"leave $n") exit;;
"end $n") exec >/dev/null; read -r y <&3;;
esac
kill -s TERM $$
}
mkfifo "$t/i" && : >"$t/o" && : >"$t/e" || { echo "NO $n temporary"; exit; }
x=0
trap 'x=1; k TERM; (sleep 5; k KILL) >/dev/null 3<&- 4>&- &' TERM
echo "BEGIN $n"
(
umask 022
cd "$HOME" || cd /
exec 2>"$t/e" <"$t/i" 3<&- 4>&-
s /bin/sh -c "$c"
) >"$t/o" & p=$!
f >"$t/i" & q=$!
v=
if [ -n "$l" ]; then (s /bin/sh -c "sleep $l; kill -s TERM $$") </dev/null >/dev/null 3<&- 4>&- & v=$!; fi
wait "$p"
r=$?
if [ "$x" = 1 ]; then wait "$p"; y=$?; [ "$y" = 127 ] || r=$y; fi
trap '' TERM
kill "$q"
[ -z "$v" ] || kill -s KILL -- "-$v" || kill -s KILL "$v"
o=$(($(wc -c <"$t/o"))) e=$(($(wc -c <"$t/e")))
d=$({ b $o "$t/o"; b $e "$t/e"; } | h)
echo "END $n $r $o $e $x"
b $o "$t/o"
b $e "$t/e"
echo "EOT $n $d"
exit
"""
)

UNIX_FILE = (
    _UNIX_START
    + r"""
case $c in /*) ;; *) c=./$c;; esac
if [ -d "$c" ]; then echo "NO $n folder"; exit; fi
if ! [ -e "$c" ]; then echo "NO $n missing"; exit; fi
if ! [ -r "$c" ]; then echo "NO $n unreadable"; exit; fi
o=$(($(wc -c <"$c")))
echo "BEGIN $n"
b $o "$c" | h >"$t/d" &
echo "END $n 0 $o 0 0"
b $o "$c"
wait
echo "EOT $n $(cat "$t/d")"
exit
"""
)

# PATH is replaced.
UNIX_STORE = _UNIX_HASH + "cat >PATH && h <PATH"

# It answers C(?NONCE) until it reads the script, which gets the rest of standard input as $d.
WINDOWS_LOADER = (
    "$d=$input;while($d.MoveNext()){$l=[string]$d.Current;"
    "if($l[0] -eq '?'){[Console]::Out.WriteLine('!'+$l.Substring(1))}else{"
    "& ([ScriptBlock]::Create([Text.Encoding]::UTF8.GetString([Convert]::FromBase64String($l)))) $d;break}}"
)

# The command gets a process of its own, so that it may end as it likes, and its exit code has all 32 bits. Its input is
# there whole before it starts. What it leaves running may keep its output open: that is waited for only briefly.
WINDOWS_RUNNER = r"""
param($d)
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$out = [Console]::Out
$hash = [Security.Cryptography.SHA256]::Create()
$piece = 5700

function Read-Line {
    if (-not $d.MoveNext()) { throw 'Standard input ended early.' }
    return [string]$d.Current
}
function Get-Hex($bytes) {
    return [BitConverter]::ToString($bytes).Replace('-', '').ToLowerInvariant()
}
function Send-Bytes($tag, $bytes, $count) {
    for ($i = 0; $i -lt $count; $i += $piece) {
        $size = [Math]::Min($piece, $count - $i)
        [void]$hash.TransformBlock($bytes, $i, $size, $null, 0)
        $out.WriteLine($tag + ' ' + [Convert]::ToBase64String($bytes, $i, $size))
    }
}
function Copy-Input($stream) {
    while ($true) {
        $line = Read-Line
        if ($line -eq ".$nonce") { break }
        $bytes = [Convert]::FromBase64String($line)
        $stream.Write($bytes, 0, $bytes.Length)
    }
}
function Send-End($code, $killed, $size) {
    $out.WriteLine("END $nonce $code -1 -1 $killed $size")
}
function Send-Done {
    [void]$hash.TransformFinalBlock([byte[]]@(), 0, 0)
    $out.WriteLine("EOT $nonce " + (Get-Hex $hash.Hash))
}
function Send-Failure($message) {
    $bytes = [Text.Encoding]::UTF8.GetBytes($message)
    Send-End 9009 0 0
    Send-Bytes 'E' $bytes $bytes.Length
    Send-Done
}

$order = [Text.Encoding]::UTF8.GetString([Convert]::FromBase64String((Read-Line))) | ConvertFrom-Json
$nonce = $order.nonce
# Without a byte order mark, which would be the first thing that the command reads.
$utf8 = New-Object Text.UTF8Encoding $false
try { [Console]::InputEncoding = $utf8; [Console]::OutputEncoding = $utf8 } catch { $null = $_ }
$out = [Console]::Out

if ($order.fetch) {
    if (Test-Path -LiteralPath $order.line -PathType Container) { $out.WriteLine("NO $nonce folder"); return }
    if (-not (Test-Path -LiteralPath $order.line)) { $out.WriteLine("NO $nonce missing"); return }
    try {
        $file = [IO.File]::Open($order.line, 'Open', 'Read', 'ReadWrite')
    } catch { $out.WriteLine("NO $nonce unreadable"); return }
    $out.WriteLine("BEGIN $nonce")
    Send-End 0 0 $file.Length
    $bytes = New-Object byte[] ($piece * 32)
    while (($count = $file.Read($bytes, 0, $bytes.Length)) -gt 0) { Send-Bytes 'O' $bytes $count }
    $file.Close()
    Send-Done
    return
}

if ($order.store) {
    $out.WriteLine("BEGIN $nonce")
    try {
        $file = [IO.File]::Open($order.line, 'Create', 'Write', 'None')
        try { Copy-Input $file } finally { $file.Close() }
        $file = [IO.File]::OpenRead($order.line)
        try { $digest = [Security.Cryptography.SHA256]::Create().ComputeHash($file) } finally { $file.Close() }
    } catch { Send-Failure $_.Exception.Message; return }
    $bytes = [Text.Encoding]::ASCII.GetBytes((Get-Hex $digest))
    Send-End 0 0 $bytes.Length
    Send-Bytes 'O' $bytes $bytes.Length
    Send-Done
    return
}

$out.WriteLine("BEGIN $nonce")
$given = New-Object IO.MemoryStream
Copy-Input $given
$given.Position = 0
$words = [regex]::Match($order.line, '^\s*(?:"([^"]*)"|(\S+))\s*(.*)$', 'Singleline')
$start = New-Object Diagnostics.ProcessStartInfo
$start.FileName = $words.Groups[1].Value + $words.Groups[2].Value
$start.Arguments = $words.Groups[3].Value
$start.WorkingDirectory = $env:SystemDrive + '\'
$start.UseShellExecute = $false
$start.RedirectStandardInput = $true
$start.RedirectStandardOutput = $true
$start.RedirectStandardError = $true
$env:GIT_TERMINAL_PROMPT = '0'
try {
    $process = [Diagnostics.Process]::Start($start)
} catch { Send-Failure $_.Exception.Message; return }
$stdout = New-Object IO.MemoryStream
$stderr = New-Object IO.MemoryStream
$copies = @(
    $process.StandardOutput.BaseStream.CopyToAsync($stdout)
    $process.StandardError.BaseStream.CopyToAsync($stderr)
)
$stdin = $process.StandardInput.BaseStream
$feed = $given.CopyToAsync($stdin)
$fed = $false
$killed = 0
$clock = [Diagnostics.Stopwatch]::StartNew()
while ($true) {
    if ($feed.IsCompleted -and -not $fed) {
        $fed = $true
        try { $stdin.Close() } catch { $null = $_ }
    }
    if ($process.WaitForExit(50)) { break }
    if ($order.limit -gt 0 -and -not $killed -and $clock.Elapsed.TotalSeconds -gt $order.limit) {
        $killed = 1
        try { & "$env:SystemRoot\System32\taskkill.exe" /T /F /PID $process.Id | Out-Null } catch { $null = $_ }
    }
}
try { [void][Threading.Tasks.Task]::WaitAll([Threading.Tasks.Task[]]$copies, 2000) } catch { $null = $_ }
$answer = $stdout.ToArray()
$errors = $stderr.ToArray()
Send-End $process.ExitCode $killed $answer.Length
Send-Bytes 'O' $answer $answer.Length
Send-Bytes 'E' $errors $errors.Length
Send-Done
"""
