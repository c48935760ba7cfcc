# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The doors to the terminal: what goes through them is escaped, and nothing goes past them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible.errors import AnsibleAuthenticationFailure, AnsibleConnectionFailure, AnsibleFilterError
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.macops.parallels.plugins.action import show_lines
from ansible_collections.macops.parallels.plugins.filter import golden_image_sheet, printable
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import Interrupted, TaskError
from ansible_collections.macops.parallels.plugins.module_utils._module import notice_of, run_module
from ansible_collections.macops.parallels.plugins.plugin_utils import _show
from ansible_collections.macops.parallels.plugins.plugin_utils._long_work import LongWork

ROOT = Path(__file__).parents[3]
BAD = "A\x1b[31m\x9b2J\x85\u202e\u200f\u2066\u200b\u2028\ud83d\x08\rZ"
SHOWN = r"A\x1b[31m\x9b2J\x85\u202e\u200f\u2066\u200b\u2028\ud83d\x08\rZ"


def ending(error: BaseException) -> Callable[[AnsibleModule], dict[str, Any]]:
    def work(_module: AnsibleModule) -> dict[str, Any]:
        raise error

    return work


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda _module, warning: said.append(warning))
    return said


@pytest.mark.parametrize(
    "error",
    [
        TaskError(f"It said {BAD}.", stderr=BAD, cmd=[BAD], jobs=[{"name": BAD}]),
        Interrupted(BAD),
        OSError(28, BAD, "/images/" + BAD.replace("\ud83d", "\udcff")),
        PermissionError(13, BAD, "/images/" + BAD.replace("\ud83d", "\udcff")),
        ValueError(BAD),
        UnicodeEncodeError("utf-8", BAD, 0, 1, BAD),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("verbosity", [0, 3])
def test_a_failure_is_escaped(run_module_main: Any, error: BaseException, verbosity: int) -> None:
    end = run_module_main(lambda: run_module(AnsibleModule({}), ending(error)), _ansible_verbosity=verbosity)
    assert end.failed
    assert SHOWN in end.result["msg"] or isinstance(error, UnicodeEncodeError)
    assert escaped(str(end.result))
    if verbosity == 3 and not isinstance(error, Interrupted):
        assert escaped(end.result["exception"])
        assert "test_outside_text.py" in end.result["exception"]
        assert ("Error: " in end.result["exception"]) is not isinstance(error, TaskError)


def test_a_result_keeps_its_data_and_escapes_its_sentences(run_module_main: Any) -> None:
    name = BAD.replace("\ud83d", "")
    result = {
        "changed": False,
        "msg": f"{BAD} exists.",
        "reasons": [BAD],
        "advice": BAD,
        "diff": {"before": {"name": BAD}, "after": BAD, "before_header": BAD},
        "vms": [{"name": name, "description": "half \ud83d"}],
        "stdout": name,
    }
    end = run_module_main(lambda: run_module(AnsibleModule({}), lambda _module: result))
    assert end.result["stdout"] == end.result["vms"][0]["name"] == name
    assert end.result["vms"][0]["description"] == r"half \ud83d"
    for key in ("msg", "reasons", "advice", "diff"):
        assert escaped(str(end.result[key])), key


def test_a_warning_is_escaped(run_module_main: Any, warnings: list[str]) -> None:
    def work(module: AnsibleModule) -> dict[str, Any]:
        notice_of(module)(f"{BAD}\n[ERROR]: forged")
        return {}

    run_module_main(lambda: run_module(AnsibleModule({}), work))
    assert warnings == [f"{SHOWN}\n  [ERROR]: forged"]


def test_a_line_of_progress_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr(_show.display, "display", lambda line, **_options: shown.append(line))
    _show.show_line(f"  [mac] Packing {BAD}\n[ERROR]: forged: 12%")
    _show.show_line("x" * 100_000)
    assert shown[0] == rf"  [mac] Packing {SHOWN}\n[ERROR]: forged: 12%"
    assert len(shown[1]) < 600


@pytest.mark.parametrize(("for_people", "no_log"), [(True, False), (False, False), (True, True)])
def test_lines_are_escaped(monkeypatch: pytest.MonkeyPatch, for_people: bool, no_log: bool) -> None:
    shown: list[str] = []
    monkeypatch.setattr(show_lines.display, "display", lambda line, **_options: shown.append(line))
    monkeypatch.setattr(show_lines, "prints_for_people", lambda: for_people)
    monkeypatch.setattr(show_lines.ActionModule.__bases__[0], "run", lambda *_arguments: {})

    class Task:
        args = {"lines": [f"name: {BAD}", "a\n\nb", 3, "x" * 100_000]}  # noqa: RUF012

    Task.no_log = no_log  # type: ignore[attr-defined]
    action = show_lines.ActionModule.__new__(show_lines.ActionModule)
    action._task = Task()
    result = action.run()
    assert result["msg"][:5] == [rf"name: {SHOWN}", "a", "", "b", "3"]
    assert result["changed"] is False
    assert shown[:5] == (result["msg"][:5] if for_people and not no_log else [])
    assert max(map(len, shown), default=0) < 1100


@pytest.mark.parametrize("kind", [AnsibleConnectionFailure, AnsibleAuthenticationFailure])
def test_what_a_connection_says_is_escaped(monkeypatch: pytest.MonkeyPatch, kind: type[Exception]) -> None:
    def lose(_if_running: str) -> dict[str, Any]:
        raise kind(f"banner: {BAD}", orig_exc=ValueError(BAD)) from ValueError(BAD)

    class Task:
        check_mode = False
        async_val = 0
        no_log = False
        delegate_to = None

    work = LongWork.__new__(LongWork)
    work._task = Task()
    work._work = lose
    monkeypatch.setattr(LongWork.__bases__[0], "run", lambda *_arguments: {})
    monkeypatch.setattr(work, "_variable", lambda _name, default: default)
    with pytest.raises(kind) as caught:
        work.run(task_vars={"inventory_hostname": "mac"})
    assert str(caught.value).replace("Failed to authenticate: ", "").startswith(f"banner: {SHOWN}")
    assert escaped(str(caught.value))
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_filters_escape() -> None:
    assert printable.FilterModule().filters()["printable"]([{"name": BAD}, 3]) == [{"name": SHOWN}, 3]
    with pytest.raises(AnsibleFilterError) as caught:
        golden_image_sheet.golden_image_sheet([{"name": BAD, "schema": BAD}])
    assert escaped(str(caught.value))


def escaped(text: str) -> bool:
    return re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\u200b\u200f\ud800-\udfff]", text) is None


# Each way to a terminal, and the files with its door.
DOORS = {
    "warn": ["module_utils/_module.py"],
    "fail_json": ["module_utils/_module.py"],
    "exit_json": ["module_utils/_module.py"],
    "deprecate": [],
    "print": [],
    # What a module has printed, and what job.py escapes itself; an answer to the controller.
    "os.write": ["module_utils/_jobs/job.py", "module_utils/_parallels/on_mac.py"],
    "stdout": ["module_utils/_jobs/job.py"],  # flush, before a process forks or writes an answer itself
    "stderr": [
        "module_utils/_jobs/job.py",
        "module_utils/_parallels/guest_list.py",
        "module_utils/_parallels/guest_relay.py",
    ],
    "__stdout__": [],
    "__stderr__": [],
    "print_exc": ["module_utils/_jobs/job.py"],  # to the file of a job's errors
    "display": ["action/show_lines.py", "plugin_utils/_show.py"],
    "warning": ["inventory/guests.py"],
    "error": [],
    "v": [],
    "vv": [],
    "vvv": ["connection/prlctl.py"],
    "vvvv": [],
    "verbose": [],
    "AnsibleFilterError": ["filter/direct_link.py", "filter/golden_image_sheet.py"],
    "AnsibleError": ["connection/prlctl.py", "lookup/build_guest.py"],
}
# How often each is used there: a new use has to be looked at.
USES = {"warn": 1, "fail_json": 1, "exit_json": 1, "display": 2, "AnsibleFilterError": 3, "print_exc": 1, "os.write": 2}


def uses(path: Path) -> Iterator[tuple[str, int]]:
    """Yield what is used of the ways to a terminal, with its line."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            called = node.func
            if ast.unparse(node).startswith(("os.write(1,", "os.write(2,")):
                yield "os.write", node.lineno
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            if name in DOORS:
                yield name, node.lineno
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "sys" and node.attr in DOORS:
            yield node.attr, node.lineno


def test_nothing_goes_past_the_doors() -> None:
    past, counted = [], dict.fromkeys(USES, 0)
    for path in sorted((ROOT / "plugins").rglob("*.py")):
        where = str(path.relative_to(ROOT / "plugins"))
        for name, line in uses(path):
            if where not in DOORS[name]:
                past.append(f"{where}, line {line}: {name}")
            if name in USES:
                counted[name] += 1
    assert not past, "Use notice_of, TaskError, or the result of run_module:\n" + "\n".join(past)
    assert counted == USES


# What of a variable in a sentence of a role is text from outside.
FROM_OUTSIDE = re.compile(r"\.(?:name|description|title|reason|license_state|stdout|stderr)\b|_obstacles\b|table\.j2")
SENTENCE = re.compile(r"^\s*(?:- )?(?:fail_msg|success_msg|msg|label): (?:>-)?")


def sentences(text: str) -> Iterator[str]:
    """Yield what a role shows: the value of each such key, with the lines that belong to it."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if not SENTENCE.match(line):
            continue
        indent = len(line) - len(line.lstrip())
        value = [line]
        for following in lines[number + 1 :]:
            if following.strip() and len(following) - len(following.lstrip()) <= indent:
                break
            value.append(following)
        yield "\n".join(value)


def test_roles_escape_what_they_show() -> None:
    raw, seen = [], 0
    for path in sorted((ROOT / "roles").glob("*/tasks/*.yml")):
        for sentence in sentences(path.read_text("utf-8")):
            for node in re.findall(r"\{\{.*?\}\}", sentence, re.DOTALL):
                if FROM_OUTSIDE.search(node):
                    seen += 1
                    if "| macops.parallels.printable" not in node:
                        raw.append(f"{path.relative_to(ROOT)}: {node}")
    assert not raw, "\n".join(raw)
    assert seen > 7
