# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module image_upload."""

from __future__ import annotations

import hashlib
from urllib.parse import quote

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._stores.base import part_name
from ansible_collections.macops.parallels.plugins.module_utils._stores.body import Body
from ansible_collections.macops.parallels.plugins.modules import image_upload
from ansible_collections.macops.parallels.tests.support.https_store import https_store

DATA = b"an image"
DIGEST = hashlib.sha256(DATA).hexdigest()
NAME = "Büro Windows 11.pvmp"


@pytest.fixture
def share(tmp_path):
    path = tmp_path / "share"
    path.mkdir()
    return path


@pytest.fixture
def image(tmp_path):
    path = tmp_path / NAME
    path.write_bytes(DATA)
    return path


@pytest.fixture
def run(run_module_main, image, share):
    def call(**arguments):
        return run_module_main(image_upload.main, **{"src": str(image), "destination": f"file://{share}", **arguments})

    return call


def test_it_publishes_once(run, share):
    first = run().result
    url = f"file://{share}/{quote(NAME)}"
    seconds = first.pop("seconds")
    assert isinstance(seconds, float)
    assert first == {
        "changed": True,
        "url": url,
        "sha256": DIGEST,
        "size": len(DATA),
        "bytes_sent": len(DATA),
        "resumed_from": 0,
        "sidecar": url + ".sha256",
        "diff": {
            "before": {url: None, "checksum published": False},
            "after": {url: {"size": len(DATA), "sha256": DIGEST}, "checksum published": True},
        },
    }
    assert (share / NAME).read_bytes() == DATA
    second = run().result
    assert (second["changed"], second["bytes_sent"]) == (False, 0)
    assert second["diff"]["before"] == second["diff"]["after"]


def test_another_name(run, share):
    run(name="win11.pvmp", sidecar=False)
    assert [path.name for path in share.iterdir()] == ["win11.pvmp"]


def test_check_mode(run, share):
    told = run(_ansible_check_mode=True).result
    assert (told["changed"], told["bytes_sent"], told["sha256"]) == (True, 0, "")
    assert list(share.iterdir()) == []


def test_what_would_be_overwritten_is_in_the_diff(run, share):
    (share / NAME).write_bytes(b"old")
    told = run(overwrite=True, _ansible_check_mode=True).result
    assert next(iter(told["diff"]["before"].values())) == {"size": 3, "sha256": None}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"src": "/nowhere/x.pvmp"}, "/nowhere/x.pvmp does not exist"),
        ({"sha256": "abc"}, "64 hexadecimal digits"),
        ({"sha256": "a" * 64}, "is not the expected file"),
        ({"destination": "http://host/x"}, "must not start with http://"),
        ({"destination": "https://me:hush@host/x"}, "must not contain a user name or a password"),
        ({"destination": "file:///nowhere/at/all"}, "does not exist. Mount the share"),
        ({"name": "a/b"}, "is not a valid file name"),
        ({"rate_limit": "fast"}, "rate_limit is not valid: 'fast'"),
        ({"part_size": "tiny"}, "part_size is not valid: 'tiny'"),
        ({"password": "hush"}, "username"),
        ({"username": "me", "destination": "https://host/x"}, "username needs a password"),
        ({"concurrency": 33}, "Set it to a value from 1 to 32"),
        ({"access_key": "AK"}, "secret_key"),
        ({"account_key": "hush", "sas_token": "hush"}, "mutually exclusive"),
        ({"username": "me", "password": "hush", "token": "hush"}, "mutually exclusive"),
        ({"https_method": "post"}, "https_method"),
    ],
)
def test_what_is_wrong_is_said_in_words(run, share, arguments, sentence):
    ended = run(**arguments)
    assert ended.failed
    assert sentence in ended.result["msg"]
    assert "hush" not in str(ended.result)
    assert list(share.iterdir()) == []


def test_what_a_killed_run_has_left(run, share, image, monkeypatch):
    """It goes on with a part of the same bytes, and warns that it removes other ones."""
    data = b"an image" * 100
    image.write_bytes(data)
    with monkeypatch.context() as patch, Body(str(image)) as body:
        patch.setattr("os.getpid", lambda: 2**22 + 7)  # above the largest process number
        (share / part_name(NAME, body.content)).write_bytes(data[:300])
        other = share / part_name(NAME)
        other.write_bytes(b"other")
    warnings = []
    monkeypatch.setattr(image_upload.AnsibleModule, "warn", lambda _module, text: warnings.append(text))
    told = run().result
    assert (told["resumed_from"], told["bytes_sent"]) == (300, 500)
    assert warnings == [f"Removed {other}, which a killed run left behind."]
    assert sorted(path.name for path in share.iterdir()) == [NAME, f"{NAME}.sha256"]


def test_over_https(run, tmp_path):
    with https_store(tmp_path / "store") as store:
        options = {
            "destination": store.url,
            "username": store.username,
            "password": store.password,
            "ca_path": store.ca_path,
        }
        assert run(**options).result["url"] == f"{store.url}/{quote(NAME)}"
        refused = run(**{**options, "password": "hush", "name": "other.pvmp"})
        assert refused.failed
        assert "user name or the password is wrong" in refused.result["msg"]
        assert refused.result["status"] == 401
        assert "hush" not in str(refused.result)
