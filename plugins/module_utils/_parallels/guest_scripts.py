# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The scripts that run in guests: one for the Bourne shell of Linux and macOS, one for Windows PowerShell.

The loaders go on the command line. What they run comes on standard input: see guest_frame.
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
exec 3<&0 4>&1 2>/dev/null
"""
    + _UNIX_HASH
    + r"""
b() { if [ "$1" -gt 0 ]; then head -c "$1" "$2"; fi; }
"""
)

# The output goes into files, so that a process in the background that keeps it open holds nothing up. The command gets
# a session of its own, so that it can be ended with all of its processes.
UNIX_COMMAND = (
    _UNIX_START
    + r"""
s() {
if command -v setsid >/dev/null; then exec setsid "$@"
elif command -v perl >/dev/null; then exec perl -MPOSIX -e 'POSIX::setsid();exec(@ARGV)' "$@"
else exec "$@"; fi
}
k() { kill -s "$1" -- "-$p" || kill -s "$1" "$p"; }
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
if [ "$y" = "end $n" ]; then exec >/dev/null; read -r y <&3; fi
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

WINDOWS_LOADER = ""
WINDOWS_RUNNER = ""
