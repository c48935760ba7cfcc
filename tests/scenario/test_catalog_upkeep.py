# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks that keep a store in order and prove its links, against an HTTPS store."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from xml.etree import ElementTree

import pytest

VERSIONS = (("2026.9.0", "arm64"), ("2026.10.0", "arm64"), ("2026.11.0", "arm64"), ("2026.11.0", "x86_64"))


class Published:
    """A store with some versions, and the two playbooks."""

    def __init__(self, play, store, folder):
        self.play = play
        self.store = store
        self.output = folder / "build"
        self.home = folder / "home"
        self.home.mkdir()
        records = [self._publish(*image, day) for day, image in enumerate(VERSIONS, start=1)]
        (store.folder / "catalog.json").write_text(json.dumps({"schema": 1, "records": records}), encoding="utf-8")

    def _publish(self, version, arch, day):
        content = f"the image {version} for {arch}".encode() * 5000
        name = f"win11-{version}-{arch}.pvmp"
        digest = hashlib.sha256(content).hexdigest()
        (self.store.folder / name).write_bytes(content)
        (self.store.folder / f"{name}.sha256").write_text(f"{digest}  {name}\n", encoding="utf-8")
        return {
            "schema": 1,
            "name": "win11",
            "version": version,
            "arch": arch,
            "title": "Büro Windows 11",
            "description": "",
            "file": name,
            "url": f"{self.store.url}/{name}",
            "sha256": digest,
            "size": len(content),
            "published_at": f"2026-10-0{day}T10:00:00Z",
            "state": "published",
            "protected": False,
            "source": {"vm": "", "os": "", "tools": ""},
            "parallels": "",
        }

    @property
    def records(self):
        return json.loads((self.store.folder / "catalog.json").read_text(encoding="utf-8"))["records"]

    @property
    def images(self):
        return sorted(path.name for path in self.store.folder.glob("*.pvmp"))

    def run(self, playbook, check=False, **variables):
        host = {
            "ansible_connection": "local",
            "ansible_python_interpreter": os.environ.get("MACOPS_TARGET_PYTHON") or sys.executable,
            "image_store_ca_path": self.store.ca_path,
        }
        values = {
            "image_destination": f"{self.store.url}/",
            "image_store_username": self.store.username,
            "image_store_password": self.store.password,
            "image_output_dir": str(self.output),
            **variables,
        }
        # The playbooks run on the first host of the play alone.
        hosts = {"mac": host, "other": {"ansible_connection": "no such connection"}}
        run = self.play(
            f"macops.parallels.{playbook}", hosts, values, check=check, environment={"HOME": str(self.home)}
        )
        return run.assert_no_secret(self.store.password)


@pytest.fixture
def published(play, https_store, tmp_path):
    return Published(play, https_store, tmp_path)


def table(run, name):
    return "\n".join(run.results_of(name)[0]["msg"])


def test_a_store_is_kept_in_order(published):
    before, images = published.records, published.images
    bad = {
        "image_name": "win11",
        "image_retire_version": "2026.10.0",
        "image_retire_reason": "No <VPN>.",
    }

    would = published.run("retire_images", check=True, image_keep=1).assert_ok()
    assert (published.records, published.images) == (before, images)
    old = ["win11-2026.9.0-arm64.pvmp", "win11-2026.10.0-arm64.pvmp"]
    assert would.custom_stats["image_retired"] == {
        "check_mode": True,
        "changed": True,
        "state": "",
        "versions": [],
        "removed": [],
        "removed_files": [],
        "would_remove": old,
        "would_remove_files": [f"{name}{suffix}" for name in old for suffix in ("", ".sha256")],
    }
    shown = table(would, "Show the results").splitlines()
    assert all(len(line) < 100 and f"\n{line}\n" in would.output for line in shown)
    assert [line.split("  ")[0] for line in shown[1:]] == ["would be removed"] * 2 + ["published"] * 2

    # Who names a version asks for nothing else: what is old stays.
    done = published.run("retire_images", image_keep=1, image_older_than="", **bad).assert_ok()
    assert published.images == images
    assert done.custom_stats["image_retired"] == {
        "check_mode": False,
        "changed": True,
        "state": "withdrawn",
        "versions": ["win11-2026.10.0-arm64.pvmp"],
        "removed": [],
        "removed_files": [],
        "would_remove": [],
        "would_remove_files": [],
    }
    assert "Old versions are not removed in a run that names a version." in table(done, "Show the results")
    assert "withdrawn " in table(done, "Show the results")
    assert [record["state"] for record in published.records] == ["published", "withdrawn", "published", "published"]
    page = (published.store.folder / "index.html").read_text(encoding="utf-8")
    assert "No &lt;VPN&gt;." in page

    old = {"image_keep": 1, "image_older_than": "7d"}
    gone = published.run("retire_images", **old).assert_ok()
    assert gone.custom_stats["image_retired"]["removed_files"] == [
        f"win11-2026.{month}.0-arm64.pvmp{suffix}" for month in (9, 10) for suffix in ("", ".sha256")
    ]
    assert published.images == ["win11-2026.11.0-arm64.pvmp", "win11-2026.11.0-x86_64.pvmp"]
    assert [record["version"] for record in published.records] == ["2026.11.0"] * 2
    published.run("retire_images", **old).assert_ok().assert_unchanged()


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({}, ("there is nothing to do", "image_keep")),
        ({"image_retire_version": "2026.9.0", "image_name": "win11"}, ("image_retire_reason",)),
        ({"image_retire_version": "2026.11.0", "image_retire_state": "protected"}, ("set image_name",)),
    ],
)
def test_what_is_missing_is_said(published, variables, words):
    before = published.records
    published.run("retire_images", **variables).assert_failed(*words)
    assert published.records == before


def test_a_withdrawn_version_is_not_published_again(published, tmp_path):
    name = "win11-2026.11.0-arm64.pvmp"
    image = tmp_path / "by hand.pvmp"
    image.write_bytes((published.store.folder / name).read_bytes())
    bad = {"image_name": "win11", "image_retire_version": "2026.11.0", "image_retire_reason": "No VPN."}
    published.run("retire_images", **bad).assert_ok()
    again = {"image_name": "win11", "image_version": "2026.11.0", "image_arch": "arm64", "image_path": str(image)}
    published.run("publish_image", image_hosts="mac", **again).assert_failed(
        f"{name} was published and then withdrawn (No VPN.)", "choose a new image_version"
    )
    assert not published.output.exists()


@pytest.mark.nightly
def test_a_page_that_was_left_behind_is_made_by_the_next_run(published, tmp_path):
    newest = published.records[-2]
    image = tmp_path / "by hand.pvmp"
    image.write_bytes((published.store.folder / newest["file"]).read_bytes())
    again = {"image_name": "win11", "image_version": "2026.11.0", "image_arch": "arm64", "image_path": str(image)}
    first = published.run("publish_image", image_hosts="mac", **again).assert_ok()
    assert [task.name.rpartition(" : ")[2] for task in first.changed if "catalog" in task.action] == ["Update the page"]
    page = (published.store.folder / "index.html").read_text(encoding="utf-8")
    assert page.count(newest["sha256"]) == 2
    second = published.run("publish_image", image_hosts="mac", **again).assert_ok()
    assert not [task for task in second.changed if "catalog" in task.action]


def reports(published):
    read = {kind: (published.output / f"verify_images.{kind}").read_text(encoding="utf-8") for kind in ("md", "xml")}
    report = json.loads((published.output / "verify_images.json").read_text(encoding="utf-8"))
    return report, read["md"], ElementTree.fromstring(read["xml"].encode())[0]


def test_all_links_are_good(published):
    run = published.run("verify_images").assert_ok()
    report, page, suite = reports(published)
    assert (report["ok"], report["problems"], report["notes"]) == (True, [], [])
    assert [image["verdict"] for image in report["images"]] == ["direct"] * 4
    assert [image["proof"] for image in report["images"]] == ["sample"] * 4
    assert page.startswith("# Published images: no problems\n")
    assert page.count("| direct | sample |") == 4
    assert (suite.get("tests"), suite.get("failures"), len(suite.findall("testcase"))) == ("5", "0", 5)
    files = [record["file"] for record in published.records]
    assert run.custom_stats["image_verified"] == {"ok": True, "images": files, "problems": [], "notes": []}
    assert run.custom_stats["image_verified_report"] == page
    assert json.loads(run.custom_stats["image_verified_json"]) == report
    assert all(len(line) < 100 for line in table(run, "Show the results").splitlines())
    assert "No problems." in table(run, "Show the results")


def test_a_long_catalog_is_read_in_pages(published):
    run = published.run("verify_images", verify_images_page_size=3, image_link_proof="headers").assert_ok()
    assert [len(page["records"]) for page in run.results_of("Read the first page of the catalog")] == [3]
    (others,) = run.results_of("Read the other pages of the catalog")
    assert [len(page["records"]) for page in others["results"]] == [1]
    report, _page, _suite = reports(published)
    assert [image["file"] for image in report["images"]] == [record["file"] for record in published.records]
    assert [image["verdict"] for image in report["images"]] == ["direct"] * 4


@pytest.mark.nightly
def test_the_page_is_kept_as_is_wished(published):
    page = published.store.folder / "index.html"
    newest = {"image_name": "win11", "image_retire_version": "2026.11.0"}
    protect = {**newest, "image_retire_state": "protected"}
    published.run("retire_images", image_page="never", **protect).assert_ok()
    assert not page.exists()
    published.run("retire_images", image_page="always", **newest, image_retire_state="unprotected").assert_ok()
    assert "win11" in page.read_text(encoding="utf-8")
    page.write_text("<p>Ours.</p>")
    published.run("retire_images", image_page="always", **protect).assert_failed("index.html")
    published.run("retire_images", image_page="true", **protect).assert_failed("image_page", "always")


def test_a_store_that_offers_nothing_is_a_mistake(published):
    """A nightly job with a wrong address must not be content for ever."""
    run = published.run("verify_images", image_name="win12")
    run.assert_failed("has no such published image", "image_destination")
    report, _page, suite = reports(published)
    assert (report["images"], suite.get("failures")) == ([], "1")


def test_a_night_on_which_all_is_wrong(published):
    """Every link is asked, whatever becomes of the first, and the exit code tells."""
    (published.store.folder / "win11-2026.9.0-arm64.pvmp").unlink()
    spoilt = published.store.folder / "win11-2026.10.0-arm64.pvmp"
    spoilt.write_bytes(spoilt.read_bytes()[:-1] + b"|")
    short = published.store.folder / "win11-2026.11.0-arm64.pvmp"
    short.write_bytes(short.read_bytes()[:-1])
    (published.store.folder / "win11-2026.8.0-arm64.pvmp").write_bytes(b"left")

    run = published.run("verify_images", image_link_proof="full")
    run.assert_failed("not_found", "wrong_checksum", "wrong_size", "has a different size", "verify_images.json")

    report, page, suite = reports(published)
    assert [image["verdict"] for image in report["images"]] == ["not_found", "wrong_checksum", "wrong_size", "direct"]
    assert report["inventory"] == {
        "listed": True,
        "missing": ["win11-2026.9.0-arm64.pvmp"],
        "wrong_size": ["win11-2026.11.0-arm64.pvmp"],
        "strays": ["win11-2026.8.0-arm64.pvmp"],
        "wrong_sboms": [],
    }
    assert len(report["problems"]) == 5
    assert [note.split()[0] for note in report["notes"]] == ["win11-2026.8.0-arm64.pvmp"]
    assert "5 problems" in page
    assert "## Notes" in page
    failures = {case.get("name"): case[0] for case in suite.findall("testcase") if case.find("failure") is not None}
    assert set(failures) == {
        "win11-2026.9.0-arm64.pvmp",
        "win11-2026.10.0-arm64.pvmp",
        "win11-2026.11.0-arm64.pvmp",
        "files of the store",
    }
    assert suite.get("failures") == "4"
    assert failures["win11-2026.10.0-arm64.pvmp"].get("type") == "wrong_checksum"
    assert run.custom_stats["image_verified"]["ok"] is False


def test_names_and_titles_of_any_characters(published):
    (published.store.folder / "login.html").write_text("<html><title>\U0001f512 Sign\x9b31m in</title></html>", "utf-8")
    (published.store.folder / "left\x9b31m \U0001f600.pvmp").write_bytes(b"left")
    records = published.records
    old = published.store.folder / records[0]["file"]
    records[0].update(file="win\U0001f600.pvmp", url=f"{published.store.url}/login.html")
    old.rename(old.with_name(records[0]["file"]))
    old.with_name(f"{old.name}.sha256").unlink()
    (published.store.folder / "catalog.json").write_text(json.dumps({"schema": 1, "records": records}))

    run = published.run("verify_images", image_link_proof="headers")
    run.assert_failed("win\U0001f600.pvmp is html", "its title is '\U0001f512 Sign\\x9b31m in'")
    report, page, suite = reports(published)
    assert [image["verdict"] for image in report["images"]] == ["html", "direct", "direct", "direct"]
    assert len(report["problems"]) == 1
    assert [note.partition(" is in")[0] for note in report["notes"]] == ["left\\x9b31m \U0001f600.pvmp"]
    assert page.count("\U0001f600") == 2
    assert suite.get("failures") == "1"
    assert "\x9b" not in table(run, "Show the results")
