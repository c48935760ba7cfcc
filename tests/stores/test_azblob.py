# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only Azure Blob Storage has: blocks, signatures with rights and an end, tokens, access tiers."""

from __future__ import annotations

import hashlib
import os
import urllib.request
from typing import Any

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._stores._azblob import block_id

from support.azurite import OTHER_KEY
from support.https_store import Fault

from .backends import Backend, Folder
from .backends.azurite import AzureBlob
from .test_contract import Run, folder, run  # noqa: F401  (fixtures)

KINDS = (AzureBlob,)


def container_of(backend: Backend, folder: Folder) -> Any:
    """Return the SDK's client for the container of a destination."""
    return backend.server.container(folder.destination.split("/")[3])


def blob_of(run: Run) -> Any:
    """Return the SDK's client for the image."""
    return container_of(run.backend, run.folder).get_blob_client(f"Mac Images/win/{run.image.name}")


def test_the_link_is_what_a_mac_needs(run: Run) -> None:
    """It answers anybody, with length, ranges and a file name; the digest is kept with the blob."""
    uploaded = run.upload(azblob_tier="Cool")
    assert uploaded.url.startswith(f"{run.folder.options['endpoint_url']}/images-")
    assert uploaded.url.endswith("/Mac%20Images/win/B%C3%BCro%20Windows%2011-2026.11.0-arm64.pvmp")
    properties = blob_of(run).get_blob_properties()
    assert properties.metadata == {"sha256": run.image.sha256}
    assert properties.blob_tier == "Cool"
    assert properties.content_settings.content_type == "application/octet-stream"
    assert properties.content_settings.cache_control == "public, max-age=31536000, immutable"
    assert "filename*=UTF-8''B%C3%BCro%20Windows" in properties.content_settings.content_disposition
    assert run.open().look(run.image.name).sha256 == run.image.sha256


def test_small_files_are_not_cached(run: Run) -> None:
    run.open().write("catalog.json", b"{}", "application/json")
    blob = container_of(run.backend, run.folder).get_blob_client("Mac Images/win/catalog.json")
    settings = blob.get_blob_properties().content_settings
    assert (settings.content_type, settings.cache_control) == ("application/json", "no-cache")


def test_blocks_of_other_bytes_are_not_taken(run: Run) -> None:
    """Blocks that others have left under the name, with our numbers and sizes: they are sent again, as ours."""
    size = run.backend.part_size
    for number in (1, 2):
        wrong = os.urandom(size)
        blob_of(run).stage_block(block_id(number, size, hashlib.md5(wrong).digest()), wrong)
    mine = run.image.data[2 * size : 3 * size]
    blob_of(run).stage_block(block_id(3, size, hashlib.md5(mine).digest()), mine)
    uploaded = run.upload()
    assert (uploaded.resumed_from, uploaded.bytes_sent) == (size, run.image.size - size)
    run.assert_published()


def test_it_goes_on_with_the_part_size_of_the_run_before(run: Run) -> None:
    size = 3 * run.backend.part_size
    mine = run.image.data[:size]
    blob_of(run).stage_block(block_id(1, size, hashlib.md5(mine).digest()), mine)
    assert run.upload().resumed_from == size
    run.assert_published()


def test_blocks_of_another_program_are_told(run: Run) -> None:
    """Azure refuses ids of another length as long as they wait."""
    blob_of(run).stage_block("short", b"x")
    with pytest.raises(TaskError, match="another program has begun to upload something under this name"):
        run.upload()


def test_a_commit_that_misses_blocks_is_looked_into(run: Run) -> None:
    """Whoever writes a blob under the name throws away what waits there; if all is there nevertheless, it goes on."""
    commit = Fault(
        "PUT",
        status=400,
        headers={"x-ms-error-code": "InvalidBlockList"},
        where=lambda request: "comp=blocklist" in request.query,
    )
    run.backend.gateway.faults.append(commit)
    uploaded = run.upload()
    assert (commit.struck, len(run.pauses), uploaded.bytes_sent) == (1, 1, run.image.size)
    run.assert_published()


def test_bytes_that_change_on_their_way_are_sent_again(run: Run) -> None:
    body = b"<?xml version='1.0'?><Error><Code>Md5Mismatch</Code><Message>x</Message></Error>"
    headers = {"x-ms-error-code": "Md5Mismatch", "Content-Type": "application/xml"}
    run.backend.gateway.faults.append(Fault("PUT", status=400, headers=headers, body=body, where=run.backend.is_upload))
    run.upload()
    assert len(run.pauses) == 1
    run.assert_published()


@pytest.mark.parametrize("prefix", ["", "?", "https://example.blob.core.windows.net/images?"])
def test_a_signature(run: Run, prefix: str) -> None:
    """With the least rights that do, in the forms in which people copy it."""
    sas = run.backend.server.sas(run.folder.destination.split("/")[3], "rw")
    uploaded = run.upload(account_key=None, sas_token=prefix + sas)
    run.assert_published()
    assert "sig=" not in uploaded.url
    assert run.notices == []


def test_a_signature_without_the_right_to_list_or_delete(run: Run) -> None:
    sas = run.backend.server.sas(run.folder.destination.split("/")[3], "rw")
    store = run.open(account_key=None, sas_token=sas)
    for work, right in ((store.list, "list"), (lambda: store.delete("x"), "delete")):
        with pytest.raises(TaskError) as caught:
            work()
        assert f"sas_token does not allow it. Make one with the right to {right}" in caught.value.message
        assert sas.split("sig=")[1] not in str(caught.value.result())


def test_a_signature_that_ends_soon(run: Run) -> None:
    sas = run.backend.server.sas(run.folder.destination.split("/")[3], "rw", 3600)
    run.upload(account_key=None, sas_token=sas)
    assert [notice.split(".")[0] for notice in run.notices if "ends on" in notice]


@pytest.mark.parametrize(
    ("lasts", "rights", "key", "words"),
    [
        (-60, "rw", None, "sas_token has ended on"),
        (3600, "rw", OTHER_KEY, "sas_token"),
    ],
)
def test_signatures_that_do_not_do(run: Run, lasts: float, rights: str, key: str | None, words: str) -> None:
    name = run.folder.destination.split("/")[3]
    sas = run.backend.server.sas(name, rights, lasts, *([key] if key else []))
    with pytest.raises(TaskError, match=words) as caught:
        run.upload(account_key=None, sas_token=sas)
    assert sas.split("sig=")[1] not in str(caught.value.result())
    assert run.pauses == []


def test_a_token(run: Run) -> None:
    run.upload(account_key=None, token=run.backend.server.token())
    run.assert_published()


@pytest.mark.parametrize(("lasts", "words"), [(-60, "token has ended on"), (None, "the token is not accepted")])
def test_a_token_that_does_not_do(run: Run, lasts: float | None, words: str) -> None:
    token = run.backend.server.token(lasts) if lasts else "opaque-secret-token"
    with pytest.raises(TaskError, match=words) as caught:
        run.upload(account_key=None, token=token)
    assert token not in str(caught.value.result())
    assert run.pauses == []


def test_a_private_container(run: Run) -> None:
    """The upload works; whether everybody can read is for the proof of the link to tell."""
    container_of(run.backend, run.folder).set_container_access_policy(signed_identifiers={}, public_access=None)
    uploaded = run.upload()
    assert uploaded.changed
    assert run.open().look(run.image.name).size == run.image.size
    with pytest.raises(urllib.request.HTTPError):
        run.folder.published()


def test_an_image_under_a_lease_is_not_overwritten(run: Run, tmp_path: Any) -> None:
    run.upload()
    lease = blob_of(run).acquire_lease()
    other = tmp_path / "other.pvmp"
    other.write_bytes(run.image.data[::-1])
    with pytest.raises(TaskError, match="somebody holds a lease"):
        run.upload(src=str(other), sha256=None, overwrite=True)
    lease.release()
    assert run.folder.published()[run.image.name] == run.image.data


def test_the_list_has_neither_folders_nor_probes(run: Run) -> None:
    container = container_of(run.backend, run.folder)
    run.upload()
    container.upload_blob("Mac Images/win/below/x.pvmp", b"x")
    container.upload_blob("Mac Images/other.pvmp", b"x")
    container.upload_blob("Mac Images/win/.hidden", b"x")
    listed = run.open().list()
    assert [stored.name for stored in listed] == [run.image.name, f"{run.image.name}.sha256"]
    assert listed[0].sha256 == run.image.sha256
