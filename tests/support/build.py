# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The build of one image, as the tests of whole playbooks run it again and again."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import sys
from typing import Any

from support.playbook import Hosts, PlaybookRun, RunningPlaybook
from support.serving import sizes_in
from support.simulated_mac import SimulatedMac

SOURCE_VM = "Büro Windows 11"
NAME = "win11"
VERSION = "2026.11.0"


@dataclasses.dataclass(frozen=True)
class Build:
    """One image on some Macs, a store, and a folder on the controller.

    The hosts' variables say where each Mac has the store's certificate authority.
    """

    # See support.fixtures.Play.
    play: Any
    hosts: Hosts
    store: Any
    output: pathlib.Path
    # The home of the Mac's user, where that is the one who runs the tests: runs of other tests leave their jobs there.
    home: pathlib.Path | None = None
    # More variables of the environment.
    settings: dict[str, str] = dataclasses.field(default_factory=dict)

    @classmethod
    def here(cls, play: Any, mac: SimulatedMac, store: Any, output: pathlib.Path, **settings: str) -> Build:
        """Return the build on a simulated Mac of this user, reached without SSH."""
        python = os.environ.get("MACOPS_TARGET_PYTHON") or sys.executable
        host = {
            "ansible_connection": "local",
            "ansible_python_interpreter": python,
            "image_store_ca_path": store.ca_path,
            **mac.host_vars,
        }
        home = mac.folder / "home"
        home.mkdir(exist_ok=True)
        return cls(play, {"mac": host}, store, output, home, settings)

    def variables(self, **variables: Any) -> dict[str, Any]:
        """Return what an admin would set, with some of it changed; None leaves a variable out."""
        values = {
            "image_name": NAME,
            "image_version": VERSION,
            "image_source_vm": SOURCE_VM,
            "image_destination": f"{self.store.url}/",
            "image_store_username": self.store.username,
            "image_store_password": self.store.password,
            "image_output_dir": str(self.output),
            **variables,
        }
        return {name: value for name, value in values.items() if value is not None}

    def run(
        self,
        *,
        playbook: str = "build_image",
        check: bool = False,
        tags: tuple[str, ...] = (),
        arguments: tuple[str, ...] = (),
        **variables: Any,
    ) -> PlaybookRun:
        """Run the playbook; whatever comes of it, the store's password is not in its output."""
        run = self.play(
            f"macops.parallels.{playbook}",
            self.hosts,
            self.variables(**variables),
            check=check,
            diff=check,
            tags=tags,
            arguments=arguments,
            environment=self._environment,
        )
        return run.assert_no_secret(self.store.password)

    def start(self, **variables: Any) -> contextlib.AbstractContextManager[RunningPlaybook]:
        """Start the playbook."""
        return self.play.start(
            "macops.parallels.build_image", self.hosts, self.variables(**variables), environment=self._environment
        )

    @property
    def _environment(self) -> dict[str, str]:
        return {**self.settings, **({} if self.home is None else {"HOME": str(self.home)})}

    @property
    def stored(self) -> dict[str, int]:
        """Return the files in the store, of every name, with their sizes."""
        return sizes_in(self.store.folder)

    def published(self, arch: str = "arm64") -> dict[str, Any]:
        """Return the record on the controller, after holding it against the bytes in the store."""
        handed_over = json.loads((self.output / f"{NAME}-{VERSION}.json").read_text(encoding="utf-8"))
        record = next(record for record in handed_over["records"] if record["arch"] == arch)
        image = self.store.folder / record["file"]
        assert record["file"] == f"{NAME}-{VERSION}-{arch}.pvmp"
        assert record["url"] == f"{self.store.url}/{record['file']}"
        assert record["size"] == image.stat().st_size
        assert record["sha256"] == hashlib.sha256(image.read_bytes()).hexdigest()
        sidecar = self.store.folder / f"{record['file']}.sha256"
        assert sidecar.read_text(encoding="utf-8") == f"{record['sha256']}  {record['file']}\n"
        catalog = json.loads((self.store.folder / "catalog.json").read_text(encoding="utf-8"))
        assert record in catalog["records"]
        sheet = (self.output / f"{NAME}-{VERSION}.md").read_text(encoding="utf-8")
        assert record["sha256"] in sheet
        assert record["url"] in sheet
        return record

    def assert_only(self, *archs: str) -> None:
        """Hold that the store has these whole images, the catalog, and nothing that was left half-done."""
        images = [f"{NAME}-{VERSION}-{arch}.pvmp" for arch in archs]
        beside = {f"{image}{end}" for image in images for end in (".sha256", ".provenance.json")}
        assert set(self.stored) == {*images, *beside, "catalog.json", "index.html"}
