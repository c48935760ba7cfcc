# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Room on a disk, in words and numbers."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common import space
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import Interrupted, TaskError
from ansible_collections.macops.parallels.plugins.module_utils._common.space import (
    Need,
    explain_free,
    in_words,
    ran_out,
)
from ansible_collections.macops.parallels.plugins.module_utils._module import describe_os_error


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB (1000 bytes)"),
        (999_949, "999.9 kB (999949 bytes)"),
        (999_950, "1.0 MB (999950 bytes)"),
        (63_412_345_678, "63.4 GB (63412345678 bytes)"),
        (5_000_000_000_000_000, "5000.0 TB (5000000000000000 bytes)"),
    ],
)
def test_bytes_are_said_for_people_and_exactly(count: int, words: str) -> None:
    assert in_words(count) == words


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "free_bytes", lambda _path: 3_000_000_000)


@pytest.mark.parametrize(("at_least", "amount"), [(False, "up to"), (True, "at least")])
@pytest.mark.usefixtures("free")
def test_too_little_room_is_an_error_with_the_numbers(at_least: bool, amount: str) -> None:
    Need("Packing 'x'", "/p", 3_000_000_000).refuse_less()
    with pytest.raises(TaskError) as caught:
        Need("Packing 'x'", "/p", 4_500_000_000, at_least).refuse_less()
    assert caught.value.message == (
        f"Packing 'x' needs {amount} 4.5 GB (4500000000 bytes) in /p, but only 3.0 GB (3000000000 bytes) are free. "
        "Free up 1.5 GB (1500000000 bytes) more, then run again."
    )
    assert caught.value.details == {"path": "/p", "free_bytes": 3_000_000_000, "needed_bytes": 4_500_000_000}


def test_space_that_is_not_known_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "free_bytes", lambda _path: None)
    need = Need("Packing 'x'", "/p", 4_500_000_000)
    need.refuse_less()
    for explain in (need.explain, lambda error: explain_free(error, "/p")):
        error = TaskError("It failed.", rc=255, stderr="Out of disk space.")
        explain(error)
        assert error.message == "It failed."
    assert space.free_where("/p/file") == ""


FULL = [
    "Failed to pack the VM: Not enough free space on the physical disk drive /.",
    "Out of disk space.",
    "No space left on device",
]


@pytest.mark.parametrize("said", FULL)
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.usefixtures("free")
def test_an_error_of_a_full_disk_gets_the_numbers(said: str, stream: str) -> None:
    error = TaskError("It failed.", rc=255, **{stream: said})
    Need("Packing 'x'", "/p", 4_500_000_000).explain(error)
    assert error.message == (
        "It failed. /p has 3.0 GB (3000000000 bytes) free now, and packing 'x' needs up to 4.5 GB (4500000000 bytes)."
    )
    assert error.result()["free_bytes"] == 3_000_000_000
    assert error.result()["needed_bytes"] == 4_500_000_000
    error = TaskError("It failed.", rc=255, **{stream: said})
    explain_free(error, "/p")
    assert error.message == "It failed. /p has 3.0 GB (3000000000 bytes) free now."


def test_free_space_that_cannot_be_read_replaces_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_folder: str) -> int:
        raise OSError(errno.EIO, "the volume is gone")

    monkeypatch.setattr(space, "free_bytes", gone)
    error = TaskError("It failed.", rc=255, stderr="Out of disk space.")
    Need("Packing 'x'", "/p", 1).explain(error)
    explain_free(error, "/p")
    assert error.message == "It failed."


@pytest.mark.parametrize(
    "error",
    [
        TaskError("It failed.", rc=255, stderr="The virtual machine is busy."),
        TaskError("It failed.", rc=0, stderr="Out of disk space."),
        TaskError("It failed."),
        OSError(errno.EACCES, "no"),
        Interrupted("It was canceled."),
    ],
)
def test_other_errors_stay_as_they_are(error: Any) -> None:
    Need("Packing 'x'", "/nowhere", 1).explain(error)
    assert not ran_out(error)
    assert "free now" not in str(error)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_that_the_system_tells_has_the_number_too(tmp_path: Path, number: int) -> None:
    error = OSError(number, "full", str(tmp_path / "x.sha256"))
    assert ran_out(error)
    words = describe_os_error(error)
    assert words.startswith(f"The disk is full ({tmp_path}/x.sha256): full. {tmp_path} has ")
    assert words.endswith(" bytes) free now. Free some space, then run the same command again.")
    assert "free now" not in describe_os_error(OSError(number, "full"))
