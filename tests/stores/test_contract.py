# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The promises that every kind of store keeps: the same cases on each, against a real server."""

from __future__ import annotations

import hashlib
import json
import pathlib
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._catalog.catalog import CatalogFile
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._common.retry import Retries
from ansible_collections.macops.parallels.plugins.module_utils._stores.base import Conflict, StoreOptions
from ansible_collections.macops.parallels.plugins.module_utils._stores.body import Content
from ansible_collections.macops.parallels.plugins.module_utils._stores.registry import open_store
from ansible_collections.macops.parallels.plugins.module_utils._stores.upload import Upload, Uploaded, Wanted

from support.forward_proxy import ForwardProxy
from support.https_store import Fault

from .backends import Backend, Broken, Folder

MIB = 1024 * 1024
UPLOADER = pathlib.Path(__file__).with_name("uploader.py")
# What a store may take beyond what Python and its libraries take anyway.
MOST_MEMORY = 100 * MIB


@pytest.fixture
def folder(backend: Backend) -> Folder:
    """Return a folder of this test's own."""
    return backend.folder()


class Run:
    """Uploads to one folder, and what they told."""

    def __init__(self, backend: Backend, folder: Folder, image: Any) -> None:
        self.backend, self.folder, self.image = backend, folder, image
        self.pauses: list[float] = []
        self.notices: list[str] = []

    def open(self, destination: str | None = None, **options: Any) -> Any:
        """Open the store, its options changed by these."""
        given = {"timeout": 20.0, **self.folder.options, **options}
        return open_store(destination or self.folder.destination, StoreOptions(**given))

    def upload(self, retries: int = 4, destination: str | None = None, **changes: Any) -> Uploaded:
        """Upload the image; C(changes) are options of the store, or fields of what is wanted."""
        fields = {name: changes.pop(name) for name in list(changes) if name in Wanted.__dataclass_fields__}
        check_mode, report = changes.pop("check_mode", False), changes.pop("report", lambda done, total: None)
        wanted = Wanted(**{"src": self.image.path, "name": self.image.name, "sha256": self.image.sha256, **fields})
        store = self.open(destination, **changes)
        pausing = Retries(retries, sleep=self.pauses.append)
        return Upload(store, wanted, pausing, check_mode, report=report, notice=self.notices.append).run()

    def assert_published(self, data: bytes | None = None) -> None:
        """Hold that the image and its checksum are there, and nothing else."""
        expected = self.image.data if data is None else data
        line = f"{hashlib.sha256(expected).hexdigest()}  {self.image.name}\n".encode()
        assert self.folder.published() == {self.image.name: expected, f"{self.image.name}.sha256": line}


@pytest.fixture
def run(backend: Backend, folder: Folder, image: Any) -> Run:
    """Return what uploads the image to the folder."""
    return Run(backend, folder, image)


@pytest.mark.promise("nothing is shown until it is whole")
def test_nothing_is_shown_until_it_is_whole(run: Run) -> None:
    seen: list[dict[str, bytes]] = []
    late: list[int] = []

    def look(done: int, total: int | None) -> None:
        if done > MIB and not late:
            late.append(done)
            seen.append(run.folder.published())

    uploaded = run.upload(report=look)
    assert seen == [{}]
    assert uploaded.changed
    assert uploaded.sha256 == run.image.sha256
    assert uploaded.size == uploaded.bytes_sent == run.image.size
    run.assert_published()


@pytest.mark.promise("the same bytes change nothing")
def test_the_same_bytes_change_nothing(run: Run) -> None:
    run.upload()
    again = run.upload()
    assert (again.changed, again.bytes_sent) == (False, 0)
    run.assert_published()


@pytest.mark.promise("other bytes are refused")
def test_other_bytes_are_refused(run: Run, tmp_path: pathlib.Path) -> None:
    run.upload()
    other = tmp_path / "other.pvmp"
    other.write_bytes(run.image.data[::-1])
    sha256 = hashlib.sha256(run.image.data[::-1]).hexdigest()
    with pytest.raises(TaskError, match="with different content"):
        run.upload(src=str(other), sha256=sha256)
    run.assert_published()
    assert run.upload(src=str(other), sha256=sha256, overwrite=True).changed
    run.assert_published(run.image.data[::-1])


@pytest.mark.promise("what appears meanwhile is not overwritten")
def test_what_appears_meanwhile_is_not_overwritten(run: Run, tmp_path: pathlib.Path) -> None:
    other = tmp_path / "other.pvmp"
    other.write_bytes(run.image.data[::-1])
    theirs = Wanted(str(other), run.image.name, hashlib.sha256(run.image.data[::-1]).hexdigest())
    done: list[Any] = []

    def publish_first(offset: int, total: int | None) -> None:
        if offset > MIB and not done:
            done.append(Upload(run.open(), theirs, Retries(0)).run())

    with pytest.raises(TaskError, match="with different content"):
        run.upload(report=publish_first)
    run.assert_published(run.image.data[::-1])


@pytest.mark.promise("SHA-256 is kept beside it")
def test_the_digest_is_kept(run: Run) -> None:
    run.upload(sha256=None)
    found = run.open().look(run.image.name)
    assert found.size == run.image.size
    assert found.sha256 in (None, run.image.sha256)
    assert run.open().read(f"{run.image.name}.sha256")[0].decode().split() == [
        run.image.sha256,
        *run.image.name.split(),
    ]


@pytest.mark.promise("wrong bytes are not published")
def test_wrong_bytes_are_not_published(run: Run) -> None:
    with pytest.raises(TaskError, match="is not the expected file"):
        run.upload(sha256="0" * 64)
    assert run.folder.published() == {}


@pytest.mark.promise("goes on after a break")
@pytest.mark.parametrize("where", [0.0, 0.4, 0.99])
def test_it_goes_on_after_a_break(run: Run, where: float) -> None:
    run.backend.break_after(max(1, int(run.image.size * where)))
    uploaded = run.upload()
    assert run.pauses, "nothing broke"
    if run.backend.part_size and where > 0.9:
        # What was under way when it broke may be sent again.
        assert uploaded.resumed_from > 0
        assert uploaded.bytes_sent <= run.image.size + 4 * run.backend.part_size
    run.assert_published()


@pytest.mark.promise("a lost answer is looked into")
def test_a_lost_answer(run: Run) -> None:
    run.backend.lose_an_answer()
    run.upload()
    assert run.pauses, "no answer was lost"
    run.assert_published()


@pytest.mark.promise("goes on after a kill")
def test_it_goes_on_after_a_kill(run: Run) -> None:
    process = _start(run, rate_limit=MIB)
    for line in process.stdout:
        if json.loads(line)["done"] > run.image.size * 0.6:
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert run.folder.published() == {}
    uploaded = run.upload()
    run.assert_published()
    assert uploaded.resumed_from > 0
    assert uploaded.bytes_sent + uploaded.resumed_from == run.image.size


@pytest.mark.promise("memory is bounded")
def test_memory_is_bounded(run: Run, tmp_path: pathlib.Path) -> None:
    large = tmp_path / "large.pvmp"
    with large.open("wb") as handle:
        handle.write(run.image.data)
        handle.truncate(160 * MIB)
    options = {"part_size": 16 * MIB, "concurrency": 2} if run.backend.part_size else {}
    process = _start(run, src=str(large), sha256=None, **options)
    output, _none = process.communicate(timeout=120)
    assert process.returncode == 0
    assert json.loads(output.splitlines()[-1])["grown"] < MOST_MEMORY


@pytest.mark.promise("part size and concurrency are options")
def test_parts(run: Run) -> None:
    if run.backend.part_size is None:
        run.upload(part_size=MIB, concurrency=3)  # taken, though there are no parts
    else:
        run.upload(part_size=2 * run.backend.part_size, concurrency=3)
    run.assert_published()


@pytest.mark.promise("keeps to a rate limit")
def test_it_keeps_to_a_rate_limit(run: Run) -> None:
    begun = time.monotonic()
    run.upload(rate_limit=3 * MIB)
    assert time.monotonic() - begun >= 0.9
    run.assert_published()


@pytest.mark.promise("a silent server is given up")
def test_a_silent_server(run: Run) -> None:
    begun = time.monotonic()
    with run.backend.silent(), pytest.raises(TaskError):
        run.upload(retries=0, timeout=1.0)
    assert time.monotonic() - begun < 60
    assert run.folder.published() == {}


@pytest.mark.promise("goes through a proxy")
def test_it_goes_through_a_proxy(run: Run) -> None:
    with ForwardProxy("me", "proxy-secret") as proxy:
        run.upload(proxy=proxy.url)
        assert proxy.connected
        run.assert_published()
        with pytest.raises(TaskError) as caught:
            run.upload(retries=0, proxy=proxy.url.replace("proxy-secret", "wrong-secret"))
    assert "proxy" in caught.value.message.lower()
    assert "secret" not in str(caught.value.result())


@pytest.mark.promise("waits as long as a busy server asks")
def test_a_busy_server(run: Run) -> None:
    fault = Fault("*", status=503, headers={"Retry-After": "7"}, where=run.backend.is_upload)
    run.backend.gateway.faults.append(fault)
    run.upload()
    assert fault.struck == 1
    assert run.pauses == [7.0]
    run.assert_published()


@pytest.mark.promise("what is final is not tried again")
def test_what_is_final_is_not_tried_again(run: Run) -> None:
    fault = Fault("*", status=400, times=9, where=run.backend.is_upload)
    run.backend.gateway.faults.append(fault)
    with pytest.raises(TaskError, match="400"):
        run.upload()
    assert run.pauses == []
    assert run.folder.published() == {}


def _assert_told(run: Run, broken: Broken | None, at_once: bool = True) -> None:
    """Hold that a run ends with one clear sentence, without a retry, without a secret, and with nothing published."""
    assert broken is not None, "the backend does not say how that comes about"
    secrets = [
        str(value)
        for options in (run.folder.options, broken.options)
        for name, value in options.items()
        if name in ("password", "token", "secret_key", "session_token", "account_key", "sas_token", "client_secret")
    ]
    with broken.during(), pytest.raises(TaskError) as caught:
        run.upload(destination=broken.destination, **broken.options)
    for words in broken.words:
        assert words in caught.value.message
    assert not [secret for secret in secrets if secret and secret in str(caught.value.result())]
    if at_once:
        assert run.pauses == []
    assert run.folder.published() == {}


@pytest.mark.promise("wrong credentials: one sentence")
def test_wrong_credentials(run: Run) -> None:
    _assert_told(run, run.backend.wrong_credentials(run.folder))


@pytest.mark.promise("a missing folder: one sentence")
def test_a_missing_folder(run: Run) -> None:
    _assert_told(run, run.backend.missing_folder(run.folder))


@pytest.mark.promise("a forbidden write: one sentence")
def test_a_forbidden_write(run: Run) -> None:
    _assert_told(run, run.backend.forbidden_write(run.folder))


@pytest.mark.promise("a full store: one sentence")
def test_a_full_store(run: Run) -> None:
    _assert_told(run, run.backend.full(run.folder))


@pytest.mark.promise("credentials that end are named or renewed")
def test_credentials_that_end(run: Run) -> None:
    # What happens on the way may pass or not: a signature may end between two tries of the same.
    _assert_told(run, run.backend.expired(run.folder), at_once=False)
    run.upload()
    run.assert_published()


@pytest.mark.promise("check mode writes nothing")
def test_check_mode_writes_nothing(run: Run) -> None:
    assert run.upload(check_mode=True).changed
    assert run.folder.published() == {}


@pytest.mark.promise("tells beforehand whether it can be written to")
def test_the_way_into_the_store(run: Run) -> None:
    run.open().check("catalog.json", Content(0))
    assert run.folder.published() == {}
    broken = run.backend.forbidden_write(run.folder)
    with broken.during(), pytest.raises(TaskError) as caught:
        run.open(broken.destination, **broken.options).check("catalog.json", Content(0))
    for words in broken.words:
        assert words in caught.value.message


@pytest.mark.promise("small files: read, write, delete")
def test_small_files(run: Run) -> None:
    store = run.open()
    assert store.read("catalog.json") is None
    store.write("catalog.json", b"one", "application/json")
    data, version = store.read("catalog.json")
    assert data == b"one"
    store.write("catalog.json", b"two", "application/json", if_version=version)
    assert store.read("catalog.json")[0] == b"two"
    assert run.folder.published() == {"catalog.json": b"two"}
    assert store.delete("catalog.json") is True
    assert store.delete("catalog.json") is False
    assert run.folder.published() == {}


@pytest.mark.promise("tells what is there")
def test_the_list(run: Run) -> None:
    store = run.open()
    assert store.list() == []
    run.upload()
    found = {stored.name: stored.size for stored in store.list()}
    assert found == {name: len(data) for name, data in run.folder.published().items()}


@pytest.mark.promise("small files: a stale write is refused")
def test_a_stale_write_is_refused(run: Run) -> None:
    store = run.open()
    store.write("catalog.json", b"one", if_absent=True)
    version = store.read("catalog.json")[1]
    with pytest.raises(Conflict):
        store.write("catalog.json", b"two", if_absent=True)
    store.write("catalog.json", b"two", if_version=version)
    with pytest.raises(Conflict):
        store.write("catalog.json", b"three", if_version=version)
    assert store.read("catalog.json")[0] == b"two"


@pytest.mark.promise("two writers of the catalog lose nothing")
def test_two_writers_of_the_catalog(run: Run) -> None:
    errors: list[BaseException] = []

    def add(versions: range) -> None:
        try:
            catalog = CatalogFile(run.open(), Retries(4))
            for number in versions:
                record = {"name": "win", "version": f"1.{number}", "arch": "arm64", "size": 1, "sha256": "0" * 64}
                catalog.add({**record, "url": f"https://images.example.com/{number}"})
        except BaseException as error:
            errors.append(error)

    writers = [threading.Thread(target=add, args=(range(start, start + 3),)) for start in (0, 3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert errors == []
    records = CatalogFile(run.open(), Retries(0)).read().records
    assert [record["version"] for record in records] == [f"1.{number}" for number in range(6)]


def _start(run: Run, **changes: Any) -> subprocess.Popen[str]:
    """Upload in a process of its own, which prints how far it is."""
    fields = {name: changes.pop(name) for name in list(changes) if name in Wanted.__dataclass_fields__}
    order = {
        "path": sys.path,
        "destination": run.folder.destination,
        "options": {"timeout": 20.0, **run.folder.options, **changes},
        "wanted": {"src": run.image.path, "name": run.image.name, "sha256": run.image.sha256, **fields},
    }
    process = subprocess.Popen(
        [sys.executable, str(UPLOADER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    process.stdin.write(json.dumps(order))
    process.stdin.close()
    process.stdin = None
    return process
