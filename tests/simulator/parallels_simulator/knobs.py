# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of a simulated Mac: every unverified behavior, delay and race that a test may need to control."""

from __future__ import annotations

from typing import Any, NamedTuple

from .errors import SimulatorError


class Knob(NamedTuple):
    """One setting of a simulated Mac."""

    name: str
    kind: str  # "flag", "count", "seconds", "choice", "text"
    default: Any
    what: str
    choices: tuple = ()


_ALLOW = ("allow", "fail")

KNOBS: dict[str, Knob] = {
    knob.name: knob
    for knob in (
        Knob("stop_polls", "count", 2, "looks that still show `stopping` after `stop` has returned 0"),
        Knob(
            "stop_seconds", "seconds", 0, "minimum seconds that `stopping` is shown, regardless of the number of looks"
        ),
        Knob("start_polls", "count", 1, "looks that show `starting` after `start`"),
        Knob("resume_polls", "count", 1, "looks that show `resuming` after `resume`"),
        Knob("suspend_polls", "count", 1, "looks that show `suspending` after `suspend`"),
        Knob("snapshot_polls", "count", 1, "looks that show `snapshooting` after `snapshot`"),
        Knob("snapshot_delete_polls", "count", 1, "looks that show `del_snapshot` after `snapshot-delete`"),
        Knob(
            "busy_operations",
            "count",
            1,
            "changing operations refused as busy after a stop, although the state is `stopped`",
        ),
        Knob(
            "busy_seconds",
            "seconds",
            0,
            "seconds that such operations are refused, regardless of the number of attempts",
        ),
        Knob("unknown_state", "text", "off", "`STATE:N`: the next N looks at any VM show the unknown state STATE"),
        Knob(
            "graceful_stop",
            "choice",
            "works",
            "what a guest does when asked to shut down",
            ("works", "ignored", "reboots_once"),
        ),
        Knob("stop_ignored_rc", "choice", "255", "exit code of a graceful stop that the guest ignores", ("0", "255")),
        Knob(
            "stop_ignored_seconds",
            "seconds",
            0,
            "how long such a stop waits before it gives up (about 120 on a real Mac)",
        ),
        Knob("stop_on_stopped_rc", "choice", "255", "exit code of `stop` for a VM that is not started", ("0", "255")),
        Knob("stop_suspended", "choice", "fail", "what a plain `stop` does to a suspended VM", ("fail", "discard")),
        Knob("bulk_list_without_home", "flag", True, "`list -a -i -j` without a VM leaves out `Home` and `Home path`"),
        Knob("empty_list_json", "choice", "lines", "what `list -j` prints for no VM", ("lines", "brackets", "nothing")),
        Knob(
            "no_snapshots_json", "choice", "nothing", "what `snapshot-list -j` prints for none", ("nothing", "braces")
        ),
        Knob(
            "license",
            "choice",
            "active",
            "status of the license (`graced`: expired, but it works until 2026-12-15; `valid`: none is loaded)",
            ("active", "graced", "valid", "expired", "invalid"),
        ),
        Knob(
            "json_noise",
            "choice",
            "off",
            "what surrounds or corrupts JSON on stdout",
            ("off", "info", "progress", "edition_line", "control", "trailing", "all"),
        ),
        Knob("progress_on_pipe", "flag", False, "progress lines (`\\r... 12 %`) even if stdout is not a terminal"),
        Knob(
            "clone_keeps_snapshots", "flag", True, "a full clone has the source's snapshots; off: its disks are merged"
        ),
        Knob("clone_keeps_suspended", "flag", True, "the clone of a suspended VM is suspended; off: stopped"),
        Knob("clone_copies_description", "flag", True, "a clone has the source's description; off: an empty one"),
        Knob("clone_running", "choice", "fail", "cloning a running or paused VM", _ALLOW),
        Knob(
            "clone_name_clash",
            "choice",
            "fail",
            "a clone with an existing name is refused, or named `X (1)`",
            ("fail", "number"),
        ),
        Knob(
            "killed_clone_registered", "flag", False, "a clone killed halfway is already registered (state `invalid`)"
        ),
        Knob("clone_seconds", "seconds", 0, "minimum seconds for a clone"),
        Knob("pack_seconds", "seconds", 0, "minimum seconds for a pack or unpack"),
        Knob("pack_running", "choice", "fail", "packing a running or paused VM", _ALLOW),
        Knob("pack_suspended", "choice", "allow", "packing a suspended VM", _ALLOW),
        Knob("pack_snapshots", "choice", "allow", "packing a VM with snapshots", _ALLOW),
        Knob("pack_linked", "choice", "fail", "packing a linked clone (allowed: its disks are flattened)", _ALLOW),
        Knob("pack_encrypted", "choice", "allow", "packing an encrypted VM", _ALLOW),
        Knob("pack_existing", "choice", "fail", "NAME.pvmp exists when `pack` starts", ("fail", "overwrite")),
        Knob("pack_without_cli", "flag", False, "this edition does not support `pack` and `unpack` (edition error)"),
        Knob(
            "pack_temp_name", "flag", False, "`pack` writes to `NAME.pvmp.tmp` and renames; off: the final name grows"
        ),
        Knob("packed_leaves_pvm", "flag", False, "`pack` leaves the `.pvm` bundle where it was"),
        Knob(
            "intermediate_bundle",
            "flag",
            False,
            "`pack` and `unpack` work in `NAME.pvmi`; after a kill the VM stays there, until the same command finishes",
        ),
        Knob("checksum_file", "flag", True, "`pack` writes `NAME.sha256.txt`: 64 hex digits, no newline"),
        Knob(
            "unpack_bundle_name",
            "choice",
            "inner",
            "name of the bundle after `unpack`: the one inside, or the file's",
            ("inner", "file"),
        ),
        Knob("job_survives_client", "flag", False, "pack, unpack and clone continue after their `prlctl` is killed"),
        Knob(
            "snapshot_delete_children",
            "choice",
            "reparent",
            "`snapshot-delete` without `-c`: children move up, or go too",
            ("reparent", "cascade"),
        ),
        Knob("guest_ready_after", "count", 1, "`exec` calls answered with 'not ready' after each start"),
        Knob(
            "sysprep",
            "choice",
            "works",
            "what Sysprep does in a Windows guest (`fails`: 31, and a line in setuperr.log; `lingers`: with `/quit` it "
            "keeps running for two looks at `tasklist` after its command has returned)",
            ("works", "fails", "lingers"),
        ),
        Knob(
            "delete_prompts",
            "choice",
            "asks",
            "`delete` asks on standard input and needs the answer `y`; `silent`: it does not ask; `hangs`: it asks, "
            "and no answer helps",
            ("asks", "silent", "hangs"),
        ),
        Knob(
            "eula_pending",
            "choice",
            "off",
            "a license agreement waits on the Mac's screen, and every call hangs: of `prlctl`, or of `prlsrvctl` too",
            ("off", "prlctl", "all"),
        ),
        Knob(
            "exec_long_arguments",
            "choice",
            "hang",
            "`exec` with longer arguments than `exec_argument_limit`; `hang`: also after SIGTERM",
            ("hang", "work"),
        ),
        Knob("exec_argument_limit", "count", 3900, "bytes of the arguments of `exec`, joined with spaces"),
        Knob(
            "exec_non_ascii",
            "choice",
            "corrupt",
            "arguments of `exec` that are not ASCII, in Linux and macOS; `corrupt`: the line loses its end",
            ("corrupt", "work"),
        ),
        Knob("exec_sessions", "count", 1, "sessions of `exec` that a VM has at a time; `0`: no limit"),
        Knob(
            "exec_session_busy",
            "choice",
            "waits",
            "`exec` when all sessions of the VM are taken; `refuses`: 'Unable to open new session'",
            ("waits", "refuses"),
        ),
        Knob("exec_logons", "count", 2, "sessions of `exec` on the Mac; one more fails with 255; `0`: no limit"),
        Knob(
            "exec_returns",
            "choice",
            "stdout_eof",
            "`exec` returns at the end of standard output, which children may hold open, or with the program",
            ("stdout_eof", "program_end"),
        ),
        Knob(
            "exec_rc_needs_stdin",
            "flag",
            False,
            "`exec` returns 0 for every program that ends after the end of standard input",
        ),
        Knob("exec_deaf_seconds", "seconds", 0, "seconds in which the standard output of `exec` is lost"),
        Knob(
            "exec_ends_after", "text", "any", "`exec_ends_early` strikes after the first line of output with this text"
        ),
        Knob("exec_path", "text", "/usr/bin:/bin", "`PATH` of a command in a guest with a root of its own"),
        Knob(
            "exec_fails_every",
            "count",
            0,
            "every such call of `exec` fails with 255 before the command begins; `0`: none",
        ),
        Knob(
            "pause_idle_after",
            "count",
            0,
            "every such call of `exec` finds that the VM pauses, unless `pause-idle` is `off`; `0`: none",
        ),
        Knob("guest_login", "text", "any", "`USER:PASSWORD`: the only user that answering guests let in"),
        Knob("guest_signed_in", "flag", True, "a user is signed in, for `--current-user`"),
    )
}


def parse_knob(assignment: str) -> tuple[str, Any]:
    """Return the validated name and value of C(NAME=VALUE)."""
    name, equals, text = assignment.partition("=")
    knob = KNOBS.get(name)
    if knob is None:
        raise SimulatorError(f"There is no knob '{name}'. Use one of: {', '.join(sorted(KNOBS))}.")
    if not equals:
        raise SimulatorError(
            f"{name} has no value. Use {name}=VALUE: {knob.what} (default: {show_value(knob.default)})."
        )
    return name, _value(knob, text)


def _value(knob: Knob, text: str) -> Any:
    if knob.kind == "flag":
        if text not in ("on", "off"):
            raise SimulatorError(f"{knob.name} cannot be '{text}'. Use 'on' or 'off'.")
        return text == "on"
    if knob.kind == "choice":
        if text not in knob.choices:
            raise SimulatorError(f"{knob.name} cannot be '{text}'. Use one of {', '.join(knob.choices)}.")
        return text
    if knob.kind in ("count", "seconds"):
        try:
            number = int(text) if knob.kind == "count" else float(text)
        except ValueError:
            number = -1
        if number < 0:
            raise SimulatorError(f"{knob.name} cannot be '{text}'. Use a number, 0 or greater.")
        return number
    if knob.name == "unknown_state" and text != "off":
        state, colon, count = text.partition(":")
        if not state or not colon or not count.isdigit():
            raise SimulatorError(f"unknown_state cannot be '{text}'. Use 'off' or STATE:N, such as migrating_disks:3.")
    return text


def show_value(value: Any) -> str:
    """Return the value of a knob in command line form."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)
