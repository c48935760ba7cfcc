# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a job gets from a credential of a custom type (AWX 24.6.1, recorded: injectors).

The templates are plain Jinja2 in its sandbox; nothing of Ansible's is there.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml
from jinja2.sandbox import ImmutableSandboxedEnvironment

HIDDEN = "**********"
CONTAINER_DIR = "/runner"


@dataclasses.dataclass
class Injected:
    """What is added to a job: its environment, the environment that AWX shows, arguments, and files."""

    env: dict[str, str] = dataclasses.field(default_factory=dict)
    shown_env: dict[str, str] = dataclasses.field(default_factory=dict)
    args: list[str] = dataclasses.field(default_factory=list)
    files: list[Path] = dataclasses.field(default_factory=list)


def inject(
    inputs: Mapping[str, Any],
    injectors: Mapping[str, Any],
    values: Mapping[str, Any],
    private_data_dir: Path,
    container_dir: str = CONTAINER_DIR,
) -> Injected:
    """Return what a job gets, and write its files into C(env) of the job's folder.

    C(inputs) and C(injectors) are the credential type's, C(values) the credential's inputs. The job sees its folder as
    C(container_dir).
    """
    return _Injection(inputs, injectors, values, private_data_dir, container_dir).done()


class _Injection:
    def __init__(
        self,
        inputs: Mapping[str, Any],
        injectors: Mapping[str, Any],
        values: Mapping[str, Any],
        private_data_dir: Path,
        container_dir: str,
    ) -> None:
        self._injectors = injectors
        self._folder = private_data_dir / "env"
        self._container_dir = container_dir
        self._sandbox = ImmutableSandboxedEnvironment()
        self._injected = Injected()
        self._tower = SimpleNamespace()
        self._names, self._shown_names = self._variables(inputs, values)

    def _variables(self, inputs: Mapping[str, Any], values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what templates see, and what the templates of the shown environment see."""
        names: dict[str, Any] = {"tower": self._tower}
        shown: dict[str, Any] = {"tower": self._tower}
        fields = inputs.get("fields", [])
        secret = {field["id"] for field in fields if field.get("secret")}
        for name, value in values.items():
            # An empty input is undefined, so C(default) takes effect.
            if isinstance(value, bool) or value:
                names[name] = value
                shown[name] = value
            if name in secret and not isinstance(value, bool):
                shown[name] = HIDDEN
        for field in fields:
            # The default of a field is nothing to AWX: its own pages fill it in.
            if field.get("type") == "boolean" and field["id"] not in values:
                names[field["id"]] = shown[field["id"]] = False
            if field.get("format") == "ssh_private_key" and not names.get(field["id"], "\n").endswith("\n"):
                names[field["id"]] += "\n"
        return names, shown

    def done(self) -> Injected:
        for label, template in self._injectors.get("file", {}).items():
            self._name_file(label, self._write(self._render(template), 0o600))
        for name, template in self._injectors.get("env", {}).items():
            self._injected.env[name] = self._render(template)
            self._injected.shown_env[name] = self._sandbox.from_string(template).render(**self._shown_names)
        variables = self._rendered(self._injectors.get("extra_vars", {}))
        if variables:
            self._injected.args += ["-e", "@" + self._write(unsafe_yaml(variables), 0o400)]
        return self._injected

    def _render(self, template: str) -> str:
        return self._sandbox.from_string(template).render(**self._names)

    def _rendered(self, node: Any) -> Any:
        if isinstance(node, dict):
            return {self._render(name): self._rendered(value) for name, value in node.items()}
        if isinstance(node, list):
            return [self._rendered(value) for value in node]
        return self._render(node)

    def _write(self, content: str, mode: int) -> str:
        """Write a file with a name by chance, and return its path as the job sees it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        handle, path = tempfile.mkstemp(dir=self._folder)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(content)
        os.chmod(path, mode)
        self._injected.files.append(Path(path))
        return f"{self._container_dir}/env/{Path(path).name}"

    def _name_file(self, label: str, path: str) -> None:
        _template, dot, name = label.partition(".")
        if not dot:
            self._tower.filename = path
            return
        if not hasattr(self._tower, "filename"):
            self._tower.filename = SimpleNamespace()
        setattr(self._tower.filename, name, path)


class _UnsafeDumper(yaml.SafeDumper):
    def represent_data(self, data: Any) -> yaml.Node:
        if isinstance(data, str):
            return self.represent_scalar("!unsafe", data)
        return super().represent_data(data)


def unsafe_yaml(variables: Mapping[str, Any], trusted: Mapping[str, Any] | None = None) -> str:
    """Return a file of extra variables as AWX writes it: no text in it is a template.

    Only the variables that are in C(trusted) with the same value, which a job template's own are, stay templates.
    """
    trusted = trusted or {}
    parts = []
    for name, value in variables.items():
        is_trusted = name in trusted and trusted[name] == value
        dumper = yaml.SafeDumper if is_trusted else _UnsafeDumper
        parts.append(yaml.dump({name: value}, Dumper=dumper, default_flow_style=False))
    return "".join(parts)
