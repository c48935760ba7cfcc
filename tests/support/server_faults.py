# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An image that is published into a store beside an older one, and faults of that store at the stages of the way."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import os
import pathlib
import sys
from collections.abc import Iterator
from typing import Any, Callable

from support.build import NAME, VERSION, Build
from support.https_store import Fault, HttpsStore, Request
from support.modules import Step, run_steps
from support.playbook import PlaybookRun, Task

IMAGE = f"{NAME}-{VERSION}-arm64.pvmp"
OLDER = f"{NAME}-2026.10.0-arm64.pvmp"
SIDECAR = ".sha256"
CATALOG = "catalog.json"
PAGE = "index.html"
# Beside the images, what tells how they were made.
STATEMENTS = {f"{name}.provenance.json" for name in (IMAGE, OLDER)}
LINK_STEP = "Download through the link as a user's Mac would"

# In the order in which a run goes through them.
STAGES = ("catalog", "proof", "upload", "publish", "sidecar", "link", "record")

PYTHON = os.environ.get("MACOPS_TARGET_PYTHON") or sys.executable

# Answers the question what goes wrong at a stage: the fault has to take the condition that it is given.
MakeFault = Callable[[Callable[[Request], bool]], Fault]


@dataclasses.dataclass
class ServerScene:
    """A packed image on a Mac, and a store with the version before it."""

    build: Build
    store: HttpsStore
    image: pathlib.Path
    content: bytes
    older: dict[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def create(cls, play: Any, store: HttpsStore, image: pathlib.Path, folder: pathlib.Path) -> ServerScene:
        """Return the scene for a packed image; C(folder) is for what the controller and the Mac keep."""
        home = folder / "home"
        home.mkdir()
        mac = {
            "ansible_connection": "local",
            "ansible_python_interpreter": PYTHON,
            "image_store_ca_path": store.ca_path,
        }
        scene = cls(Build(play, {"mac": mac}, store, folder / "build", home), store, image, image.read_bytes())
        scene._publish_older()
        return scene

    def _publish_older(self) -> None:
        content = b"the image of last month" * 1000
        digest = hashlib.sha256(content).hexdigest()
        (self.store.folder / OLDER).write_bytes(content)
        (self.store.folder / f"{OLDER}{SIDECAR}").write_text(f"{digest}  {OLDER}\n", encoding="utf-8")
        self.older = {
            "schema": 1,
            "name": NAME,
            "version": "2026.10.0",
            "arch": "arm64",
            "title": NAME,
            "description": "",
            "file": OLDER,
            "url": f"{self.store.url}/{OLDER}",
            "sha256": digest,
            "size": len(content),
            "published_at": "2026-10-20T10:00:00Z",
            "state": "published",
            "protected": False,
            "source": {"vm": "", "os": "", "tools": ""},
            "parallels": "",
        }
        catalog = {"schema": 1, "records": [self.older]}
        (self.store.folder / CATALOG).write_text(json.dumps(catalog), encoding="utf-8")

    def strike(self, make: MakeFault, *stages: str) -> None:
        """Have a fault strike at each of these stages."""
        for stage in stages:
            self.store.faults.append(make(lambda request, stage=stage: self.stage_of(request) == stage))

    def stage_of(self, request: Request) -> str:
        """Return the stage to which a request belongs; an empty text for one that only tidies up."""
        published = (self.store.folder / IMAGE).exists()
        if request.method == "DELETE":
            return ""
        if f"{IMAGE}{SIDECAR}" in (request.name, request.destination) or f".{IMAGE}{SIDECAR}." in request.name:
            return "sidecar"
        if request.destination == IMAGE:
            return "publish"
        if request.name == IMAGE:
            return "link" if request.method == "GET" else "publish" if published else "proof"
        if request.name.lstrip(".").startswith(f"{IMAGE}."):
            return "upload" if self._is_about_the_body(request) else "proof"
        if CATALOG in request.name and published:
            return "record"
        if request.name == CATALOG and request.method == "GET":
            return "catalog"
        return "proof"

    def _is_about_the_body(self, request: Request) -> bool:
        if request.method == "PUT":
            return request.length > len(self.content) // 2
        sent = self.store.folder / request.name
        return request.method == "HEAD" and sent.exists() and sent.stat().st_size > len(self.content) // 2

    def run(self, **variables: Any) -> PlaybookRun:
        run = self.build.run(playbook="publish_image", image_path=str(self.image), image_arch="arm64", **variables)
        return run.assert_no_secret(*self._secrets)

    @property
    def _secrets(self) -> tuple[str, str]:
        basic = base64.b64encode(f"{self.store.username}:{self.store.password}".encode()).decode()
        return self.store.password, basic

    def assert_struck(self) -> None:
        idle = [fault for fault in self.store.faults if not fault.struck]
        assert not idle, f"did not strike: {idle}"
        self.store.lift_faults()

    def assert_nothing_lost(self) -> None:
        assert self.image.read_bytes() == self.content
        names = {path.name for path in self.store.folder.iterdir() if not path.name.startswith(".")}
        assert {OLDER, f"{OLDER}{SIDECAR}", CATALOG} <= names
        assert names <= {OLDER, f"{OLDER}{SIDECAR}", CATALOG, PAGE, IMAGE, f"{IMAGE}{SIDECAR}", *STATEMENTS}
        digests = {name: _digest(self.store.folder / name) for name in names if name.endswith(".pvmp")}
        assert digests[OLDER] == self.older["sha256"]
        assert digests.get(IMAGE) in (None, hashlib.sha256(self.content).hexdigest())
        for name in names:
            if name.endswith(SIDECAR):
                image = name[: -len(SIDECAR)]
                line = f"{digests[image]}  {image}\n"
                assert (self.store.folder / name).read_text(encoding="utf-8") == line
        records = json.loads((self.store.folder / CATALOG).read_text(encoding="utf-8"))["records"]
        assert self.older in records
        assert all(record["sha256"] == digests[record["file"]] for record in records)

    def assert_done(self) -> None:
        self.build.published()
        self.assert_all_there()

    def assert_all_there(self) -> None:
        """Hold that the store has both versions, whole, and nothing else."""
        assert (self.store.folder / IMAGE).read_bytes() == self.content
        assert len(json.loads((self.store.folder / CATALOG).read_text(encoding="utf-8"))["records"]) == 2
        images = (OLDER, IMAGE)
        beside = {f"{image}{SIDECAR}" for image in images}
        assert set(self.build.stored) - STATEMENTS == {*images, *beside, CATALOG, PAGE}


@dataclasses.dataclass
class ModulesScene(ServerScene):
    """The same, but the modules are run as the playbook runs them, without the playbook."""

    collections: pathlib.Path = pathlib.Path()

    def run(self, **variables: Any) -> PlaybookRun:
        run = run_steps(self.collections, self.build.home, lambda tasks: self._steps(tasks, variables))
        return run.assert_no_secret(*self._secrets)

    def _steps(self, tasks: list[Task], variables: dict[str, Any]) -> Iterator[Step]:
        """Yield what publish_image.yml does, each step after the result of the one before it."""
        retried = {"ca_path": self.store.ca_path, **variables}
        store = {
            "destination": f"{self.store.url}/",
            "username": self.store.username,
            "password": self.store.password,
            **retried,
        }
        yield "Hash the file", "image_checksum", {"path": str(self.image)}
        digest, size = tasks[-1].result["sha256"], tasks[-1].result["size"]
        link = {"url": f"{self.store.url}/{IMAGE}", "sha256": digest, "size": size}
        proof = {**link, **retried, "require": True}
        yield "Read the catalog", "image_catalog_info", store
        if any(record["version"] == VERSION for record in tasks[-1].result["records"]):
            yield LINK_STEP, "image_link_info", {**proof, "proof": "sample"}
            return
        yield "Check that the store can be written to", "image_store_check", store
        upload = {**store, "src": str(self.image), "name": IMAGE, "sha256": digest}
        yield "Upload the image", "image_upload", upload
        yield LINK_STEP, "image_link_info", {**proof, "proof": "full"}
        record = {**link, "name": NAME, "version": VERSION, "arch": "arm64", "file": IMAGE}
        yield "Add the record to the catalog", "image_catalog", {**store, "state": "present", "record": record}

    def assert_done(self) -> None:
        self.assert_all_there()


def _digest(path: pathlib.Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
