# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read from the output of the tools that write no report of their own."""

from __future__ import annotations

from harness.stages import count_targets

OUTPUT = """\
Running vm_info integration test role
ok: [testhost]
Running vm_power integration test role
fatal: [testhost]: FAILED!
Running vm integration test role
WARNING: Excluding tests marked "needs/root" which require --allow-root or running as root: owner
FATAL: The 1 integration test(s) listed below (out of 3) failed. See error output above for details.
vm_power
# exit code 1
"""


def test_integration_targets_are_counted():
    counts = count_targets(OUTPUT)
    assert (counts.passed, counts.failed, counts.skipped) == (2, 1, 1)
    assert counts.failures == ["vm_power"]
    assert "needs/root" in counts.skips[0]


def test_a_warning_is_a_failure():
    counts = count_targets("Running vm integration test role\n[WARNING]: Something is old\n")
    assert (counts.passed, counts.failed) == (1, 1)
    assert "Something is old" in counts.failures[0]
