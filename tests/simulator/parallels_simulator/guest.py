# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs inside of a VM: a small table of commands that a Windows, a Linux or a macOS guest understands.

A guest remembers what it was made into: files that were made or deleted, whether Sysprep ran, its machine id. That is
kept in the bundle, so that it goes along with a clone and a package.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import re
import sys
import time
from typing import Any, NamedTuple, Optional

from .config import VmConfig
from .guest_dialogues import answer_of

SYSPREP_LOG = "C:\\Windows\\System32\\Sysprep\\Panther\\setuperr.log"
_STATE_KEY = "HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Setup\\State"
_GENERALIZED = "IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE"
_FIRST_SETUP = "IMAGE_STATE_SPECIALIZE_RESEAL_TO_OOBE"
_SYSPREP_LOOKS = 2  # how long a Sysprep that lingers is seen at work
_CLOUD_INIT = "/usr/bin/cloud-init"
_CLOUD_INIT_NOTES = "/var/lib/cloud/instance"
_WINDOWS_FILES = (
    "C:\\Windows\\System32\\cmd.exe",
    "C:\\Windows\\System32\\Sysprep\\sysprep.exe",
    "C:\\Users",
    "C:\\Windows",
)
_UNIX_FILES = ("/", "/etc", "/etc/hostname", "/tmp", "/bin/sh", "/usr", "/var")


class Answer(NamedTuple):
    """What a command in the guest did: its output, its exit code, and what became of the guest's power."""

    rc: int = 0
    stdout: str = ""
    stderr: str = ""
    power: str = ""  # "", "off", "reboot"


def new_memory(family: str) -> dict[str, Any]:
    """Return what a guest remembers that was just installed."""
    if family == "windows":
        return {"image_state": "IMAGE_STATE_COMPLETE"}
    memory: dict[str, Any] = {"machine_id": os.urandom(16).hex(), "host_keys": True}
    if family == "linux":
        memory["files"] = {_CLOUD_INIT: "program", _CLOUD_INIT_NOTES: "i-simulated"}
    return memory


def boot(memory: dict[str, Any]) -> bool:
    """Do what a guest does when it starts, and tell whether it changed anything.

    A generalized Windows begins its first setup, a Linux without machine id makes one; SSH host keys do not come back.
    """
    memory.pop("sysprep", None)
    if memory.get("image_state") == _GENERALIZED:
        memory["image_state"] = _FIRST_SETUP
        return True
    if memory.get("machine_id") == "":
        memory["machine_id"] = os.urandom(16).hex()
        return True
    return False


def run_command(
    config: VmConfig, memory: dict[str, Any], words: list[str], current_user: bool, sysprep: str = "works"
) -> Answer:
    """Run a command; C(memory) is what the guest remembers, and is changed. C(sysprep) is the knob of that name."""
    if _reads_a_script(config.family, words):
        printed = answer_of(config.family, config.arch, sys.stdin.read(), memory)
        return Answer(127, stderr="the script is not known\n") if printed is None else Answer(stdout=printed)
    if config.family == "windows":
        return _windows(memory, words, "DESKTOP-SIM\\admin" if current_user else "nt authority\\system", sysprep)
    return _unix(memory, words, config.family, "admin" if current_user else "root")


def _reads_a_script(family: str, words: list[str]) -> bool:
    """Tell whether a command runs the script that comes on its standard input."""
    if family != "windows":
        return " ".join(words) in ("/bin/sh -s", "sh -s")
    if words[0].lower() != "powershell.exe" or "-EncodedCommand" not in words:
        return False
    with contextlib.suppress(binascii.Error, UnicodeDecodeError):
        return "[Console]::In.ReadToEnd()" in base64.b64decode(words[-1], validate=True).decode("utf-16-le")
    return False


# --- Windows ------------------------------------------------------------------------------------------------------


def _windows(memory: dict[str, Any], words: list[str], user: str, sysprep: str) -> Answer:
    if len(words) == 1 and " " in words[0]:
        return Answer(2)  # one string with a command line in it: the real one answers 2 and says nothing
    program = words[0].lower().rsplit("\\", 1)[-1]
    program = program[:-4] if program.endswith(".exe") else program
    rest = words[1:]
    if program == "cmd":
        switches = [word.lower() for word in rest]
        if "/c" not in switches or not set(switches[: switches.index("/c")]) <= {"/d", "/s"}:
            return Answer(0)
        return _cmd(memory, " ".join(rest[switches.index("/c") + 1 :]).strip(), user, sysprep)
    if program in ("powershell", "pwsh"):
        return _powershell(memory, rest, user)
    if program == "sysprep":
        return _sysprep(memory, [word.lower() for word in rest], sysprep)
    if program == "tasklist":
        return _tasklist(memory)
    if program == "reg":
        return _reg(memory, rest)
    if program == "shutdown":
        if "/r" in rest:
            memory.get("says", {}).pop("restart", None)  # it was pending, and is done
        return Answer(power="reboot" if "/r" in rest else "off")
    if program == "manage-bde":
        memory.setdefault("says", {})["encryption"] = [["0"]]
        return Answer(stdout="Decryption is now in progress.\r\n")
    if program == "whoami":
        return Answer(stdout=user + "\r\n")
    return Answer(
        1,
        stderr=f"'{words[0]}' is not recognized as an internal or external command,\r\n"
        "operable program or batch file.\r\n",
    )


def _tasklist(memory: dict[str, Any]) -> Answer:
    names = ["System", "smss.exe", "prl_tools.exe", "tasklist.exe"]
    at_work = memory.get("sysprep")
    if at_work:
        names.append("sysprep.exe")
        at_work["looks"] -= 1
        if at_work["looks"] <= 0:
            memory["image_state"] = at_work["then"]
            del memory["sysprep"]
    lines = (
        f"{name:<25} {number * 4:>8} Services                   0     12,345 K" for number, name in enumerate(names)
    )
    return Answer(stdout="\r\n" + "".join(f"{line}\r\n" for line in lines))


def _cmd(memory: dict[str, Any], line: str, user: str, sysprep: str) -> Answer:
    if len(line) > 1 and line[0] == line[-1] == '"':
        line = line[1:-1]
    match = re.fullmatch(r"exit(?: /b)? (-?\d+)", line, re.IGNORECASE)
    if match:
        return Answer(int(match.group(1)))
    match = re.fullmatch(
        r'if (not )?exist "?([^"]+?)"? \(?exit (\d+)\)?(?: else \(?exit (\d+)\)?)?', line, re.IGNORECASE
    )
    if match:
        true = _windows_exists(memory, match.group(2)) != bool(match.group(1))
        return Answer(int(match.group(3)) if true else int(match.group(4) or 0))
    match = re.fullmatch(r'(?:echo (.*?)|type nul) ?> ?"?([^">]+)"?', line, re.IGNORECASE)
    if match:
        _windows_files(memory)[match.group(2).strip().lower()] = (match.group(1) or "").strip()
        return Answer()
    match = re.fullmatch(r'(del|rmdir|rd)((?: /\w)*) "?([^"]+?)"?', line, re.IGNORECASE)
    if match:
        _windows_files(memory)[match.group(3).lower()] = None
        return Answer()
    match = re.fullmatch(r'type "?([^"]+?)"?', line, re.IGNORECASE)
    if match:
        content = _windows_files(memory).get(match.group(1).lower())
        if content is None:
            return Answer(1, stderr="The system cannot find the file specified.\r\n")
        return Answer(stdout=content + "\r\n")
    match = re.fullmatch(r"echo (.*)", line, re.IGNORECASE)
    if match:
        return Answer(stdout=match.group(1) + " \r\n")  # the real one adds the space
    if line.lower() == "ver":
        return Answer(stdout="\r\nMicrosoft Windows [Version 10.0.26200.7840]\r\n")
    if line:
        return _windows(memory, _split(line.replace("\\", "\\\\")), user, sysprep)
    return Answer()


def _windows_files(memory: dict[str, Any]) -> dict[str, Any]:
    return memory.setdefault("files", {})


def _windows_exists(memory: dict[str, Any], path: str) -> bool:
    path = path.rstrip("\\").lower()
    known = _windows_files(memory)
    return known[path] is not None if path in known else path in [name.lower() for name in _WINDOWS_FILES]


def _powershell(memory: dict[str, Any], words: list[str], user: str) -> Answer:
    lowered = [word.lower() for word in words]
    for switch in ("-encodedcommand", "-enc", "-e"):
        if switch in lowered and lowered.index(switch) + 1 < len(words):
            try:
                script = base64.b64decode(words[lowered.index(switch) + 1], validate=True).decode("utf-16-le")
            except (binascii.Error, UnicodeDecodeError):
                return Answer(
                    1,
                    stderr="Cannot process the command because the value specified with -EncodedCommand "
                    "is not properly encoded.\r\n",
                )
            return _script(memory, script, user)
    for switch in ("-command", "-c"):
        if switch in lowered and words[lowered.index(switch) + 1 :] == ["-"]:
            return _script(memory, _statements(sys.stdin.read()), user)
        if switch in lowered:
            return _script(memory, " ".join(words[lowered.index(switch) + 1 :]), user)
    return _script(memory, " ".join(word for word in words if not word.startswith("-")), user)


def _statements(text: str) -> str:
    """Return what C(-Command -) runs of the lines that it reads: a block of lines only when a blank line follows it."""
    run: list[str] = []
    block: list[str] = []
    for line in text.splitlines():
        block.append(line)
        depth = sum(part.count("{") - part.count("}") for part in block)
        if depth <= 0 and (len(block) == 1 or not line.strip()):
            run += block
            block = []
    return "\n".join(line for line in run if line.strip() not in ("& {", "}"))


# What a script that mends something changes of what Windows says: a pattern of the script, a topic, its new rows.
_MENDS = (
    (r"Remove-AppxPackage -Package|Add-AppxProvisionedPackage", "packages", []),
    (r"New-ItemProperty .*PreventDeviceEncryption", "prevented", [["yes"]]),
    (r"Set-ItemProperty .*HiberbootEnabled", "fast_startup", []),
)


def _script(memory: dict[str, Any], script: str, user: str) -> Answer:
    for pattern, topic, rows in _MENDS:
        if re.search(pattern, script):
            memory.setdefault("says", {})[topic] = rows
            return Answer()
    output = ""
    for line in re.split(r"[;\n]+", script):
        answer = _script_line(memory, line.strip(), user)
        output += answer.stdout
        if answer.rc or answer.power or line.strip().lower().startswith("exit"):
            return answer._replace(stdout=output)
    return Answer(stdout=output)


def _script_line(memory: dict[str, Any], line: str, user: str) -> Answer:
    match = re.fullmatch(r"exit (\d+)", line, re.IGNORECASE)
    if match:
        return Answer(int(match.group(1)))
    match = re.fullmatch(r"(?:write-output|write-host|echo) ['\"]?(.*?)['\"]?", line, re.IGNORECASE)
    if match:
        return Answer(stdout=match.group(1) + "\r\n")
    match = re.fullmatch(r"test-path (?:-\w+ )*['\"]?(.*?)['\"]?", line, re.IGNORECASE)
    if match:
        return Answer(stdout=f"{_windows_exists(memory, match.group(1))}\r\n")
    match = re.fullmatch(
        r"if \((-not ?\()?test-path (?:-\w+ )*['\"]?(.*?)['\"]?\)?\) \{ ?exit (\d+) ?\}(?: else \{ ?exit (\d+) ?\})?",
        line,
        re.IGNORECASE,
    )
    if match:
        true = _windows_exists(memory, match.group(2)) != bool(match.group(1))
        return Answer(int(match.group(3)) if true else int(match.group(4) or 0))
    match = re.fullmatch(r"if \(test-path -literalpath '(.*?)'\) \{remove-item .*\}", line, re.IGNORECASE)
    if match:
        _windows_files(memory)[match.group(1).lower()] = None
        memory.get("stored", {}).pop(match.group(1), None)
        return Answer()
    if line.lower().split(" ")[0] in ("stop-computer", "restart-computer"):
        return Answer(power="off" if line.lower().startswith("stop") else "reboot")
    if "imagestate" in line.lower():
        return Answer(stdout=memory.get("image_state", "") + "\r\n")
    if not line:
        return Answer()
    if line.lower().startswith(("$progresspreference", "$erroractionpreference", "try{[console]::outputencoding")):
        return Answer()
    return Answer(
        1,
        stderr=f"{line.split(' ')[0]} : The term '{line.split(' ')[0]}' is not recognized as the name of a "
        "cmdlet, function, script file, or operable program.\r\n",
    )


def _sysprep(memory: dict[str, Any], switches: list[str], how: str) -> Answer:
    if how == "fails":
        _windows_files(memory)[SYSPREP_LOG.lower()] = (
            "SYSPRP Package Example was installed for a user, but not provisioned for all users."
        )
        return Answer(31)
    then = memory.get("image_state", "")
    if "/generalize" in switches:
        then = _GENERALIZED
    elif "/oobe" in switches:
        then = _FIRST_SETUP
    if "/quit" in switches and how == "lingers":
        memory["image_state"] = "IMAGE_STATE_UNDEPLOYABLE"
        memory["sysprep"] = {"looks": _SYSPREP_LOOKS, "then": then}
        return Answer()
    memory["image_state"] = then
    if "/quit" in switches:
        return Answer()
    return Answer(power="reboot" if "/reboot" in switches else "off")


def _reg(memory: dict[str, Any], words: list[str]) -> Answer:
    if len(words) < 2 or words[0].lower() != "query":
        return Answer(1, stderr="ERROR: Invalid syntax.\r\n")
    key = words[1].upper().replace("HKLM\\", "HKEY_LOCAL_MACHINE\\")
    if key != _STATE_KEY.upper():
        return Answer(1, stderr="ERROR: The system was unable to find the specified registry key or value.\r\n")
    return Answer(stdout=f"\r\n{_STATE_KEY}\r\n    ImageState    REG_SZ    {memory.get('image_state', '')}\r\n\r\n")


# --- Linux and macOS ----------------------------------------------------------------------------------------------


def _unix(memory: dict[str, Any], words: list[str], family: str, user: str) -> Answer:
    # prlctl joins the words with spaces, and the guest splits them again; what a shell is given stays together.
    if words[0].rsplit("/", 1)[-1] in ("sh", "bash") and len(words) > 2 and words[1] in ("-c", "-ec", "-lc"):
        return _shell(memory, " ".join(words[2:]), family, user)
    try:
        split = _split(" ".join(words))
    except ValueError:
        return Answer(2, stderr="sh: syntax error: unterminated quoted string\n")
    return _program(memory, split, family, user)


# What the script that generalizes a Linux does to what identifies this one.
_GENERALIZING = (
    "truncate -s 0 /etc/machine-id",
    "rm -f /var/lib/dbus/machine-id /etc/ssh/ssh_host_ed25519_key",
    "cloud-init clean --logs",
)


def _shell(memory: dict[str, Any], line: str, family: str, user: str) -> Answer:
    if 'find "$place" -xdev -type f -exec truncate' in line and all(
        command.split(" /", 1)[0] in line for command in _GENERALIZING
    ):
        for command in _GENERALIZING:
            _program(memory, command.split(), family, user)
        return Answer()
    inner = _inner_shell(line)
    if inner is not None:
        return _shell(memory, inner, family, user)
    output, last = "", Answer()
    for operator, command in _commands(line):
        if (operator == "&&" and last.rc) or (operator == "||" and not last.rc):
            continue
        try:
            words = _split(command)
        except ValueError:
            return Answer(2, output, "sh: syntax error: unterminated quoted string\n")
        last = _program(memory, words, family, user) if words else Answer()
        output += last.stdout
        if last.power or (words and words[0] == "exit"):
            break
    return last._replace(stdout=output)


def _inner_shell(line: str) -> Optional[str]:
    """Return what a line gives to another shell, if it is nothing else: its quotes end there."""
    try:
        words = _split(line)
    except ValueError:
        return None
    starts = len(words) == 3 and words[0].rsplit("/", 1)[-1] in ("sh", "bash") and words[1] in ("-c", "-ec", "-lc")
    return words[2] if starts else None


def _commands(line: str) -> list[tuple[str, str]]:
    found, operator = [], ";"
    for part in re.split(r"(&&|\|\||[;\n])", line):
        if part in ("&&", "||", ";", "\n"):
            operator = part if part in ("&&", "||") else ";"
        elif part.strip():
            found.append((operator, part.strip()))
    return found


def _program(memory: dict[str, Any], words: list[str], family: str, user: str) -> Answer:
    program, rest = words[0].rsplit("/", 1)[-1], words[1:]
    if ">" in rest[:-1]:
        target = rest[rest.index(">") + 1]
        made = _program(memory, [words[0], *rest[: rest.index(">")]], family, user)
        _unix_write(memory, target, made.stdout)
        return made._replace(stdout="")
    paths = [word for word in rest if not word.startswith("-")]
    if program in ("true", ":", "sync", "set", "cd"):
        return Answer()
    if program == "false":
        return Answer(1)
    if program == "exit":
        return Answer(int(rest[0]) & 0xFF if rest else 0)
    if program == "echo":
        return Answer(stdout=" ".join(rest) + "\n")
    if program == "uname":
        return Answer(stdout=("Darwin" if family == "macos" else "Linux") + "\n")
    if program in ("whoami", "id"):
        return Answer(stdout=f"{user}\n")
    if program in ("test", "["):
        return _test(memory, [word for word in rest if word != "]"])
    if program == "touch":
        for path in paths:
            _unix_write(memory, path, _unix_read(memory, path) or "")
        return Answer()
    if program == "rm":
        for path in paths:
            _unix_remove(memory, path)
        return Answer()
    if program == "truncate":
        for path in (word for word in paths if word != "0"):
            _unix_write(memory, path, "")
        return Answer()
    if program == "cat":
        return _cat(memory, paths) if paths else Answer(stdout=sys.stdin.read())
    if program == "sleep":
        time.sleep(float(rest[0]))
        return Answer()
    if program == "cloud-init" and _unix_read(memory, _CLOUD_INIT) is not None:
        if "clean" in rest:
            _unix_remove(memory, _CLOUD_INIT_NOTES)
        return Answer()
    if program in ("shutdown", "poweroff", "halt", "reboot") or (
        program == "systemctl" and rest[:1] in (["poweroff"], ["reboot"])
    ):
        return Answer(power="reboot" if program == "reboot" or "reboot" in rest or "-r" in rest else "off")
    return Answer(127, stderr=f"sh: 1: {words[0]}: not found\n")


def _test(memory: dict[str, Any], words: list[str]) -> Answer:
    negated = words[:1] == ["!"]
    words = words[1:] if negated else words
    if len(words) != 2 or words[0] not in ("-e", "-f", "-d", "-s", "-r"):
        return Answer(2, stderr="sh: test: unexpected operator\n")
    content = _unix_read(memory, words[1])
    true = content is not None and (words[0] != "-s" or content != "")
    return Answer(int(true == negated))


def _cat(memory: dict[str, Any], paths: list[str]) -> Answer:
    output = ""
    for path in paths:
        content = _unix_read(memory, path)
        if content is None:
            return Answer(1, output, f"cat: {path}: No such file or directory\n")
        output += content
    return Answer(stdout=output)


def _unix_read(memory: dict[str, Any], path: str) -> Any:
    files = memory.setdefault("files", {})
    if path in files:
        return files[path]
    if path == "/etc/machine-id" and "machine_id" in memory:
        return memory["machine_id"] + "\n" if memory["machine_id"] else ""
    if path.startswith("/etc/ssh/ssh_host_"):
        return "key\n" if memory.get("host_keys") else None
    return "" if path in _UNIX_FILES else None


def _unix_write(memory: dict[str, Any], path: str, content: str) -> None:
    if path == "/etc/machine-id":
        memory["machine_id"] = content.strip()
    else:
        memory.setdefault("files", {})[path] = content


def _unix_remove(memory: dict[str, Any], path: str) -> None:
    if path == "/etc/machine-id":
        memory.pop("machine_id", None)
    elif path.startswith("/etc/ssh/ssh_host_"):
        memory["host_keys"] = False
    else:
        memory.setdefault("files", {})[path] = None


def _split(line: str) -> list[str]:
    import shlex  # slow to load, and most calls run nothing in a guest

    return shlex.split(line)
