# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps the bytecode of Jinja's templates, in a folder of the environment that this file is in.

Ansible runs each task in a process of its own, which compiles all templates that the task needs: the variables of a
role, and those in them. That is a third of the time of a task on the controller. Jinja keeps the bytecode of files, but
not of strings.

What a template compiles to depends on more than its text, and the name of what is kept has all of that. It also depends
on the filters that are called with constants: there is a folder for each state of the collection's plugins.

All Pythons of the environment start with this, so it imports only what Python has loaded or built in, until Jinja is
imported.
"""

import marshal
import os
import sys

FOLDER = os.path.join(sys.prefix, "template-bytecode", "current")
MODULE = "jinja2.environment"
SETTINGS = (
    "block_start_string",
    "block_end_string",
    "variable_start_string",
    "variable_end_string",
    "comment_start_string",
    "comment_end_string",
    "line_statement_prefix",
    "line_comment_prefix",
    "trim_blocks",
    "lstrip_blocks",
    "newline_sequence",
    "keep_trailing_newline",
    "optimized",
    "autoescape",
    "is_async",
    "sandboxed",
)

_loaded = {}


class _Finder:
    """Changes Jinja when it is imported."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name != MODULE:
            return None
        import importlib.util

        sys.meta_path.remove(_Finder)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module

        def load_changed(module):
            load(module)
            _change(module)

        spec.loader.exec_module = load_changed
        return spec


def _change(jinja):
    """Let Jinja compile no template that was compiled before."""
    compile_source = jinja.Environment.compile
    compile_expression = jinja.Environment.compile_expression
    # The expression that is being compiled: when Jinja comes to that, it has parsed it already.
    expressions = []

    def compile_once(self, source, name=None, filename=None, raw=False, defer_init=False):
        text = source if isinstance(source, str) else expressions[-1] if expressions else None
        if text is None or name or filename or raw or defer_init:
            return compile_source(self, source, name, filename, raw, defer_init)
        key = _key(self, text, isinstance(source, str))
        if not _is_known(key):
            _loaded[key] = compile_source(self, source)
            _keep(key, _loaded[key])
        return _loaded[key]

    def compile_expression_once(self, source, undefined_to_none=True):
        expressions.append(source)
        try:
            if not _is_known(_key(self, source, False)):
                return compile_expression(self, source, undefined_to_none)
            # Without parsing it: what it compiles to is known.
            template = self.from_string(jinja.nodes.Template([], lineno=1))
            return jinja.TemplateExpression(template, undefined_to_none)
        finally:
            expressions.pop()

    jinja.Environment.compile = compile_once
    jinja.Environment.compile_expression = compile_expression_once


def _key(environment, text, is_template):
    import hashlib

    state = (
        is_template,
        type(environment).__module__,
        type(environment).__qualname__,
        _escapes_backslashes(),
        getattr(environment.finalize, "__qualname__", None),
        sorted(environment.extensions),
        *(getattr(environment, name) for name in SETTINGS),
    )
    digest = hashlib.sha256(repr(state).encode())
    digest.update(text.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _escapes_backslashes():
    """Return whether ansible-core from 2.19 on reads the backslashes of this template as YAML has left them."""
    bits = sys.modules.get("ansible._internal._templating._jinja_bits")
    context = bits and bits._TemplateCompileContext.current(optional=True)
    return bool(context and context.escape_backslashes)


def _is_known(key):
    """Return whether this was compiled before, and could be read."""
    if key not in _loaded:
        code = _read(key)
        if code is not None:
            _loaded[key] = code
    return key in _loaded


def _read(key):
    try:
        with open(os.path.join(FOLDER, key), "rb") as file:
            return marshal.load(file)  # nosec B302 # as Python does with its own .pyc files
    except (OSError, EOFError, ValueError, TypeError):
        return None


def _keep(key, code):
    fresh = os.path.join(FOLDER, f"{key}.{os.getpid()}")
    try:
        with open(fresh, "wb") as file:
            marshal.dump(code, file)
        os.replace(fresh, os.path.join(FOLDER, key))
    except (OSError, ValueError):
        # No folder, or one of another user's, or something in it that is not Python's own: it is compiled each time.
        pass


sys.meta_path.insert(0, _Finder)
