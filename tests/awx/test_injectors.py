# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The renderer of injectors held against what AWX's own gave: environment, arguments, files and their modes."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from support.awx.injectors import inject, unsafe_yaml
from support.awx.recorded import recorded


@pytest.mark.parametrize("case", recorded("injectors"), ids=lambda case: case["case"])
def test_a_job_gets_from_a_credential_what_awx_gives_it(case: dict[str, Any], tmp_path: Path) -> None:
    injected = inject(case["inputs"], case["injectors"], case["credential_inputs"], tmp_path)
    # The names of the files are by chance, and recorded by their order.
    names = {path.name: f"<tmp:{number}>" for number, path in enumerate(injected.files)}

    def with_recorded_names(text: str) -> str:
        for name, number in names.items():
            text = text.replace(name, number)
        return text

    def all_with_recorded_names(texts: dict[str, str]) -> dict[str, str]:
        return {name: with_recorded_names(text) for name, text in texts.items()}

    files = {
        names[path.name]: {
            "dir": str(path.parent).replace(str(tmp_path), "<private_data_dir>"),
            "mode": oct(stat.S_IMODE(path.stat().st_mode)),
            "content": with_recorded_names(path.read_text(encoding="utf-8")),
        }
        for path in injected.files
    }
    assert all_with_recorded_names(injected.env) == case["env"]
    assert all_with_recorded_names(injected.shown_env) == case["env_shown_in_job"]
    assert [with_recorded_names(argument) for argument in injected.args] == case["ansible_playbook_args"]
    assert files == case["files"]


def test_only_the_variables_of_the_template_itself_stay_templates() -> None:
    written = unsafe_yaml({"own": "{{ x }}", "answer": "{{ x }}", "number": 1}, trusted={"own": "{{ x }}"})
    assert written == "own: '{{ x }}'\n!unsafe 'answer': !unsafe '{{ x }}'\n!unsafe 'number': 1\n"
