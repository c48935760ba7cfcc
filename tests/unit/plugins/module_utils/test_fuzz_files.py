# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files and answers of any content: each ends in a value or in an error that says what to do, nothing else."""

from __future__ import annotations

import copy
import functools
import json
import tempfile
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._catalog.catalog import CatalogFile
from ansible_collections.macops.parallels.plugins.module_utils._catalog.inventory import take_inventory
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._common.json_reader import read_json
from ansible_collections.macops.parallels.plugins.module_utils._common.retry import Retries
from ansible_collections.macops.parallels.plugins.module_utils._common.text import is_printable, printable_message
from ansible_collections.macops.parallels.plugins.module_utils._parallels.cli import Prlctl, Result, parse_json
from ansible_collections.macops.parallels.plugins.module_utils._parallels.host import read_mac
from ansible_collections.macops.parallels.plugins.module_utils._parallels.vm import (
    Disk,
    get_vm,
    layers_of,
    list_vms,
    uuid_in,
)
from ansible_collections.macops.parallels.plugins.module_utils._records.page import catalog_page
from ansible_collections.macops.parallels.plugins.module_utils._records.record import new_record
from ansible_collections.macops.parallels.plugins.module_utils._records.retention import Choice, Rule, by_rule
from ansible_collections.macops.parallels.plugins.module_utils._records.sheet import golden_image_sheet
from ansible_collections.macops.parallels.plugins.module_utils._stores.base import Stored
from ansible_collections.macops.parallels.plugins.module_utils._stores.sftp.known_hosts import read_known_host
from ansible_collections.macops.parallels.plugins.module_utils._trust.guard import Guard
from ansible_collections.macops.parallels.plugins.module_utils._trust.signature import SshKeygen, Verifier
from ansible_collections.macops.parallels.plugins.module_utils._trust.statements import provenance_verdict
from ansible_collections.macops.parallels.tests.support.fuzz import (
    ANY_TEXT,
    VALUES,
    changed,
    fuzz,
    fuzz_by_day_and_by_night,
    spoilt,
)
from hypothesis import strategies as st

NOW = datetime(2026, 11, 22, 10, tzinfo=timezone.utc)
FIXTURES = Path(__file__).parents[1] / "fixtures"
UUID = "de22df32-80e2-4e92-ba4b-efb3a66cf092"
FEW, MANY = 60, 5000
by_day_and_by_night = functools.partial(fuzz_by_day_and_by_night, FEW, MANY)


def told(work: Callable[[], Any]) -> Any:
    """Return what work returns, None when it ends in an error that can be shown."""
    try:
        return work()
    except TaskError as error:
        shown = printable_message(error.message)
        assert all(is_printable(line) for line in shown.split("\n"))
        assert len(shown) < 100_000
        return None


# Catalogs


class Memory:
    """A store of one file."""

    url = "https://images.example.com"
    atomic = exclusive = True

    def __init__(self, data: bytes) -> None:
        self.data = data

    def link(self, name: str) -> str:
        return f"{self.url}/{name}"

    def read(self, name: str, _limit: int = 0) -> tuple[bytes, str]:
        return (self.data, "1") if name == "catalog.json" else (b"-----BEGIN SSH SIGNATURE-----\nAA==\n-----END", "1")

    def write(self, _name: str, data: bytes, *_unused: Any, **_conditions: Any) -> None:
        self.data = data

    def list(self) -> list[Stored]:
        return [Stored("win11-1.0-arm64.pvmp", 5), Stored("Bu\u0308ro.pvmp", 5)]


RECORD = new_record(
    {
        "name": "win11",
        "version": "1.0",
        "arch": "arm64",
        "url": "https://a.example/a.pvmp",
        "sha256": "a" * 64,
        "size": 5,
    },
    NOW,
)
PROOF = {
    "signed_by": "build@example.com",
    "signed_at": "2026-11-22T10:00:00Z",
    "signature": "x",
    "provenance": "https://a.example/p",
}
CATALOG = {
    "schema": 1,
    **PROOF,
    "records": [
        {**RECORD, **PROOF},
        {**RECORD, "version": "1.1", "state": "withdrawn", "reason": "bad", "withdrawn_at": "2026-11-22T10:00:00Z"},
    ],
}
STATEMENT = {
    "subject": [{"name": "a", "digest": {"sha256": "a" * 64}}],
    "predicate": {"runDetails": {"metadata": {"finishedOn": "2026-11-22T10:00:00Z"}}},
}
JSON_TEXTS = st.sampled_from(["", "[" * 3000, '{"a":' * 3000, "NaN", '"\\ud83d"', "1e999", "9" * 5000, '{"a":1,"a":2}'])


@st.composite
def documents(draw: st.DrawFn, value: Any) -> bytes:
    """Return JSON that is nearly right, as a file."""
    text = json.dumps(draw(changed(value)), ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    return draw(spoilt(text))


def verifier() -> Verifier:
    with tempfile.NamedTemporaryFile() as allowed:
        allowed.write(b"build@example.com ssh-ed25519 AAAA\n")
        allowed.flush()
        return Verifier(SshKeygen(lambda *_args, **_options: (0, "build@example.com", "")), allowed.name)


VERIFIER = verifier()


def check_catalog(data: bytes) -> None:
    store: Any = Memory(data)
    retries = Retries(0, lambda _seconds: None)
    file = CatalogFile(store, retries, lambda _seconds: None, lambda: NOW)
    guard = Guard(store, retries, VERIFIER, "https://images.example.com", now=lambda: NOW)
    verified = CatalogFile(store, retries, lambda _seconds: None, lambda: NOW, guard=guard)
    found = told(verified.inspected)
    if found is not None:
        guard.report(found.verdict, found.document, found.records).result()
    catalog = told(file.read)
    if catalog is None:
        assert store.data == data
        assert told(lambda: file.add(RECORD)) is None
        assert store.data == data, "what cannot be read was written over"
        return
    records = catalog.records
    catalog_page(records)
    for record in records:
        told(lambda record=record: golden_image_sheet([record]))
    by_rule(Rule(), Choice(), NOW)(records)
    take_inventory(store, records, retries).result()
    done = told(lambda: file.add({**RECORD, "version": "9"}))
    if done is not None:
        left = [each for each in file.read().records if each["version"] != "9"]
        assert left == [each for each in records if each["version"] != "9"], "a record was lost"


test_catalogs, test_many_catalogs = by_day_and_by_night(check_catalog, documents(CATALOG))


def check_json(data: bytes) -> None:
    try:
        value = read_json(data)
    except ValueError as error:
        assert str(error)
    else:
        json.dumps(value, allow_nan=False, indent=1, ensure_ascii=False).encode()
        copy.deepcopy(value)


test_json, test_much_json = by_day_and_by_night(
    check_json,
    st.one_of(
        documents(CATALOG),
        st.binary(max_size=40),
        st.tuples(JSON_TEXTS, JSON_TEXTS, JSON_TEXTS).map(lambda texts: "".join(texts).encode()),
    ),
)


def check_provenance(data: bytes) -> None:
    provenance_verdict(data, "", {"file": "x.pvmp", "sha256": "a" * 64}, VERIFIER, "https://images.example.com")


test_provenance, test_much_provenance = by_day_and_by_night(check_provenance, documents(STATEMENT))


# Host keys

KEY = b"AAAAC3NzaC1lZDI1NTE5AAAAIHUDq9Tj3h7+FpghLLFctiJkM04MAfZwurNGEpy6TivT"
WORDS = st.sampled_from(
    [
        b"host",
        b"*",
        b"!host",
        b"[host]:22",
        b"?",
        b",",
        b"|1|",
        b"|1|AAAA|AAAA",
        b"@revoked",
        b"@cert-authority",
        b"@",
        b"#",
    ]
    + [
        b"ssh-ed25519",
        b"ssh-rsa",
        KEY,
        KEY[:30],
        KEY + b"=",
        b"\xff\xfe",
        b"\x00",
        b"1024",
        b"[",
        b"\\",
        b"\xef\xbb\xbf",
    ]
)
LINES = st.lists(WORDS | st.binary(max_size=6), max_size=6).flatmap(
    lambda words: st.sampled_from([b" ", b"", b"\t", b","]).map(lambda between: between.join(words))
)


def check_known_hosts(lines: list[bytes], end: bytes) -> None:
    before = end.join(lines)
    found = read_known_host(before, "host", 22, 22)
    assert not found.unread or max(found.unread) <= before.count(b"\n") + 1
    more = read_known_host(before + b"\nhost ssh-ed25519 " + KEY + end, "host", 22, 22)
    assert len(more.keys["ssh-ed25519"]) == len(found.keys.get("ssh-ed25519", set()) | more.keys["ssh-ed25519"])
    assert (more.revoked, more.unread, more.has_authority) == (found.revoked, found.unread, found.has_authority)


test_known_hosts, test_many_known_hosts = by_day_and_by_night(
    check_known_hosts, st.lists(LINES, max_size=5), st.sampled_from([b"\n", b"\r\n"])
)


# What Parallels answers


class Answers(Prlctl):
    """Parallels' programs with made-up answers."""

    def __init__(self, answers: dict[tuple[str, ...], str]) -> None:
        super().__init__(lambda: (0, "", ""), sleep=self._pass, clock=lambda: self._now, mends=False)
        self._now = 0.0
        self._answers = answers

    def _pass(self, seconds: float) -> None:
        self._now += seconds

    def run_once(self, program: str, args: Any, _limit: float, _keep_open: Any = ()) -> Result:
        given = next((text for key, text in self._answers.items() if key == (program, *args)[: len(key)]), None)
        return Result([program, *args], 255 if given is None else 0, given or "", "")


INFO = json.loads((FIXTURES / "info_20_windows_arm64.json").read_text(encoding="utf-8"))
SNAPSHOTS = json.loads((FIXTURES / "snapshot_list.json").read_text(encoding="utf-8"))
SERVER = json.loads((FIXTURES / "server_info.json").read_text(encoding="utf-8"))
ROWS = [{"uuid": UUID, "status": "stopped", "ip_configured": "-", "name": "Win"}]
NOISE = st.sampled_from(["", "", "", "progress 5 %\r\n", "[", "]", "{", "\\", "\x00\x1b[0m", "\ufeff", "{}", "[]"])


# Deeper than Python reads on a Mac.
DEEP = st.sampled_from(["[" * 1200, '{"a":' * 1200, "[" * 1200 + "]" * 1200, "[[" * 600 + '{"a": 1}'])


@st.composite
def answers(draw: st.DrawFn, value: Any) -> str:
    """Return what prlctl may print: JSON that is nearly right, with noise around it, or cut off."""
    text = json.dumps(draw(changed(value)), ensure_ascii=draw(st.booleans()))
    text = draw(spoilt(text.encode("utf-8", "replace"))).decode("utf-8", "replace")
    return draw(NOISE) + text + draw(NOISE)


def check_vm(rows: str, info: str, snapshots: str) -> None:
    def prl() -> Prlctl:
        return Answers(
            {("prlctl", "list", "-a"): rows, ("prlctl", "list", "-i"): info, ("prlctl", "snapshot-list"): snapshots}
        )

    for work in (lambda: get_vm(prl(), UUID).result(), lambda: [vm.result() for vm in list_vms(prl())]):
        result = told(work)
        if result is not None:
            json.dumps(result).encode()


test_vms, test_many_vms = by_day_and_by_night(check_vm, answers(ROWS), answers(INFO), answers(SNAPSHOTS))


def check_mac(server: str, facts: str, version: str) -> None:
    answered = {
        ("prlsrvctl", "info", "--license"): facts,
        ("prlsrvctl", "info", "--json"): server,
        ("prlctl", "--version"): version,
    }
    told(lambda: read_mac(Answers(answered)))


test_macs, test_many_macs = by_day_and_by_night(
    check_mac, answers(SERVER), answers({"edition": "pro", "is_expired": "no", "serial": "X"}), ANY_TEXT
)


def check_parser(text: str, expect: type) -> None:
    value = parse_json(text, expect)
    assert value is None or isinstance(value, expect)


test_parser, test_parser_at_length = by_day_and_by_night(
    check_parser, st.one_of(answers(INFO), VALUES.map(json.dumps), ANY_TEXT, DEEP), st.sampled_from([list, dict])
)


# Bundles

DESCRIPTOR = b"""<?xml version="1.0" encoding="UTF-8"?>
<Parallels_disk_image Version="1.0"><StorageData><Storage><Image>
<GUID>{5fbaabe3-6958-40ff-92a7-860e329aab41}</GUID><Type>Compressed</Type><File>harddisk1.hds</File>
</Image></Storage></StorageData><Snapshots><Shot><GUID>{5fbaabe3-6958-40ff-92a7-860e329aab41}</GUID>
<ParentGUID>{00000000-0000-0000-0000-000000000000}</ParentGUID></Shot></Snapshots></Parallels_disk_image>"""
CONFIG = b"""<?xml version="1.0" encoding="UTF-8"?>
<ParallelsVirtualMachine><Identification><VmUuid>{de22df32-80e2-4e92-ba4b-efb3a66cf092}</VmUuid>
<LinkedVmUuid></LinkedVmUuid></Identification></ParallelsVirtualMachine>"""
ODD_XML = st.sampled_from(
    [
        b"",
        b"<" * 100,
        b"<a>" * 20_000,
        b"<a>" * 20_000 + b"</a>" * 20_000,
        b'<?xml version="1.0" encoding="none-such"?><a/>',
        b'<?xml version="1.0" encoding="utf-7"?><a/>',
        b'<?xml version="1.0" encoding="shift_jis"?><a/>',
        b'<?xml version="9"?><a/>',
        b'<!DOCTYPE a [<!ENTITY b "c"><!ENTITY d "&b;&b;">]><a><VmUuid>&d;</VmUuid><File>&d;</File></a>',
        b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a>&b;</a>',
        b"<a><Image><GUID>{5fbaabe3-6958-40ff-92a7-860e329aab41}</GUID><File>&#0;</File></Image></a>",
        b"\xff\xfe<\x00a\x00",
    ]
)


@pytest.fixture(name="bundle", scope="module")
def fixture_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bundle.pvm")


class TestBundles:
    """A class, because a fixture of the function would be the same for all inputs."""

    bundle: Path

    @pytest.fixture(autouse=True)
    def use(self, bundle: Path) -> None:
        type(self).bundle = bundle

    def check(self, config: bytes, descriptor: bytes) -> None:
        for name, data in (("config.pvs", config), ("VmInfo.pvi", config), ("DiskDescriptor.xml", descriptor)):
            (self.bundle / name).write_bytes(data)
        told(lambda: uuid_in(str(self.bundle)))
        told(lambda: layers_of(Disk("hdd0", str(self.bundle), "expanding", 1)))
        info = [{**INFO[0], "Home": f"{self.bundle}/"}]
        answered = {
            ("prlctl", "list", "-a"): json.dumps(ROWS),
            ("prlctl", "list", "-i"): json.dumps(info),
            ("prlctl", "snapshot-list"): "",
        }
        told(lambda: get_vm(Answers(answered), UUID).result())

    @fuzz(FEW, spoilt(CONFIG) | ODD_XML, spoilt(DESCRIPTOR) | ODD_XML)
    def test_xml(self, config: bytes, descriptor: bytes) -> None:
        self.check(config, descriptor)

    @pytest.mark.nightly
    @fuzz(MANY, spoilt(CONFIG) | ODD_XML, spoilt(DESCRIPTOR) | ODD_XML)
    def test_much_xml(self, config: bytes, descriptor: bytes) -> None:
        self.check(config, descriptor)
