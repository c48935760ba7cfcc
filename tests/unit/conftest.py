# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of all unit tests."""

from __future__ import annotations

import importlib
import json
import uuid
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible.module_utils import basic

try:
    from ansible.module_utils.testing import patch_module_args
except ImportError:  # ansible-core before 2.19
    patch_module_args = None

# The stages of C(make test) put this file here.
EVERYDAY = Path(__file__).with_name("everyday")


def pytest_configure(config: pytest.Config) -> None:
    """Run the tests in one process: ansible-test would fork for each, and start the fixtures' servers there again.

    What ansible-test proves by its import path holds all the same: modules find nothing of a controller.
    """
    forking = config.pluginmanager.get_plugin("ansible_forked")
    if forking is not None:
        config.pluginmanager.unregister(forking)
    # ansible-test has a configuration of its own.
    config.addinivalue_line("markers", "nightly: left to 'make test-all'")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is for the night: ansible-test has no option for that."""
    if EVERYDAY.exists():
        nightly = [item for item in items if item.get_closest_marker("nightly")]
        config.hook.pytest_deselected(items=nightly)
        items[:] = [item for item in items if item not in nightly]


class ModuleEnd(Exception):
    """How a module ended: its result, and whether it failed."""

    def __init__(self, failed: bool, result: dict[str, Any]) -> None:
        super().__init__(result.get("msg", "") if failed else "")
        self.failed = failed
        self.result = result


@pytest.fixture(autouse=True)
def exact_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make no pause longer by chance."""
    monkeypatch.setattr("ansible_collections.macops.parallels.plugins.module_utils._common.retry._chance", lambda: 0.0)


@pytest.fixture(autouse=True)
def own_home(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Give each test a home, which is made only if it is used: notes and jobs are kept there."""
    monkeypatch.setenv("HOME", str(tmp_path_factory.getbasetemp() / f"home-{uuid.uuid4().hex}"))


@pytest.fixture
def run_module_main(monkeypatch: pytest.MonkeyPatch) -> Callable[..., ModuleEnd]:
    """Return a function that calls a module's C(main) with arguments, and returns how it ended.

    Options of Ansible's own go by their names: C(_ansible_check_mode=True), C(_ansible_diff=True).
    """

    def end(failed: bool) -> Callable[..., None]:
        def ended(module: basic.AnsibleModule, *args: Any, **result: Any) -> None:
            if args:
                result["msg"] = args[0]
            raise ModuleEnd(failed, result)

        return ended

    monkeypatch.setattr(basic.AnsibleModule, "exit_json", end(False))
    monkeypatch.setattr(basic.AnsibleModule, "fail_json", end(True))

    def call(main: Callable[[], None], **arguments: Any) -> ModuleEnd:
        with pytest.raises(ModuleEnd) as caught:
            _call_with_arguments(main, arguments, monkeypatch)
        return caught.value

    return call


def _call_with_arguments(main: Callable[[], None], arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    if patch_module_args is not None:
        with patch_module_args(arguments):
            main()
    else:
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode())
        main()


class _Seen(Exception):
    """The arguments with which a module is made."""

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__()
        self.options = options


@pytest.fixture
def arguments_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], dict[str, dict[str, Any]]]:
    """Return a function that returns the argument spec of a module of the collection."""

    def stop(_self: Any, argument_spec: dict[str, Any], **_options: Any) -> None:
        raise _Seen(argument_spec)

    def arguments_of_module(name: str) -> dict[str, dict[str, Any]]:
        module = importlib.import_module(f"ansible_collections.macops.parallels.plugins.modules.{name}")
        monkeypatch.setattr(module, "AnsibleModule", type("Stopped", (), {"__init__": stop}))
        with pytest.raises(_Seen) as caught:
            module.main()
        return caught.value.options

    return arguments_of_module
