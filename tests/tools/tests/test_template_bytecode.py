# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bytecode of templates: used again for the same template, and for no other."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import jinja2
import pytest

HARNESS = pathlib.Path(__file__).resolve().parents[1] / "harness"
PACKAGES = pathlib.Path(jinja2.__file__).resolve().parents[1]
PROGRAM = """
import json, sys, types
sys.prefix = sys.argv[1]
sys.path[:0] = [{harness!r}, {packages!r}]
import template_bytecode
import jinja2, jinja2.lexer
steps = []
for owner, name in ((jinja2.lexer.Lexer, "tokenize"), (jinja2.Environment, "_generate")):
    def noted(self, *arguments, _name=name, _step=getattr(owner, name), **options):
        steps.append(_name)
        return _step(self, *arguments, **options)
    setattr(owner, name, noted)

def escaping(state):
    context = types.SimpleNamespace(escape_backslashes=state)
    bits = types.SimpleNamespace(_TemplateCompileContext=types.SimpleNamespace(current=lambda optional: context))
    sys.modules["ansible._internal._templating._jinja_bits"] = bits

results = []
"""


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "template-bytecode" / "current"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def run(tmp_path):
    """Return a function that runs lines of Python with Jinja: what they append to results, and what Jinja has done.

    Without the start of this Python's packages, among which there may be the file that is tested.
    """

    def run_lines(*lines):
        program = PROGRAM.format(harness=str(HARNESS), packages=str(PACKAGES)) + "\n".join(lines)
        program += "\nprint(json.dumps([results, steps]))"
        done = subprocess.run(
            [sys.executable, "-S", "-c", program, tmp_path], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        return json.loads(done.stdout)

    return run_lines


def test_a_template_is_compiled_once(run, folder):
    text = "{% for i in l %}{{ i | upper }};{% endfor %}"
    line = f'results.append(jinja2.Environment().from_string("{text}").render(l="ab"))'
    assert run(line, line) == [["A;B;", "A;B;"], ["tokenize", "_generate"]]
    assert run(line) == [["A;B;"], []]
    assert len(list(folder.iterdir())) == 1


def test_an_expression_is_parsed_and_compiled_once(run, folder):
    lines = (
        'expression = jinja2.Environment().compile_expression("a.b + 1", undefined_to_none=False)',
        'results.append(expression(a={"b": 41}))',
        'results.append(jinja2.Environment().compile_expression("missing", False)().__class__.__name__)',
        'results.append(jinja2.Environment().compile_expression("missing")())',
    )
    expected = [42, "Undefined", None]
    assert run(*lines)[0] == expected
    assert run(*lines) == [expected, []]


@pytest.mark.parametrize(
    "lines",
    [
        [f"results.append(jinja2.Environment({options}).from_string('{text}').render(a=1))" for options in ("", given)]
        for given, text in (
            ("trim_blocks=True", r"{% if a %}\nx{% endif %}"),
            ("variable_start_string='[[', variable_end_string=']]'", "{{ a }} [[ a ]]"),
            ("keep_trailing_newline=True", r"x\n"),
            ("autoescape=True", '{{ "<" }}'),
            ("finalize=str.upper", '{{ "x" }}'),
        )
    ]
    + [
        [
            "results.append(jinja2.Environment().from_string('a').render(a=1))",
            "results.append(jinja2.Environment().compile_expression('a')(a=1))",
        ],
        [
            "environment = jinja2.Environment()",
            "results.append(type(environment.from_string('{{ a }}')).__module__)",
            "environment = __import__('jinja2.nativetypes').nativetypes.NativeEnvironment()",
            "results.append(environment.from_string('{{ a }}').render(a=1))",
        ],
    ],
    ids=["blocks", "delimiters", "newline", "escape", "finalize", "kind", "class"],
)
def test_what_compiles_to_something_else_is_kept_apart(run, folder, lines):
    first, second = run(*lines)[0]
    assert first != second
    assert run(*lines) == [[first, second], []]


def test_backslashes_that_ansible_escapes_are_kept_apart(run, folder):
    line = "environment = jinja2.Environment()"
    compiled = "environment.from_string('{{ a }}')"
    assert (
        run(line, "escaping(True)", compiled, "escaping(False)", compiled, compiled)[1] == ["tokenize", "_generate"] * 2
    )


def test_an_error_names_the_line_of_the_template(run, folder):
    lines = (
        "import traceback",
        r"template = jinja2.Environment().from_string('\n\n{{ 1 // a }}')",
        "try:",
        "    template.render(a=0)",
        "except ZeroDivisionError as error:",
        "    results.append(traceback.extract_tb(error.__traceback__)[-1].lineno)",
    )
    assert run(*lines) == [[3], ["tokenize", "_generate"]]
    assert run(*lines) == [[3], []]


@pytest.mark.parametrize(
    "compiled",
    [
        "from_string('{% if %}')",
        "from_string('{{ a | nothing }}')",
        "compile_expression('a +')",
        "compile_expression('a | nothing')",
    ],
)
def test_a_mistake_is_one_each_time(run, folder, compiled):
    lines = (
        "try:",
        f"    jinja2.Environment().{compiled}",
        "except jinja2.TemplateSyntaxError as error:",
        "    results.append(error.lineno)",
    )
    for _again in range(2):
        assert run(*lines)[0] == [1]
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("broken", [b"", b"\xe3", b"no bytecode"])
@pytest.mark.parametrize("compiled", ["from_string('{{ a }}').render", "compile_expression('a | string')"])
def test_broken_bytecode_is_made_again(run, folder, compiled, broken):
    line = f"results.append(jinja2.Environment().{compiled}(a=1))"
    run(line)
    (file,) = folder.iterdir()
    file.write_bytes(broken)
    assert run(line) == [["1"], ["tokenize", "_generate"]]
    assert run(line) == [["1"], []]


def test_without_the_folder_all_is_compiled(run):
    line = "results.append(jinja2.Environment().from_string('{{ a }}').render(a=1))"
    for _start in range(2):
        assert run(line) == [["1"], ["tokenize", "_generate"]]
