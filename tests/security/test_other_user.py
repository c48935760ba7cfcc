# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Another user of the build Mac: what that user puts where the collection works is not taken for the victim's own."""

from __future__ import annotations

import json
import os


def test_the_two_accounts_are_real(victim, attacker, shared_folder, victim_modules, victim_mac):
    """What the other tests stand on: each user has rights of their own, and modules run with the victim's."""
    with attacker.acting():
        (shared_folder / "planted").write_text("x")
    assert os.stat(shared_folder / "planted").st_uid == attacker.uid != victim.uid
    victim_mac.vm("source")
    code, output = victim_modules.run("vm_info", executable=victim_mac.prlctl_path)
    assert code == 0, output
    assert [vm["name"] for vm in json.loads(output)["vms"]] == ["source"]
