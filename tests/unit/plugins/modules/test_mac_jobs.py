# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Listing jobs, waiting for them, ending them, and clearing up after them."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.macops.parallels.plugins.module_utils._common.claim import Claim
from ansible_collections.macops.parallels.plugins.module_utils._jobs import folder, waiting
from ansible_collections.macops.parallels.plugins.module_utils._jobs.folder import JobFolder
from ansible_collections.macops.parallels.plugins.modules import mac_jobs, mac_jobs_info


class RunningJob:
    """A job that this process holds."""

    def __init__(self, module: str, subject: str) -> None:
        self.folder = JobFolder.of(f"{module}-0123")
        claim = Claim.take_if_free(self.folder.path)
        assert claim is not None
        self.claim = claim
        self.folder.create("starter")
        claim.write(id="starter", started=1795347000.0)
        progress = {"stage": "Packing", "estimate": True, "done": 40, "total": 100, "rate": 1.0, "left": 60.0}
        self.folder.tell({"subject": subject, "beat": 1, "ended": False, "progress": progress})

    def end(self) -> None:
        self.folder.end(0)
        os.close(self.claim.descriptor)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(waiting, "_PAUSE", 0.01)
    monkeypatch.setattr(waiting, "_QUIET", 0.5)
    return tmp_path


FACTS = {
    "module": "image_pack",
    "name": "win11",
    "started": "2026-11-22T11:30:00Z",
    "watched": True,
    "stage": "Packing",
    "done": 40,
    "total": 100,
}


def test_no_jobs(run_module_main: Any) -> None:
    end = run_module_main(mac_jobs.main)
    assert not end.failed
    assert end.result == {"changed": False, "jobs": [], "cleared": []}


def test_waits_and_keeps_the_job_alive(run_module_main: Any) -> None:
    job = RunningJob("image_pack", "win11")
    threading.Timer(0.2, job.end).start()
    end = run_module_main(mac_jobs.main, name="win11")
    assert end.result == {"changed": False, "jobs": [FACTS], "cleared": []}
    assert job.folder.attendance()[0] == "foreground"


def test_waits_for_what_the_other_playbook_does_next(run_module_main: Any) -> None:
    first = RunningJob("image_checksum", "win11")
    seen = []

    def go_on() -> None:
        first.end()
        second = RunningJob("image_upload", "win11")
        threading.Timer(0.3, lambda: (seen.append("second"), second.end())).start()

    threading.Timer(0.1, go_on).start()
    assert len(run_module_main(mac_jobs.main, name="win11").result["jobs"]) == 1
    assert seen == ["second"]


def test_nothing_follows_work_that_nobody_watched(run_module_main: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_QUIET", 600)
    job = RunningJob("image_pack", "win11")
    os.utime(job.folder.lease, (1, 1))
    threading.Timer(0.2, job.end).start()
    assert run_module_main(mac_jobs.main, name="win11").result["jobs"] == [{**FACTS, "watched": False}]


@pytest.mark.parametrize("name", ["win10", "win11-arm64"])
def test_other_images_are_not_waited_for(run_module_main: Any, name: str) -> None:
    job = RunningJob("image_pack", "win11")
    assert run_module_main(mac_jobs.main, name=name).result["jobs"] == []
    job.end()


def test_who_waits_is_not_waited_for(run_module_main: Any) -> None:
    job = RunningJob("mac_jobs", "win11")
    assert run_module_main(mac_jobs.main).result["jobs"] == []
    job.end()


def test_check_mode_only_looks(run_module_main: Any, home: Path) -> None:
    job = RunningJob("image_pack", "win11")
    end = run_module_main(mac_jobs.main, state="canceled", _ansible_check_mode=True)
    assert end.result == {"changed": True, "jobs": [FACTS], "cleared": []}
    assert not job.folder.is_canceled()
    job.end()


@pytest.mark.parametrize("check_mode", [False, True])
def test_jobs_are_listed_and_left_alone(run_module_main: Any, check_mode: bool) -> None:
    job = RunningJob("image_pack", "win11")
    waits = RunningJob("mac_jobs", "win11")
    lease = job.folder.attendance()
    for name in ({}, {"name": "win11"}, {"name": ""}):
        end = run_module_main(mac_jobs_info.main, **name, _ansible_check_mode=check_mode)
        assert end.result == {"changed": False, "jobs": [FACTS], "killed": [], "unclear": []}
    assert run_module_main(mac_jobs_info.main, name="win10").result["jobs"] == []
    assert job.folder.attendance() == lease
    assert not job.folder.is_canceled()
    waits.end()
    job.end()
    assert run_module_main(mac_jobs_info.main).result["jobs"] == []


def test_without_any_job_there_is_nothing_to_list(run_module_main: Any, home: Path) -> None:
    assert run_module_main(mac_jobs_info.main).result == {"changed": False, "jobs": [], "killed": [], "unclear": []}
    assert list(home.iterdir()) == []


def test_killed_jobs_are_listed_and_stay(run_module_main: Any) -> None:
    job = RunningJob("image_upload", "win11")
    os.close(job.claim.descriptor)
    killed = {key: FACTS[key] for key in ("name", "started")}
    for _again in range(2):
        end = run_module_main(mac_jobs_info.main)
        facts = [{"module": "image_upload", **killed}]
        assert end.result == {"changed": False, "jobs": [], "killed": facts, "unclear": []}
    assert run_module_main(mac_jobs_info.main, name="win10").result["killed"] == []
    assert job.folder.exists()


def test_every_result_of_the_list_is_documented(run_module_main: Any) -> None:
    documented = yaml.safe_load(mac_jobs_info.RETURN)
    job = RunningJob("image_pack", "win11")
    result = run_module_main(mac_jobs_info.main).result
    assert set(result) == {"changed", *documented}
    assert set(result["jobs"][0]) == set(documented["jobs"]["contains"])
    assert set(run_module_main(mac_jobs.main, _ansible_check_mode=True).result) == {
        "changed",
        *yaml.safe_load(mac_jobs.RETURN),
    }
    job.end()


def test_ends_jobs(run_module_main: Any) -> None:
    job = RunningJob("image_pack", "win11")

    def obey() -> None:
        while not job.folder.is_canceled():
            pass
        job.end()

    threading.Thread(target=obey, daemon=True).start()
    assert run_module_main(mac_jobs.main, state="canceled").result["changed"] is True


def test_a_job_that_takes_too_long(run_module_main: Any) -> None:
    job = RunningJob("image_pack", "win11")
    end = run_module_main(mac_jobs.main, timeout=1)
    assert end.failed
    assert end.result["msg"].startswith("image_pack still works on 'win11'.")
    job.end()


def test_killed_jobs_are_told_of_and_removed(run_module_main: Any, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    warnings: list[str] = []
    monkeypatch.setattr("ansible.module_utils.basic.AnsibleModule.warn", lambda _module, text: warnings.append(text))
    job = RunningJob("image_upload", "win11")
    os.close(job.claim.descriptor)
    assert run_module_main(mac_jobs.main).result["cleared"] == ["image_upload"]
    assert [warning.startswith("image_upload was killed while it worked on 'win11'") for warning in warnings] == [True]
    assert list((home / ".ansible/macops.parallels/jobs").iterdir()) == []


def test_answers_that_were_not_fetched_stay(run_module_main: Any) -> None:
    job = RunningJob("image_link_info", "win11")
    job.end()
    assert run_module_main(mac_jobs.main).result["cleared"] == []
    assert job.folder.exists()


def test_a_claim_that_a_power_cut_has_spoilt(run_module_main: Any, home: Path) -> None:
    job = RunningJob("image_pack", "win11")
    os.close(job.claim.descriptor)
    Path(folder.claim_path(job.folder.path)).write_text("{", encoding="utf-8")
    assert run_module_main(mac_jobs.main).result["cleared"] == ["image_pack"]
    assert list((home / ".ansible/macops.parallels/jobs").iterdir()) == []


def test_a_job_whose_end_is_not_known_is_listed_as_that(run_module_main: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(mac_jobs_info.AnsibleModule, "warn", lambda _module, text: warnings.append(text))
    job = RunningJob("image_upload", "win11")
    (Path(job.folder.path) / "ended.json").write_text("")
    os.close(job.claim.descriptor)
    end = run_module_main(mac_jobs_info.main)
    assert (end.result["killed"], [each["module"] for each in end.result["unclear"]]) == ([], ["image_upload"])
    assert warnings == [
        f"image_upload on win11 has ended, but it is not known how: {job.folder.path}/ended.json cannot be read."
    ]


def test_work_that_a_playbook_waits_for_is_not_ended(run_module_main: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_GONE", 0.05)
    job = RunningJob("image_pack", "win11")
    job.folder.attend("another")
    end = run_module_main(mac_jobs.main, state="canceled", attended="fail")
    assert end.failed
    assert end.result["msg"].startswith(
        "A playbook waits for the work on this Mac (image_pack on 'win11'), so nothing was ended."
    )
    assert not job.folder.is_canceled()
    job.end()


def test_work_whose_playbook_is_gone_is_ended(run_module_main: Any) -> None:
    job = RunningJob("image_pack", "win11")
    job.folder.attend("another")
    threading.Timer(0.1, os.utime, (job.folder.lease, (1, 1))).start()
    threading.Timer(0.4, job.end).start()
    end = run_module_main(mac_jobs.main, state="canceled", attended="fail")
    assert end.result == {"changed": True, "jobs": [{**FACTS, "watched": False}], "cleared": []}
    assert job.folder.is_canceled()
