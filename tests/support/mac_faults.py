# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A running source VM with snapshots, of which an image is made while the simulated Mac has faults."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any, ClassVar

from support.build import NAME, SOURCE_VM, VERSION, Build
from support.modules import Step, run_steps
from support.playbook import PlaybookRun, Task
from support.simulated_mac import SimulatedMac

BUILD_VM = f"{NAME}-{VERSION}-arm64"
IMAGE = f"{BUILD_VM}.pvmp"


# What nobody knows of the real programs: here as it is not by default.
OTHERWISE = {
    "clone_keeps_snapshots": "off",
    "clone_copies_description": "off",
    "checksum_file": "off",
    "packed_leaves_pvm": "on",
    "pack_temp_name": "on",
    "intermediate_bundle": "on",
    "bulk_list_without_home": "off",
    "no_snapshots_json": "braces",
    "stop_on_stopped_rc": 0,
    "json_noise": "all",
    "progress_on_pipe": "on",
    "graceful_stop": "reboots_once",
    "delete_prompts": "silent",
}


@dataclasses.dataclass
class MacScene:
    """The source VM, and runs of the whole playbook."""

    build: Build
    mac: SimulatedMac
    before: str
    # The files that the store has at the end.
    published: ClassVar[frozenset[str]] = frozenset(
        (IMAGE, f"{IMAGE}.sha256", f"{IMAGE}.provenance.json", "catalog.json", "index.html")
    )

    @classmethod
    def create(cls, build: Build, mac: SimulatedMac, **more: Any) -> MacScene:
        """Make the source VM."""
        mac.vm(SOURCE_VM, state="running", data="2M", disk="8G", snapshots="base(updates)")
        return cls(build, mac, mac.fingerprint(SOURCE_VM), **more)

    def fault(self, *faults: str) -> None:
        """Switch faults of the simulator on."""
        self.mac.fault(*faults)

    def run(self, **variables: Any) -> PlaybookRun:
        return self.build.run(**variables)

    def assert_struck(self) -> None:
        assert not self.mac.show()["faults"], "a fault did not strike"

    def assert_nothing_lost(self) -> None:
        assert self.mac.fingerprint(SOURCE_VM) == self.before
        assert set(self.build.stored) <= self.published, "something was left in the store"
        if "catalog.json" in self.build.stored:
            assert self.build.store.folder.joinpath(IMAGE).exists()

    def assert_done(self) -> None:
        assert [(vm["name"], vm["state"]) for vm in self.mac.show()["vms"]] == [(SOURCE_VM, "running")]
        assert set(self.build.stored) == self.published


@dataclasses.dataclass
class MacModulesScene(MacScene):
    """The same, but the modules are run as the playbook runs them, without the playbook."""

    collections: pathlib.Path = pathlib.Path()
    # No statement of how the image was made.
    published: ClassVar[frozenset[str]] = MacScene.published - {f"{IMAGE}.provenance.json"}

    def run(self, **variables: Any) -> PlaybookRun:
        run = run_steps(self.collections, self.build.home, lambda tasks: self._steps(tasks, variables))
        return run.assert_no_secret(self.build.store.password)

    def _steps(self, tasks: list[Task], variables: dict[str, Any]) -> Iterator[Step]:
        """Yield what build_image.yml does, each step after the result of the one before it."""
        store = self.build.store
        access = {"ca_path": store.ca_path, "retries": 2}
        writing = {
            "destination": f"{store.url}/",
            "username": store.username,
            "password": store.password,
            **access,
        }
        parallels = {"executable": self.mac.prlctl_path}
        stopping = {"timeout": variables.get("image_stop_timeout", 60)}

        yield "Look at the source VM", "vm_info", {**parallels, "name": SOURCE_VM}
        clone = {
            **parallels,
            "name": BUILD_VM,
            "clone_of": tasks[-1].result["vms"][0]["uuid"],
            "dest": str(self.mac.folder / "Parallels"),
        }
        link = {"url": f"{store.url}/{IMAGE}", **access, "require": True}
        yield "Read the catalog", "image_catalog_info", writing
        if not tasks[-1].result["records"]:
            yield "Clone the source VM", "vm", {**clone, "stop_source": True, "stop_timeout": stopping["timeout"]}
            vm = tasks[-1].result["vm"]
            target = {**parallels, "name": vm["uuid"]}
            if not vm["packed"]:
                yield "Shut the build VM down", "vm_power", {**target, **stopping, "state": "stopped"}
                yield "Remove the snapshots", "vm_snapshot", {**target, "state": "absent", "all": True}
                yield "Compact the disks", "vm_compact", target
            yield "Pack the build VM", "image_pack", {**target, "timeout": variables.get("image_pack_timeout", 600)}
            image = tasks[-1].result["path"]
            yield "Hash the image", "image_checksum", {"path": image}
            facts = {"sha256": tasks[-1].result["sha256"], "size": tasks[-1].result["size"]}
            yield "Upload the image", "image_upload", {**writing, "src": image, "sha256": facts["sha256"]}
            yield "Prove the link", "image_link_info", {**link, **facts, "proof": "full"}
            record = {"name": NAME, "version": VERSION, "arch": "arm64", "file": IMAGE, "url": link["url"], **facts}
            yield "Add the record to the catalog", "image_catalog", {**writing, "state": "present", "record": record}
        yield "Remove the build VM and its image", "vm", {**clone, "state": "absent"}
