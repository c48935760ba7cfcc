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
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._stores.azblob.store import block_id

from support.azurite import OTHER_KEY
from support.https_store import Fault

from .backends import Backend, Folder
from .backends.azurite import AzureBlob
from .test_contract import Run

KINDS = (AzureBlob,)


@pytest.fixture
def azure(backend: Backend, image: Any) -> Run:
    """Return what uploads the image to a new container."""
    return Run(backend, backend.folder(), image)


def container_of(backend: Backend, folder: Folder) -> Any:
    """Return the SDK's client for the container of a destination."""
    return backend.server.container(folder.destination.split("/")[3])


def blob_of(azure: Run) -> Any:
    """Return the SDK's client for the image."""
    return container_of(azure.backend, azure.folder).get_blob_client(f"Mac Images/win/{azure.image.name}")


def test_the_link_is_what_a_mac_needs(azure: Run) -> None:
    """It answers anybody, with length, ranges and a file name; the digest is kept with the blob."""
    uploaded = azure.upload(azblob_tier="Cool")
    assert uploaded.url.startswith(f"{azure.folder.options['endpoint_url']}/images-")
    assert uploaded.url.endswith("/Mac%20Images/win/B%C3%BCro%20Windows%2011-2026.11.0-arm64.pvmp")
    properties = blob_of(azure).get_blob_properties()
    assert properties.metadata == {"sha256": azure.image.sha256}
    assert properties.blob_tier == "Cool"
    assert properties.content_settings.content_type == "application/octet-stream"
    assert properties.content_settings.cache_control == "public, max-age=31536000, immutable"
    assert "filename*=UTF-8''B%C3%BCro%20Windows" in properties.content_settings.content_disposition
    assert azure.open().look(azure.image.name).sha256 == azure.image.sha256


def test_small_files_are_not_cached(azure: Run) -> None:
    azure.open().write("catalog.json", b"{}", "application/json")
    blob = container_of(azure.backend, azure.folder).get_blob_client("Mac Images/win/catalog.json")
    settings = blob.get_blob_properties().content_settings
    assert (settings.content_type, settings.cache_control) == ("application/json", "no-cache")


def test_blocks_of_other_bytes_are_not_taken(azure: Run) -> None:
    """Blocks that others have left under the name, with our numbers and sizes: they are sent again, as ours."""
    size = azure.backend.part_size
    for number in (1, 2):
        wrong = os.urandom(size)
        blob_of(azure).stage_block(block_id(number, size, hashlib.md5(wrong).digest()), wrong)
    mine = azure.image.data[2 * size : 3 * size]
    blob_of(azure).stage_block(block_id(3, size, hashlib.md5(mine).digest()), mine)
    uploaded = azure.upload()
    assert (uploaded.resumed_from, uploaded.bytes_sent) == (size, azure.image.size - size)
    azure.assert_published()


def test_it_goes_on_with_the_part_size_of_the_run_before(azure: Run) -> None:
    size = 3 * azure.backend.part_size
    mine = azure.image.data[:size]
    blob_of(azure).stage_block(block_id(1, size, hashlib.md5(mine).digest()), mine)
    assert azure.upload().resumed_from == size
    azure.assert_published()


def test_blocks_of_another_program_are_told(azure: Run) -> None:
    """Azure refuses ids of another length as long as they wait."""
    blob_of(azure).stage_block("short", b"x")
    with pytest.raises(TaskError, match="another program has started an upload under this name"):
        azure.upload()


def test_a_commit_that_misses_blocks_is_looked_into(azure: Run) -> None:
    """Whoever writes a blob under the name throws away what waits there; if all is there nevertheless, it goes on."""
    commit = Fault(
        "PUT",
        status=400,
        headers={"x-ms-error-code": "InvalidBlockList"},
        where=lambda request: "comp=blocklist" in request.query,
    )
    azure.backend.gateway.faults.append(commit)
    uploaded = azure.upload()
    assert (commit.struck, len(azure.pauses), uploaded.bytes_sent) == (1, 1, azure.image.size)
    azure.assert_published()


def test_bytes_that_change_on_their_way_are_sent_again(azure: Run) -> None:
    body = b"<?xml version='1.0'?><Error><Code>Md5Mismatch</Code><Message>x</Message></Error>"
    headers = {"x-ms-error-code": "Md5Mismatch", "Content-Type": "application/xml"}
    azure.backend.gateway.faults.append(
        Fault("PUT", status=400, headers=headers, body=body, where=azure.backend.is_upload)
    )
    azure.upload()
    assert len(azure.pauses) == 1
    azure.assert_published()


@pytest.mark.parametrize("prefix", ["", "?", "https://example.blob.core.windows.net/images?"])
def test_a_signature(azure: Run, prefix: str) -> None:
    """With the least rights that do, in the forms in which people copy it."""
    sas = azure.backend.server.sas(azure.folder.destination.split("/")[3], "rw")
    uploaded = azure.upload(account_key=None, sas_token=prefix + sas)
    azure.assert_published()
    assert "sig=" not in uploaded.url
    assert azure.notices == []


def test_a_signature_without_the_right_to_list_or_delete(azure: Run) -> None:
    sas = azure.backend.server.sas(azure.folder.destination.split("/")[3], "rw")
    store = azure.open(account_key=None, sas_token=sas)
    for work, right in ((store.list, "list"), (lambda: store.delete("x"), "delete")):
        with pytest.raises(TaskError) as caught:
            work()
        assert f"sas_token does not allow it. Create one with the permission to {right}" in caught.value.message
        assert sas.split("sig=")[1] not in str(caught.value.result())


def test_a_signature_that_ends_soon(azure: Run) -> None:
    sas = azure.backend.server.sas(azure.folder.destination.split("/")[3], "rw", 3600)
    azure.upload(account_key=None, sas_token=sas)
    assert [notice.split(".")[0] for notice in azure.notices if "expires on" in notice]


@pytest.mark.parametrize(
    ("lasts", "rights", "key", "words"),
    [
        (-60, "rw", None, "sas_token has expired on"),
        (3600, "rw", OTHER_KEY, "sas_token"),
    ],
)
def test_signatures_that_do_not_do(azure: Run, lasts: float, rights: str, key: str | None, words: str) -> None:
    name = azure.folder.destination.split("/")[3]
    sas = azure.backend.server.sas(name, rights, lasts, *([key] if key else []))
    with pytest.raises(TaskError, match=words) as caught:
        azure.upload(account_key=None, sas_token=sas)
    assert sas.split("sig=")[1] not in str(caught.value.result())
    assert azure.pauses == []


def test_a_token(azure: Run) -> None:
    azure.upload(account_key=None, token=azure.backend.server.token())
    azure.assert_published()


@pytest.mark.parametrize(("lasts", "words"), [(-60, "token has expired on"), (None, "the token is not accepted")])
def test_a_token_that_does_not_do(azure: Run, lasts: float | None, words: str) -> None:
    token = azure.backend.server.token(lasts) if lasts else "opaque-secret-token"
    with pytest.raises(TaskError, match=words) as caught:
        azure.upload(account_key=None, token=token)
    assert token not in str(caught.value.result())
    assert azure.pauses == []


def test_a_private_container(azure: Run) -> None:
    """The upload works; whether everybody can read is for the proof of the link to tell."""
    container_of(azure.backend, azure.folder).set_container_access_policy(signed_identifiers={}, public_access=None)
    uploaded = azure.upload()
    assert uploaded.changed
    assert azure.open().look(azure.image.name).size == azure.image.size
    with pytest.raises(urllib.request.HTTPError):
        azure.folder.published()


def test_an_image_under_a_lease_is_not_overwritten(azure: Run, tmp_path: Any) -> None:
    azure.upload()
    lease = blob_of(azure).acquire_lease()
    other = tmp_path / "other.pvmp"
    other.write_bytes(azure.image.data[::-1])
    with pytest.raises(TaskError, match="the blob has an active lease"):
        azure.upload(src=str(other), sha256=None, overwrite=True)
    lease.release()
    assert azure.folder.published()[azure.image.name] == azure.image.data


def test_the_list_has_neither_folders_nor_probes(azure: Run) -> None:
    container = container_of(azure.backend, azure.folder)
    azure.upload()
    container.upload_blob("Mac Images/win/below/x.pvmp", b"x")
    container.upload_blob("Mac Images/other.pvmp", b"x")
    container.upload_blob("Mac Images/win/.hidden", b"x")
    listed = azure.open().list()
    assert [stored.name for stored in listed] == [azure.image.name, f"{azure.image.name}.sha256"]
    assert listed[0].sha256 == azure.image.sha256
