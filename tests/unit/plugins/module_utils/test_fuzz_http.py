# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP answers of any shape: a verdict on a link, and from a store a value or an error that says what to do.

The answers go through the libraries' own code, over a pair of sockets: only the connection is not a real one.
"""

from __future__ import annotations

import functools
import json
import socket
from collections.abc import Iterator
from typing import Any, Callable

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._catalog.catalog import CatalogFile
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._common.retry import Retries, RetryLater
from ansible_collections.macops.parallels.plugins.module_utils._common.text import is_printable
from ansible_collections.macops.parallels.plugins.module_utils._http.session import Http
from ansible_collections.macops.parallels.plugins.module_utils._link.check import LinkCheck
from ansible_collections.macops.parallels.plugins.module_utils._link.expiry import ends_by_policy, read_expiry
from ansible_collections.macops.parallels.plugins.module_utils._link.report import VERDICTS, Question
from ansible_collections.macops.parallels.plugins.module_utils._link.route import Networks
from ansible_collections.macops.parallels.plugins.module_utils._stores import folder_lock
from ansible_collections.macops.parallels.plugins.module_utils._stores.base import Conflict, StoreOptions
from ansible_collections.macops.parallels.plugins.module_utils._stores.body import Content
from ansible_collections.macops.parallels.plugins.module_utils._stores.registry import open_store
from ansible_collections.macops.parallels.plugins.module_utils._stores.sharepoint.upload_session import Session
from ansible_collections.macops.parallels.tests.support.fuzz import (
    ANY_TEXT,
    ODD_TEXT,
    changed,
    fuzz_by_day_and_by_night,
    spoilt,
)
from ansible_collections.macops.parallels.tests.support.fuzz_wire import Wire, answer
from hypothesis import strategies as st

by_day_and_by_night = functools.partial(fuzz_by_day_and_by_night, 100, 1000)
SIZE = 1000
IMAGE = b"i" * SIZE
HUGE = "9" * 300


WIRE = Wire()


@pytest.fixture(autouse=True)
def no_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no name be resolved: what a name service says is not what is tried here, and it may be slow."""

    def unknown(*_unused: Any, **_more: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "no name service")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)


@pytest.fixture(autouse=True, scope="module")
def _no_network() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch, WIRE.instead_of_connections():
        patch.setenv("HOME", "/nonexistent")  # for the notes about upload sessions
        # A server that never lets a lock go is asked ten times a second; a second of that shows what a minute does.
        patch.setattr(folder_lock, "_WAIT", 1.0)
        yield


# Answers

STATUSES = st.sampled_from(
    ["200 OK", "206 Partial Content", "207 Multi-Status", "302 Found", "304 Not Modified", "401 No", "403 No", "404 No"]
    + [
        "416 No",
        "429 Slow",
        "500 Oops",
        "503 Later",
        "200",
        "206 \xff\x9b",
        "299 ?",
        "999 ?",
        "100 Continue",
        "OK 200",
        "",
    ]
)
VALUES = (
    ODD_TEXT
    | ANY_TEXT
    | st.sampled_from(
        [
            "1000",
            "01000",
            "+1000",
            "-1",
            "1_000",
            "1000, 1000",
            "1000, 999",
            "1e3",
            "9" * 400,
            "bytes 0-0/1000",
            "bytes 0-999/1000",
        ]
        + [
            "bytes 0-0/*",
            "bytes */1000",
            "bytes 5-1/2",
            "bytes 0-0/²",
            f"bytes 0-{HUGE}/{HUGE}",
            "items 0-0/1",
            "bytes=0-0",
        ]
        + [
            "chunked",
            "gzip",
            "identity",
            "deflate, gzip",
            "br",
            "text/html",
            "application/json; charset=none",
            "application/xml",
            'a;b="',
        ]
        + [
            '"etag"',
            'W/"etag"',
            '"',
            "Thu, 01 Jan 1970 00:00:00 GMT",
            "Mon, 99 Foo 99999 99:99:99 +9999",
            "Sun, 31 Dec 9999 23:59:59 -2359",
        ]
        + [
            "https://b.example/x",
            "//b.example",
            "/x",
            "http://b.example",
            "https://[::1",
            "https://b.example:99999/",
            "https://",
            "\xff",
            "file:///etc/passwd",
        ]
        + [
            "https://b.example:x/",
            "https://b.example/?" + "X-Amz-Date=99999999T999999Z&X-Amz-Expires=9&X-Amz-Signature=a",
            "javascript:1",
            "x" * 300,
        ]
        + [
            "Basic realm=",
            "Negotiate",
            "Bearer a, Basic b",
            "sha-256=:AAAA:",
            "sha-256=%",
            "MD5=x",
            "bytes",
            "none",
            "Nexus/3",
            "Artifactory/7",
            "1",
            "DAV, 2",
        ]
    )
)
NAMES = st.sampled_from(
    [
        "Content-Length",
        "Content-Range",
        "Content-Type",
        "Content-Encoding",
        "Transfer-Encoding",
        "Location",
        "ETag",
        "Date",
    ]
    + [
        "Last-Modified",
        "Accept-Ranges",
        "Retry-After",
        "WWW-Authenticate",
        "Set-Cookie",
        "Digest",
        "Repr-Digest",
        "Content-MD5",
    ]
    + [
        "Server",
        "DAV",
        "Allow",
        "X-JFrog-Version",
        "X-Checksum-Sha256",
        "X-Amz-Meta-Sha256",
        "Content-Disposition",
        "Connection",
        "Link",
        "X",
    ]
)


PART = answer(
    "206 Partial Content", {"Content-Range": f"bytes 0-{SIZE - 1}/{SIZE}", "Content-Length": str(SIZE)}, IMAGE
)
WHOLE = answer("200 OK", {"Content-Length": str(SIZE), "ETag": '"a"'}, IMAGE)
PAGE = answer("200 OK", {"Content-Type": "text/html"}, b"<html><title>\xf0\x9f\x94\x92 Sign in</title>")
MISSING = answer("404 Not Found", {"Content-Length": "0"}, b"")
MULTI = b"""<?xml version="1.0"?><D:multistatus xmlns:D="DAV:"><D:response><D:href>/images/a.pvmp</D:href>
<D:propstat><D:prop><D:resourcetype/><D:getcontentlength>5</D:getcontentlength>
<D:getlastmodified>Thu, 01 Jan 1970 00:00:00 GMT</D:getlastmodified></D:prop>
<D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response></D:multistatus>"""
LISTS = [
    {"files": [{"uri": "/a.pvmp", "size": 5, "sha2": "a" * 64}], "children": [{"uri": "/a.pvmp", "folder": False}]},
    {"items": [{"path": "/images/a.pvmp", "fileSize": 5}], "continuationToken": None},
    {"errors": [{"status": 403, "message": "not permitted to overwrite"}]},
    {"schema": 1, "records": []},
]


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """Return one answer: a usual one, one with odd headers, or one that is not HTTP."""
    what = draw(st.integers(0, 5))
    if what == 0:
        return draw(st.sampled_from([PART, WHOLE, PAGE, MISSING, answer("207 Multi-Status", {}, MULTI)]))
    if what == 1:
        return draw(st.binary(max_size=30) | spoilt(PART) | spoilt(PAGE))
    headers = draw(st.lists(st.tuples(NAMES, VALUES), max_size=5))
    if draw(st.booleans()):
        headers.append(("Content-Length", str(SIZE)))
    if draw(st.booleans()):
        headers.append(("Content-Range", f"bytes 0-{SIZE - 1}/{SIZE}"))
    lists = st.sampled_from(LISTS).flatmap(changed).map(lambda value: json.dumps(value).encode())
    body = draw(st.sampled_from([IMAGE, b"", b"<html><title>x", b"5\r\nabc"]) | spoilt(MULTI) | lists)
    lines = [f"HTTP/1.1 {draw(STATUSES)}", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join(lines).encode("utf-8", "replace") + b"\r\n\r\n" + body


SEVERAL = st.lists(answers(), min_size=1, max_size=4)


def check_link(given: list[bytes], proof: str, size: int | None, url: str) -> None:
    WIRE.use(given)
    report = LinkCheck(
        Question(url, size=size, sha256="a" * 64 if proof == "full" else None, proof=proof),
        lambda cookies: Http(timeout=5, cookies=cookies),
        Retries(1, lambda _seconds: None),
        networks=Networks(lambda _host: ["93.184.216.34"]),
        patience=5,
    ).run()
    assert report.verdict in VERDICTS
    assert report.verdict == "direct" or report.reasons
    json.dumps(report.result())


LINKS = st.sampled_from(
    ["https://a.example/a.pvmp", "https://a.example/a.pvmp?se=2026-01-01&sig=x", "https://1drv.ms/u/x"]
)
test_links, test_many_links = by_day_and_by_night(
    check_link, SEVERAL, st.sampled_from(["headers", "sample", "full"]), st.sampled_from([None, SIZE]), LINKS
)

QUERY = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "X-Amz-Date",
                "X-Amz-Expires",
                "X-Amz-Signature",
                "X-Goog-Date",
                "X-Goog-Expires",
                "se",
                "ske",
                "st",
                "sig",
                "sp",
            ]
            + ["Expires", "Signature", "Key-Pair-Id", "Policy", "temp_url_expires", "temp_url_sig", "q-sign-time", "si"]
            + ["AWSAccessKeyId", "GoogleAccessId", "OSSAccessKeyId"]
        ),
        VALUES
        | st.sampled_from(
            [
                "20260101T000000Z",
                "604800",
                "9" * 30,
                "2026-01-01T00:00:00Z",
                "1;²",
                "1;9" + "9" * 30,
                "eyJTdGF0ZW1lbnQiOlsxXX0=",
            ]
        ),
    ),
    max_size=5,
).map(lambda pairs: "https://a.example/a?" + "&".join(f"{name}={value}" for name, value in pairs))


def check_expiry(url: str) -> None:
    read_expiry(url)
    ends_by_policy(url)


test_expiry, test_many_expiries = by_day_and_by_night(check_expiry, QUERY)


def told(work: Callable[[], Any]) -> None:
    try:
        work()
    except (RetryLater, Conflict) as error:
        assert str(error)
    except TaskError as error:
        assert all(is_printable(line) for line in error.result()["msg"].split("\n"))


def check_store(given: list[bytes], method: str) -> None:
    options = StoreOptions(username="user", password="secret", timeout=5, https_method=method)
    retries = Retries(1, lambda _seconds: None)

    def opened() -> Any:
        WIRE.use(given)
        store = open_store("https://store.example/artifactory/repository/images", options)
        store._sleep = lambda _seconds: None
        return store

    told(lambda: opened().look("a.pvmp"))
    told(lambda: opened().read("catalog.json", 2000))
    told(lambda: opened().list())
    told(lambda: opened().check("a.pvmp", Content(SIZE)))
    told(lambda: opened().delete("a.pvmp"))
    told(lambda: opened().write("a.json", b"{}", if_absent=True))
    told(lambda: b"".join(opened().blocks("a.pvmp")))
    told(lambda: CatalogFile(opened(), retries, lambda _seconds: None).read())


test_stores, test_stores_all_night = by_day_and_by_night(
    check_store, SEVERAL, st.sampled_from(["auto", "put", "webdav"])
)


ITEM = {"id": "1", "name": "a.pvmp", "size": 5, "eTag": "e", "file": {}}
GRAPH = [
    {"id": "site,1,2"},
    {"value": [{"id": "b!1", "name": "Documents", "webUrl": "https://contoso.sharepoint.com/sites/mac/Documents"}]},
    {"id": "1", "name": "golden", "size": 0, "folder": {}},
    ITEM,
    {"value": [ITEM, {"id": "2", "name": "more", "folder": {}}]},
    {"value": [ITEM], "@odata.nextLink": "https://graph.microsoft.com/v1.0/next"},
    {"quota": {"total": 10**12, "remaining": 10**11}},
    {"uploadUrl": "https://contoso.sharepoint.com/up", "expirationDateTime": "2026-11-22T10:00:00Z"},
    {"nextExpectedRanges": ["0-"], "expirationDateTime": "2026-11-22T10:00:00Z"},
    {"link": {"scope": "anonymous", "webUrl": "https://contoso.sharepoint.com/:u:/s/x"}, "expirationDateTime": None},
    {"error": {"code": "accessDenied"}},
]


@st.composite
def graph_answers(draw: st.DrawFn) -> bytes:
    content = draw(st.sampled_from(GRAPH) | st.sampled_from(GRAPH).flatmap(changed))
    body = draw(st.just(json.dumps(content).encode()) | spoilt(json.dumps(content).encode()))
    headers = draw(st.lists(st.tuples(NAMES, VALUES), max_size=2)) if draw(st.integers(0, 3)) == 0 else []
    lines = [f"HTTP/1.1 {draw(st.just('200 OK') | STATUSES)}", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join(lines).encode("utf-8", "replace") + b"\r\n\r\n" + body


def check_sharepoint(given: list[bytes], token: str | None) -> None:
    keys = {"token": token} if token else {"tenant_id": "t", "client_id": "c", "client_secret": "s"}

    def opened() -> Any:
        WIRE.use(given)
        store = open_store("sharepoint://contoso/mac/Documents/golden", StoreOptions(timeout=5, **keys))
        if token:
            store._drive_id = "b!1"
        return store

    found = []

    def listed() -> None:
        found.extend(opened().list())

    told(lambda: found.append(opened().look("a.pvmp")))
    told(listed)
    assert all(isinstance(each.size, int) and each.size >= 0 and each.name for each in found if each is not None)
    told(lambda: opened().read("catalog.json", 2000))
    told(lambda: opened().check("a.pvmp", Content(SIZE)))
    told(lambda: opened().delete("a.pvmp"))
    told(lambda: opened().share("a.pvmp"))
    told(lambda: opened().write("a.json", b"{}", if_absent=True))
    told(lambda: b"".join(opened().blocks("a.pvmp", 3)))
    told(lambda: opened()._reached(Session("https://contoso.sharepoint.com/up", overwrite=False), SIZE))


test_sharepoint, test_sharepoint_all_night = by_day_and_by_night(
    check_sharepoint, st.lists(graph_answers(), min_size=1, max_size=4), st.sampled_from(["token", None])
)
