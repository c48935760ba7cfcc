# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SharePoint through Microsoft Graph, against the stand-in of it. What all stores promise is in tests/stores."""

from __future__ import annotations

import json
import stat
from urllib.parse import parse_qs, urlsplit

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common import machine
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import Interrupted, TaskError
from ansible_collections.macops.parallels.plugins.module_utils._common.retry import Retries, RetryLater
from ansible_collections.macops.parallels.plugins.module_utils._http.session import Http
from ansible_collections.macops.parallels.plugins.module_utils._link.check import LinkCheck
from ansible_collections.macops.parallels.plugins.module_utils._link.report import Question
from ansible_collections.macops.parallels.plugins.module_utils._stores.base import Conflict, StoreOptions
from ansible_collections.macops.parallels.plugins.module_utils._stores.body import Content
from ansible_collections.macops.parallels.plugins.module_utils._stores.sharepoint.address import parse_address
from ansible_collections.macops.parallels.plugins.module_utils._stores.sharepoint.graph import cloud_of
from ansible_collections.macops.parallels.plugins.module_utils._stores.sharepoint.store import (
    LARGEST_RANGE,
    SharePointStore,
)
from ansible_collections.macops.parallels.plugins.module_utils._stores.upload import Upload, Wanted
from ansible_collections.macops.parallels.tests.support.fake_graph import (
    CLIENT_ID,
    CLIENT_SECRET,
    TENANT_ID,
    FakeGraph,
)

UNIT = 320 * 1024
FOLDER = "golden images"
DESTINATION = "sharepoint://contoso/mac/Documents/golden%20images"


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def graph(home):
    with FakeGraph() as running:
        running.documents = running.library("mac", "Documents", FOLDER)
        yield running


@pytest.fixture
def open_graph(graph):
    """Return a function that opens the library, its options changed."""

    def opened(destination=DESTINATION, clock=None, **changes):
        options = {
            "tenant_id": TENANT_ID,
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "endpoint_url": graph.public_url,
            "ca_path": graph.ca_path,
            "part_size": UNIT,
            "timeout": 10.0,
            **changes,
        }
        return SharePointStore(destination, StoreOptions(**options), **({"clock": clock} if clock else {}))

    return opened


@pytest.fixture
def upload(open_graph, image, retries):
    """Return a function that uploads the image."""

    def uploading(store=None, report=lambda done, total: None, notice=lambda sentence: None, **changes):
        wanted = Wanted(**{"src": image.path, "name": image.name, "sha256": image.sha256, **changes})
        return Upload(store or open_graph(), wanted, retries, report=report, notice=notice).run()

    return uploading


def interrupt_after(size):
    """Return a report that ends a run as a signal does."""

    def report(done, _total):
        if done > size:
            raise Interrupted("the test wants it")

    return report


def notes(home):
    return sorted((home / ".ansible/macops.parallels/uploads").glob(".*.claim.json"))


# Addresses


@pytest.mark.parametrize(
    ("destination", "host", "site", "drive", "folder"),
    [
        ("sharepoint://contoso/mac/Documents/golden", "contoso.sharepoint.com", "sites/mac", "Documents", ("golden",)),
        ("sharepoint://Contoso/sites/mac/Docs", "contoso.sharepoint.com", "sites/mac", "Docs", ()),
        ("sharepoint://contoso/teams/it/Docs/a/b/", "contoso.sharepoint.com", "teams/it", "Docs", ("a", "b")),
        ("sharepoint://contoso/root/Docs/a", "contoso.sharepoint.com", "", "Docs", ("a",)),
        ("sharepoint://contoso.sharepoint.us/mac/Docs", "contoso.sharepoint.us", "sites/mac", "Docs", ()),
        (
            "sharepoint://contoso-my/personal/jane_contoso_com/Documents",
            "contoso-my.sharepoint.com",
            "personal/jane_contoso_com",
            "Documents",
            (),
        ),
        ("sharepoint://contoso/mac/Büro%20Docs/ä", "contoso.sharepoint.com", "sites/mac", "Büro Docs", ("ä",)),
    ],
)
def test_what_a_destination_names(destination, host, site, drive, folder):
    address = parse_address(destination)
    assert (address.host, address.site, address.drive, address.folder) == (host, site, drive, folder)


@pytest.mark.parametrize(
    ("destination", "words"),
    [
        ("sharepoint:///mac/Documents", "does not name a tenant"),
        ("sharepoint://contoso:443/mac/Documents", "does not name a tenant"),
        ("sharepoint://contoso", "does not name a document library"),
        ("sharepoint://contoso/mac", "does not name a document library"),
        ("sharepoint://contoso/sites/mac", "does not name a document library"),
        ("sharepoint://contoso/mac/Documents/../x", "must not contain '.' or '..'"),
    ],
)
def test_destinations_that_name_no_library(destination, words):
    with pytest.raises(TaskError) as caught:
        parse_address(destination)
    assert words in caught.value.message


@pytest.mark.parametrize("name", ['a"b', "a:b", "what?.pvmp", "~$a", " a", "a.", "CON", "com1", "a_vti_b", ".lock"])
def test_names_that_sharepoint_does_not_take(name):
    with pytest.raises(TaskError, match=r"does not accept .* as the name of a file or folder"):
        parse_address("sharepoint://contoso/mac/Documents").check(name)


def test_a_path_that_is_too_long():
    with pytest.raises(TaskError, match="longer than the 400 characters"):
        parse_address("sharepoint://contoso/mac/Documents/" + "a" * 200 + "/" + "b" * 180).check("image.pvmp")


@pytest.mark.parametrize(
    ("host", "endpoint_url", "login", "graph_url"),
    [
        ("contoso.sharepoint.com", None, "login.microsoftonline.com", "https://graph.microsoft.com"),
        ("contoso.sharepoint.us", None, "login.microsoftonline.us", "https://graph.microsoft.us"),
        ("contoso.sharepoint-mil.us", None, "login.microsoftonline.us", "https://dod-graph.microsoft.us"),
        ("contoso.sharepoint.cn", None, "login.chinacloudapi.cn", "https://microsoftgraph.chinacloudapi.cn"),
        ("x.sharepoint.com", "https://graph.microsoft.us/", "login.microsoftonline.us", "https://graph.microsoft.us"),
        ("x.sharepoint.com", "https://gate.example/graph/", "gate.example/graph", "https://gate.example/graph"),
    ],
)
def test_the_cloud(host, endpoint_url, login, graph_url):
    cloud = cloud_of(host, endpoint_url)
    assert (cloud.login, cloud.graph) == (f"https://{login}", graph_url)


@pytest.mark.parametrize("url", ["http://graph.microsoft.com", "graph.microsoft.com", "https://a@b", "https://b?x=1"])
def test_endpoints_that_are_refused(url):
    with pytest.raises(TaskError, match="endpoint_url must be the https:// address"):
        cloud_of("contoso.sharepoint.com", url)


# Tokens


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"client_secret": None}, "Set client_secret."),
        ({"tenant_id": None, "client_id": ""}, "Set tenant_id and client_id."),
        ({"username": "me", "password": "hush"}, "does not support username and password"),
    ],
)
def test_credentials_that_are_missing(open_graph, changes, words):
    with pytest.raises(TaskError) as caught:
        open_graph(**changes)
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"client_secret": "wrong"}, 0, "AADSTS7000215). The client_secret is wrong"),
        ({}, 7000222, "AADSTS7000222). The client_secret has expired"),
        ({"client_id": "nobody"}, 0, "The application client_id does not exist"),
        ({"tenant_id": "fabrikam.example"}, 0, "The tenant tenant_id does not exist"),
        ({}, 50194, "issued no token (401 invalid_client). Check tenant_id, client_id and client_secret."),
        ({"tenant_id": "../common"}, 0, "tenant_id must be the tenant's ID or its domain name"),
    ],
)
def test_a_login_that_is_refused(graph, open_graph, changes, error, words):
    graph.login_error = error
    with pytest.raises(TaskError) as caught:
        open_graph(**changes).look("x")
    assert words.replace("401", "400") in caught.value.message.replace("401", "400")
    assert CLIENT_SECRET not in str(caught.value.result())


def test_a_token_is_renewed_before_it_ends_and_when_it_is_refused(graph, open_graph):
    times = [0.0]
    store = open_graph(clock=lambda: times[0])
    store.look("x")
    store.look("x")
    assert len(graph.requests("POST")) == 1
    times[0] = 3600 - 299
    store.look("x")
    assert len(graph.requests("POST")) == 2
    graph.end_tokens()
    store.look("x")
    assert len(graph.requests("POST")) == 3


def test_a_token_that_ends_is_named(graph, open_graph):
    store = open_graph(token=graph.new_token(), tenant_id=None, client_id=None, client_secret=None)
    assert store.look("x") is None
    graph.end_tokens()
    with pytest.raises(TaskError, match="the token is not accepted or has expired"):
        store.look("x")
    assert graph.requests("POST") == []


# Where it is


@pytest.mark.parametrize(
    ("destination", "words"),
    [
        ("sharepoint://contoso/none/Documents", "has no site 'sites/none'"),
        ("sharepoint://fabrikam/mac/Documents", "fabrikam.sharepoint.com has no site 'sites/mac'"),
        (
            "sharepoint://contoso/mac/Pictures",
            "has no document library 'Pictures'. It has: Assets, Documents, Forms, Z",
        ),
        (
            "sharepoint://contoso/mac/Documents/none",
            "The folder 'none' does not exist in the document library 'Documents'",
        ),
    ],
)
def test_what_is_not_there(graph, open_graph, destination, words):
    for name in ("Forms", "Assets", "Z"):  # more than one page of them
        graph.library("mac", name)
    with pytest.raises(TaskError) as caught:
        open_graph(destination).check("image.pvmp", Content(1))
    assert words in caught.value.message


def test_a_library_goes_by_its_name_and_its_address(graph, open_graph):
    for name in ("documents", "Shared%20Documents"):
        open_graph(f"sharepoint://contoso/mac/{name}").check("image.pvmp", Content(1), write=False)


def test_a_site_that_is_not_open_to_the_application(graph, open_graph):
    graph.may_read = False
    with pytest.raises(TaskError, match=r"403 accessDenied.*Sites\.Selected.*role write"):
        open_graph().look("x")


def test_a_list_in_pages(graph, open_graph):
    store = open_graph()
    for number in range(7):
        store.write(f"{number}.txt", b"x" * number)
    assert [(each.name, each.size) for each in store.list()] == [(f"{number}.txt", number) for number in range(7)]
    with pytest.raises(TaskError, match=r"The folder .* does not exist"):
        open_graph(DESTINATION + "/none").list()


def test_a_list_that_goes_on_elsewhere_gets_no_token(graph, open_graph):
    store = open_graph()
    for number in range(4):
        store.write(f"{number}.txt", b"x")
    graph.public_url = "https://elsewhere.example"
    with pytest.raises(TaskError, match=r"continues a list at elsewhere\.example\. No token was sent there"):
        store.list()


def test_a_folder_in_place_of_a_file(graph, open_graph):
    graph.library("mac", "Documents", f"{FOLDER}/image.pvmp")
    with pytest.raises(TaskError, match="is a folder"):
        open_graph().look("image.pvmp")


def test_a_file_that_is_too_large(open_graph):
    with pytest.raises(TaskError, match=r"the maximum is 268\.4 GB"):
        open_graph().check("image.pvmp", Content(300 * 1024**3))


def test_small_files_that_are_not_small(open_graph):
    with pytest.raises(TaskError, match="Remove old records"):
        open_graph().write("catalog.json", b"x" * (4 * 1024 * 1024 + 1))


# Uploads


@pytest.mark.parametrize(
    ("asked", "sent"),
    [(None, LARGEST_RANGE), (1, UNIT), (1024 * 1024, 3 * UNIT), (10**12, LARGEST_RANGE), (2 * UNIT, 2 * UNIT)],
)
def test_ranges_are_multiples_of_the_unit(open_graph, asked, sent):
    assert open_graph(part_size=asked)._range == sent
    assert LARGEST_RANGE % UNIT == 0
    assert LARGEST_RANGE < 60 * 1024 * 1024 <= LARGEST_RANGE + UNIT


def test_an_upload_leaves_nothing_but_the_image(graph, home, upload, image):
    assert upload().changed
    assert set(graph.files(graph.documents, FOLDER)) == {image.name, f"{image.name}.sha256"}
    assert graph.uploads == {}
    assert notes(home) == []
    assert len(graph.requests("PUT", "/_api/upload/")) == -(-image.size // UNIT)


def test_the_session_is_kept_where_only_the_user_reads_it(graph, home, upload):
    with pytest.raises(Interrupted):
        upload(report=interrupt_after(5 * UNIT))
    (note,) = notes(home)
    assert stat.S_IMODE(note.stat().st_mode) == 0o600
    assert stat.S_IMODE(note.parent.stat().st_mode) == 0o700
    content = json.loads(note.read_text().splitlines()[0])
    assert parse_qs(urlsplit(content["url"]).query)["tempauth"][0] in graph.uploads


def test_a_run_goes_on_where_another_was_interrupted(graph, home, upload, image):
    with pytest.raises(Interrupted):
        upload(report=interrupt_after(5 * UNIT))
    uploaded = upload()
    assert uploaded.resumed_from == 5 * UNIT
    assert uploaded.bytes_sent == image.size - 5 * UNIT
    assert graph.files(graph.documents, FOLDER)[image.name] == image.data
    assert notes(home) == []


@pytest.mark.parametrize("hardware", ["another Mac", None])
@pytest.mark.parametrize("same_bytes", [True, False])
def test_a_note_that_was_copied_to_another_machine_is_not_used(
    graph, home, upload, image, monkeypatch, hardware, same_bytes
):
    """The run on the first machine may still be sending: its session is neither resumed nor canceled."""
    with pytest.raises(Interrupted):
        upload(report=interrupt_after(5 * UNIT))
    (theirs,) = graph.uploads
    monkeypatch.setattr(machine, "hardware_id", lambda: hardware)
    if not same_bytes:
        with open(image.path, "r+b") as handle:
            handle.write(b"other bytes")
    notices = []
    assert upload(notice=notices.append, sha256=None).resumed_from == 0
    assert list(graph.uploads) == [theirs]
    assert notices == []


def test_an_answer_that_the_killed_run_did_not_get_is_known_from_the_session(graph, home, upload, image):
    with pytest.raises(Interrupted):
        upload(report=interrupt_after(5 * UNIT))
    (session,) = graph.uploads.values()
    (note,) = notes(home)
    # As if the last range before the kill had arrived whole: it was noted before its last byte went out.
    known = json.loads(note.read_text().splitlines()[0])["digests"]
    assert set(known) == {str(4 * UNIT), str(5 * UNIT)}
    with session.path.open("r+b") as handle:
        handle.truncate(4 * UNIT)
    session.received = 4 * UNIT
    assert upload().resumed_from == 4 * UNIT
    assert graph.files(graph.documents, FOLDER)[image.name] == image.data


@pytest.mark.parametrize("spoil", ["digests", "url", "marks", "everything"])
def test_a_session_that_is_not_known_to_have_our_bytes_is_not_gone_on_with(graph, home, upload, image, spoil):
    with pytest.raises(Interrupted):
        upload(report=interrupt_after(5 * UNIT))
    (note,) = notes(home)
    content = json.loads(note.read_text().splitlines()[0])
    if spoil == "digests":
        content["digests"] = dict.fromkeys(content["digests"], "0" * 64)
    elif spoil == "url":
        content["url"] = f"{graph.public_url}/_api/upload/x?tempauth=none"
    elif spoil == "marks":
        content["marks"] = ["0" * 16]
    else:
        content = {"schema": content["schema"], "digests": 1}
    note.write_text(json.dumps(content))
    told = []
    uploaded = upload(notice=told.append)
    assert uploaded.resumed_from == 0
    assert graph.files(graph.documents, FOLDER)[image.name] == image.data
    assert notes(home) == []
    assert [sentence.partition(" for ")[0] for sentence in told] == (
        ["Removed an upload session"] if spoil == "marks" else []
    )


def test_a_session_for_an_upload_that_may_not_overwrite_is_not_used_for_one_that_may(graph, upload, image, tmp_path):
    with pytest.raises(Interrupted):
        upload(report=interrupt_after(5 * UNIT))
    uploaded = upload(overwrite=True)
    assert uploaded.resumed_from == 0
    assert graph.files(graph.documents, FOLDER)[image.name] == image.data


def test_notes_of_sessions_that_are_over_are_removed(graph, home, upload, image):
    graph.session_lasts = -1.0
    with pytest.raises((Interrupted, TaskError)):
        upload(report=interrupt_after(5 * UNIT))
    graph.session_lasts = 3600.0
    (home / ".ansible/macops.parallels/uploads").mkdir(parents=True, exist_ok=True)
    over = home / ".ansible/macops.parallels/uploads" / f".{'0' * 32}.claim.json"
    left = {"schema": 1, "url": "https://x", "overwrite": False, "digests": {"0": ""}, "marks": []}
    over.write_text(json.dumps({**left, "expires": "2020-01-29T09:21:55.523Z"}))
    alive = over.with_name(f".{'1' * 32}.claim.json")
    alive.write_text(json.dumps({**left, "expires": "2099-01-29T09:21:55Z"}))
    upload()
    assert notes(home) == [alive]


def test_a_session_that_ends_in_the_middle_is_begun_anew(graph, upload, image, pauses):
    ended = []

    def end(done, _total):
        if done > 5 * UNIT and not ended:
            ended.append(done)
            graph.end_sessions()

    uploaded = upload(report=end)
    assert uploaded.resumed_from == 0
    assert uploaded.bytes_sent > image.size
    assert pauses == [0]
    assert graph.files(graph.documents, FOLDER)[image.name] == image.data


def test_a_home_that_cannot_be_written_costs_no_more_than_the_way_back(graph, monkeypatch, upload, image):
    monkeypatch.setenv("HOME", "/dev/null")
    assert upload().changed
    assert graph.files(graph.documents, FOLDER)[image.name] == image.data


def test_a_service_that_does_not_wait_for_the_word_to_publish(graph, upload, image):
    graph.knows_defer_commit = False
    assert upload().changed
    assert graph.files(graph.documents, FOLDER)[image.name] == image.data


def test_a_file_that_appears_before_the_session_begins(graph, open_graph, image):
    store = open_graph()
    store.write("image.pvmp", b"theirs")
    with pytest.raises(Conflict):
        store._new_session("image.pvmp", 10, overwrite=False)


def test_an_application_that_may_not_write_is_told_before_anything_is_sent(graph, upload):
    graph.may_write = False
    with pytest.raises(TaskError, match=r"403 accessDenied to the upload start.*Sites\.Selected"):
        upload()
    assert graph.requests("PUT") == []


def test_a_library_that_is_full_while_it_told_no_size(graph, open_graph, image, monkeypatch):
    monkeypatch.setattr(FakeGraph, "_drive", lambda self, exchange, drive: exchange.json(200, {"id": drive}))
    graph.room = 1000
    with pytest.raises(TaskError, match="507 quotaLimitReached to the upload start: the site is full"):
        open_graph().check(image.name, Content(image.size, ("0" * 16,)))


def test_no_sentence_holds_the_address_of_a_session(graph, open_graph, upload, image, monkeypatch):
    monkeypatch.setattr(FakeGraph, "_put_range", lambda self, exchange, key, upload: exchange.json(400, {}))
    with pytest.raises(TaskError) as caught:
        upload()
    (key,) = graph.uploads
    assert "answered 400 to the upload" in caught.value.message
    assert key not in str(caught.value.result())
    assert "tempauth" not in str(caught.value.result())


def test_an_address_for_a_download_that_is_not_https(graph, open_graph, upload, image):
    store = open_graph()
    upload(store)
    graph.public_url = "http://127.0.0.1:1"
    with pytest.raises(TaskError, match="returned an address for the transfer that is not HTTPS"):
        list(store.blocks(image.name))


def test_a_download_goes_on_from_an_offset(graph, open_graph, image, upload):
    upload()
    store = open_graph()
    assert b"".join(store.blocks(image.name, 100)) == image.data[100:]
    with pytest.raises(RetryLater, match="no longer exists"):
        list(store.blocks("none"))
    assert store.digest(image.name, Retries(0)) == (image.sha256, image.size)


# Links


def check_link(graph, url):
    question = Question(url=url, proof="headers")
    return LinkCheck(question, lambda cookies: Http(ca_path=graph.ca_path, cookies=cookies), Retries(0)).run()


def test_a_link_for_anyone(graph, open_graph, upload, image):
    url = upload().url
    assert url.endswith("?download=1")
    assert url == open_graph().share(image.name)
    report = check_link(graph, url)
    assert (report.verdict, report.size) == ("direct", image.size)


def test_the_link_that_people_copy_is_a_page(graph, upload):
    report = check_link(graph, upload().url.partition("?")[0])
    assert report.verdict == "html"


def test_a_link_that_needs_its_cookie_back(graph, upload):
    url = upload().url
    graph.needs_cookie = True
    report = check_link(graph, url)
    assert report.verdict == "needs_cookies"
    assert "only to clients that send back the cookie" in report.reasons[0]


def test_a_tenant_that_forbids_links(graph, open_graph, upload, image):
    graph.anonymous_links = False
    with pytest.raises(TaskError, match=r"created no link to .* that works for anyone \(403 accessDenied\)"):
        upload()
    assert graph.files(graph.documents, FOLDER)[image.name] == image.data
    with pytest.raises(TaskError, match="Publish the image first"):
        open_graph().share("none.pvmp")


@pytest.mark.parametrize(("ends", "refused"), [("2026-01-01T00:00:00Z", True), ("2099-01-01T00:00:00Z", False)])
def test_a_policy_that_lets_links_end(graph, open_graph, upload, image, ends, refused):
    url = upload().url
    graph.link_ends = ends
    if refused:
        with pytest.raises(TaskError, match="A policy of contoso"):
            open_graph().share(image.name)
    else:
        assert open_graph().share(image.name) == url


# Answers that are not those of Graph

PAGE = b"<html><title>Sign in</title>"
FILE = {"id": "1", "name": "a.pvmp", "size": 5, "eTag": '"e"', "file": {}}


@pytest.fixture
def odd(graph, monkeypatch):
    """Return a function that answers requests with a path of this kind with any body, and a status of success."""
    route = graph._route

    def answer(path, body, method="GET", status=200):
        def answer_oddly(exchange):
            if exchange.method == method and path in exchange.path:
                exchange.body()
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                exchange.send(status, {"Content-Type": "application/json"}, data)
            else:
                route(exchange)

        monkeypatch.setattr(graph, "_route", answer_oddly)

    return answer


def without(*names, **changes):
    return {key: value for key, value in {**FILE, **changes}.items() if key not in names}


@pytest.mark.parametrize(
    "item",
    [
        without("size"),
        without(size=None),
        without(size="5"),
        without(size=-1),
        without(size=5.5),
        without(size=True),
        without("id"),
        without("file"),
        [FILE],
        {},
        None,
        PAGE,
        b"",
        b'{"id": "1", "file": {}, "size": 5',
    ],
)
def test_what_is_not_a_file_is_not_an_empty_one(odd, open_graph, item):
    odd("a.pvmp", item)
    with pytest.raises((TaskError, RetryLater), match=r"answered oddly to|is not JSON"):
        open_graph().look("a.pvmp")


@pytest.mark.parametrize(
    "page",
    [
        {},
        {"value": None},
        {"value": FILE},
        {"value": ["a.pvmp"]},
        {"value": [without("size")]},
        {"value": [without("name")]},
        {"value": [without(name=5)]},
        {"value": [without("file")]},
        {"value": [], "@odata.nextLink": ""},
        {"value": [], "@odata.nextLink": 5},
        {"value": [], "@odata.nextLink": ["https://a.example"]},
        [FILE],
        PAGE,
        b"",
        b'{"value": [',
    ],
)
def test_a_list_that_cannot_be_read_is_not_empty(odd, open_graph, page):
    odd("/children", page)
    store = open_graph()
    for operation in (store.list, store.can_list):
        with pytest.raises((TaskError, RetryLater), match=r"answered oddly to|is not JSON"):
            operation()


def test_a_list_that_continues_with_itself(graph, odd, open_graph):
    first = f"{graph.public_url}/v1.0/children"
    odd("/children", {"value": [], "@odata.nextLink": first})
    with pytest.raises(TaskError, match="does not show how the list continues"):
        open_graph().list()


def test_what_is_neither_a_file_nor_a_folder_is_not_in_the_list(odd, open_graph):
    others = [{"id": str(number), "name": "x.pvmp", kind: {}} for number, kind in enumerate(("folder", "package"))]
    odd("/children", {"value": [FILE, *others]})
    assert [(each.name, each.size, each.version) for each in open_graph().list()] == [("a.pvmp", 5, '"e"')]


def test_an_application_that_may_not_list(odd, open_graph):
    odd("/children", {"error": {"code": "accessDenied"}}, status=403)
    assert open_graph().can_list() is False


@pytest.mark.parametrize("operation", ["look", "read", "delete"])
def test_a_file_of_a_missing_folder_is_not_a_missing_file(graph, open_graph, operation):
    store = open_graph("sharepoint://contoso/mac/Documents/misspelt")
    with pytest.raises(TaskError, match="The folder 'misspelt' does not exist"):
        getattr(store, operation)("catalog.json")
    assert not getattr(open_graph(), operation)("catalog.json")


def test_a_file_without_a_version_is_not_read(odd, open_graph):
    odd("catalog.json", without("eTag"))
    with pytest.raises(TaskError, match="without a version"):
        open_graph().read("catalog.json")


@pytest.mark.parametrize("ranges", [None, {}, "0-", ["²-"], ["x"], [None], [-5], [["0-"]]])
def test_a_session_that_does_not_show_what_it_has_is_not_complete(graph, odd, open_graph, upload, image, ranges):
    """It seemed to have all bytes."""
    odd("/_api/upload/", {"nextExpectedRanges": ranges, "expirationDateTime": 5})
    with pytest.raises(Interrupted):
        upload(report=interrupt_after(3 * UNIT))
    with pytest.raises(TaskError, match="does not report how many bytes of the file it has"):
        upload()
    assert graph.files(graph.documents, FOLDER) == {}


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_a_page_does_not_confirm_that_a_file_is_published(graph, odd, upload, method):
    odd("/_api/upload/", PAGE, method)
    with pytest.raises(TaskError, match="is not JSON"):
        upload()
    assert graph.files(graph.documents, FOLDER) == {}


def test_a_page_does_not_confirm_that_a_small_file_is_written(odd, open_graph):
    odd("/content", PAGE, "PUT")
    with pytest.raises(RetryLater, match="is not JSON"):
        open_graph().write("catalog.json", b"{}")


@pytest.mark.parametrize(
    "permission",
    [
        {},
        {"link": "https://x"},
        {"link": {"webUrl": "https://x"}},
        {"link": {"webUrl": 5, "scope": "anonymous"}},
        {"link": {"webUrl": "https://x", "scope": ["anonymous"]}},
        {"link": {"webUrl": "https://x", "scope": "anonymous"}, "expirationDateTime": "soon"},
        {"link": {"webUrl": "https://x", "scope": "anonymous"}, "expirationDateTime": 5},
    ],
)
def test_a_link_that_is_not_known_to_work_for_anyone(graph, odd, open_graph, upload, image, permission):
    upload()
    odd("/createLink", permission, "POST")
    with pytest.raises(TaskError, match=r"created no link|does not show when the link expires"):
        open_graph().share(image.name)


@pytest.mark.parametrize("token", ["", "a b", "a\r\nX: b", "é", None, 5, ["a"]])
def test_a_token_that_is_not_one(odd, open_graph, token):
    odd("/oauth2/", {"access_token": token, "error_codes": [["a"], None]}, "POST")
    with pytest.raises(TaskError, match="issued no token"):
        open_graph().list()
