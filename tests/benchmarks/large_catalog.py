# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads, verifies, changes and shows a signed catalog of 100,000 records, and prints seconds and memory of each.

Each task runs in a process of its own, as a module does. The store is a folder, so the figures are those of this
collection and of ssh-keygen, not of a network. The promise is 30 seconds and 300 MiB for each task. The exit status is
that of the memory: seconds depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import datetime
import multiprocessing
import os
import pathlib
import resource
import sys
import tempfile
import time
from typing import Any, Callable

# The collection from where it lies: .../ansible_collections/macops/parallels.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[5]))

from ansible_collections.macops.parallels.plugins.module_utils._catalog.catalog import Catalog
from ansible_collections.macops.parallels.plugins.module_utils._catalog.changes import Changes
from ansible_collections.macops.parallels.plugins.module_utils._catalog.query import Query, Reading
from ansible_collections.macops.parallels.plugins.module_utils._common.retry import Retries
from ansible_collections.macops.parallels.plugins.module_utils._records.record import new_record
from ansible_collections.macops.parallels.plugins.module_utils._records.retention import Choice
from ansible_collections.macops.parallels.plugins.module_utils._stores.base import StoreOptions
from ansible_collections.macops.parallels.plugins.module_utils._stores.registry import open_store
from ansible_collections.macops.parallels.plugins.module_utils._trust.guard import Guard
from ansible_collections.macops.parallels.plugins.module_utils._trust.seal import Seal
from ansible_collections.macops.parallels.plugins.module_utils._trust.seen import Seen
from ansible_collections.macops.parallels.plugins.module_utils._trust.signature import (
    CATALOG_KIND,
    Signer,
    SshKeygen,
    Verifier,
)
from ansible_collections.macops.parallels.plugins.module_utils._trust.statements import sign_record
from ansible_collections.macops.parallels.tests.support.ssh_keys import IDENTITY, allow, make_key, run_command

STORE = "https://images.example.com/golden"
SECONDS, MIB = 30, 300
NOW = datetime.datetime(2026, 11, 23, 12, tzinfo=datetime.timezone.utc)
KEYGEN = SshKeygen(run_command)
LAST = {"name": "windows-000", "version": "2026.0.0"}


def make_catalog(folder: pathlib.Path, key: pathlib.Path, count: int) -> None:
    """Write a signed catalog. Only the record that is changed is really signed: the others look like it."""
    signer = Signer(KEYGEN, str(key), IDENTITY)
    names = 200
    records = []
    for number in range(count):
        name, version = f"windows-{number % names:03}", f"2026.{number // names}.0"
        values = {
            "name": name,
            "version": version,
            "arch": "arm64",
            "title": f"Windows {number % names}",
            "url": f"{STORE}/{name}-{version}-arm64.pvmp",
            "sha256": f"{number:064x}",
            "size": 20_000_000_000 + number,
            "source": {"vm": "Windows 11", "os": "win-11"},
            "parallels": "26.1.0",
            "provenance": f"{STORE}/{name}-{version}-arm64.pvmp.provenance.json",
        }
        record = new_record(values, NOW + datetime.timedelta(minutes=number - count))
        signed = sign_record(record, signer, STORE, NOW) if not number else {**records[0], **record}
        if number:
            signed["signature"] = signed["signature"].replace("U1NI", f"{number:04}"[-4:])
        records.append(signed)
    document = {"schema": 1, "records": records, "signed_by": IDENTITY, "signed_at": "2026-11-23T12:00:00Z"}
    data = Catalog({**document, "signed_for": STORE, "serial": 7}).data()
    (folder / "catalog.json").write_bytes(data)
    (folder / "catalog.json.sig").write_text(signer.sign(CATALOG_KIND, data))


def tasks(folder: pathlib.Path, key: pathlib.Path, signers: pathlib.Path) -> dict[str, Callable[[], Any]]:
    """Return what is measured."""
    store, retries = open_store(folder.as_uri(), StoreOptions()), Retries()

    def guard() -> Guard:
        seen = Seen(STORE)
        return Guard(store, retries, Verifier(KEYGEN, str(signers)), STORE, seen)

    def read() -> Any:
        return Reading(store, retries, Query(Choice(), 100)).run(None, requires=False, inventory=False)

    def verify() -> Any:
        query = Query(Choice(**LAST), 100)
        result = Reading(store, retries, query).run(guard(), requires=False, inventory=False)
        assert result["signatures"]["catalog"]["verdict"] == result["signatures"]["records"][0]["verdict"] == "good"
        return result

    def change(page: str, **params: Any) -> Any:
        given = {**dict.fromkeys(("arch", "record", "keep", "older_than", "reason")), "remove_file": False, **LAST}
        seal = Seal(store, retries, Signer(KEYGEN, str(key), IDENTITY), guard())
        params = {**given, "page": page, **params}
        changes = Changes(store, retries, seal.guard, seal, params, check_mode=False, notice=print)
        return changes.run()

    return {
        "read": read,
        "verify": verify,
        "change": lambda: change("never", state="protected"),
        "show the page": lambda: change("always", state="page"),
    }


def measured(work: Callable[[], Any]) -> tuple[float, float]:
    """Return the seconds and the MiB that the work takes in a process of its own."""
    receiver, sender = multiprocessing.Pipe(duplex=False)

    def run() -> None:
        begun = time.monotonic()
        work()
        usage = resource.getrusage(resource.RUSAGE_SELF)
        sender.send((time.monotonic() - begun, usage.ru_maxrss / 1024))

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    sender.close()
    result = receiver.recv()
    process.join()
    return result


def main() -> int:
    """Print a line for each task, and return 1 if one took too much memory."""
    fits = True
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=100_000)
    count = parser.parse_args().records
    with tempfile.TemporaryDirectory() as scratch:
        home = pathlib.Path(scratch)
        # The notes of what was verified are there.
        os.environ["HOME"] = scratch
        folder = home / "store"
        folder.mkdir()
        key = make_key(home, "key")
        signers = allow(home / "signers", (IDENTITY, key))
        maker = multiprocessing.get_context("fork").Process(target=make_catalog, args=(folder, key, count))
        maker.start()
        maker.join()
        size = (folder / "catalog.json").stat().st_size
        print(f"{count} records, {size / 2**20:.0f} MiB")
        for name, work in tasks(folder, key, signers).items():
            seconds, mib = measured(work)
            kept = seconds <= SECONDS and mib <= MIB
            fits = fits and mib <= MIB
            print(f"{name:15} {seconds:6.1f} s {mib:6.0f} MiB  {'kept' if kept else 'NOT KEPT'}", flush=True)
    return 0 if fits else 1


if __name__ == "__main__":
    sys.exit(main())
