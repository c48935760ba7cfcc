# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers that answer in their own ways, and locks of writers that are gone."""

from __future__ import annotations

import os
import time

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._common.retry import RetryLater
from ansible_collections.macops.parallels.plugins.module_utils._stores import folder_lock
from ansible_collections.macops.parallels.plugins.module_utils._stores.base import CannotList, Stored, StoreOptions
from ansible_collections.macops.parallels.plugins.module_utils._stores.body import Content
from ansible_collections.macops.parallels.plugins.module_utils._stores.https.folder import HttpFolder
from ansible_collections.macops.parallels.plugins.module_utils._stores.https.propfind import parse_entries
from ansible_collections.macops.parallels.plugins.module_utils._stores.https.webdav_lock import WebDavLock
from ansible_collections.macops.parallels.plugins.module_utils._stores.registry import open_store
from ansible_collections.macops.parallels.plugins.module_utils._stores.temporary_names import TemporaryNames
from ansible_collections.macops.parallels.tests.support.https_store import Fault
from ansible_collections.macops.parallels.tests.support.scripted_server import ScriptedServer

DIGEST = "a" * 64
NOT_ALLOWED = "HTTP/1.1 405 Method Not Allowed\nContent-Length: 0\n"


@pytest.fixture
def answering(tmp_path):
    """Return a function that starts a server with an answer for each method, and opens it as a store."""
    servers = []

    def start(answers, **options):
        def serve(connection):
            while True:
                head = connection.request()
                if not head:
                    return
                answer = answers(head) if callable(answers) else answers.get(head.split()[0], NOT_ALLOWED)
                connection.say(answer if "\n\n" in answer else answer + "\n")

        server = ScriptedServer(serve, tls=tmp_path / f"tls{len(servers)}")
        servers.append(server.__enter__())
        return open_store(server.url, StoreOptions(ca_path=server.ca_path, timeout=5.0, **options))

    yield start
    for server in servers:
        server.__exit__()


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({"HEAD": "HTTP/1.1 200 OK\nContent-Length: 7\n"}, Stored("x", 7)),
        ({"HEAD": 'HTTP/1.1 200 OK\nContent-Length: 7\nETag: "e"\n'}, Stored("x", 7, None, '"e"')),
        ({"HEAD": f"HTTP/1.1 200 OK\nContent-Length: 7\nX-Checksum-Sha256: {DIGEST}\n"}, Stored("x", 7, DIGEST)),
        ({"HEAD": "HTTP/1.1 200 OK\nContent-Length: 7\nX-Checksum-Sha256: none\n"}, Stored("x", 7)),
        ({"HEAD": "HTTP/1.1 404 Not Found\nContent-Length: 0\n"}, None),
        ({"HEAD": "HTTP/1.1 410 Gone\nContent-Length: 0\n"}, None),
        (
            {
                "HEAD": "HTTP/1.1 405 Not Allowed\nContent-Length: 0\n",
                "GET": "HTTP/1.1 206 Partial Content\nContent-Range: bytes 0-0/99\nContent-Length: 1\n\nx",
            },
            Stored("x", 99),
        ),
        (
            {
                "HEAD": "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n",
                "GET": "HTTP/1.1 200 OK\nContent-Length: 12\n",
            },
            Stored("x", 12),
        ),
        (
            {
                "HEAD": "HTTP/1.1 501 Not Implemented\nContent-Length: 0\n",
                "GET": "HTTP/1.1 416 Range Not Satisfiable\nContent-Length: 0\n",
            },
            Stored("x", 0),
        ),
        (
            {
                "HEAD": "HTTP/1.1 405 Not Allowed\nContent-Length: 0\n",
                "GET": "HTTP/1.1 404 Not Found\nContent-Length: 0\n",
            },
            None,
        ),
    ],
)
def test_how_servers_tell_what_is_there(answering, answers, expected):
    assert answering(answers).look("x") == expected


def test_a_server_that_tells_no_size(answering):
    answers = {
        "HEAD": "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n",
        "GET": "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n0\n\n",
    }
    with pytest.raises(TaskError, match="does not report the size"):
        answering(answers).look("x")


@pytest.mark.parametrize(
    ("options", "atomic"),
    [
        ("HTTP/1.1 200 OK\nDAV: 1, 2\nContent-Length: 0\n", True),
        ("HTTP/1.1 200 OK\nAllow: GET, PUT, MOVE\nContent-Length: 0\n", True),
        ("HTTP/1.1 200 OK\nAllow: GET,HEAD,OPTIONS\nContent-Length: 0\n", False),
        ("HTTP/1.1 204 No Content\nContent-Length: 0\n", False),
        ("HTTP/1.1 405 Not Allowed\nContent-Length: 0\n", False),
        ("HTTP/1.1 404 Not Found\nContent-Length: 0\n", False),
        ("HTTP/1.1 501 Not Implemented\nContent-Length: 0\n", False),
    ],
)
def test_which_way_a_server_is_written_to(answering, options, atomic):
    assert answering({"OPTIONS": options}).atomic is atomic


@pytest.mark.parametrize(("method", "atomic"), [("webdav", True), ("put", False)])
def test_the_caller_may_know_better(answering, method, atomic):
    assert answering({}, https_method=method).atomic is atomic


def test_a_server_in_trouble_is_no_server_without_webdav(answering):
    with pytest.raises(RetryLater, match="503"):
        _unused = answering({"OPTIONS": "HTTP/1.1 503 Busy\nContent-Length: 0\n"}).atomic


def listing(*responses):
    text = f'<?xml version="1.0"?><d:multistatus xmlns:d="DAV:">{"".join(responses)}</d:multistatus>'
    return f"HTTP/1.1 207 Multi-Status\nContent-Type: application/xml\nContent-Length: {len(text)}\n\n{text}"


def response(href, properties):
    return (
        f"<d:response><d:href>{href}</d:href><d:propstat><d:prop>{properties}</d:prop>"
        "<d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response>"
    )


def test_a_full_store_is_found_before_the_body(answering):
    own = response(
        "/", "<d:resourcetype><d:collection/></d:resourcetype><d:quota-available-bytes>1000</d:quota-available-bytes>"
    )
    store = answering({"PROPFIND": listing(own)}, https_method="webdav")
    store.check("x", Content(1000), write=False)
    with pytest.raises(TaskError, match=r"has .*\(1000 bytes\) free .* but the image needs .*\(1001 bytes\)") as caught:
        store.check("x", Content(1001), write=False)
    assert caught.value.details == {"free_bytes": 1000, "needed_bytes": 1001}


@pytest.mark.parametrize("status", ["400 Bad Request", "403 Forbidden", "405 Not Allowed", "501 Not Implemented"])
def test_a_server_without_lists_will_do(answering, status):
    store = answering({"PROPFIND": f"HTTP/1.1 {status}\nContent-Length: 0\n"}, https_method="webdav")
    store.check("x", Content(1000), write=False)


def test_a_page_in_place_of_a_list(answering):
    """What a captive portal or a login page says."""
    page = "<html><body>Sign in<br></body></html>"
    answer = f"HTTP/1.1 207 Multi-Status\nContent-Length: {len(page)}\n\n{page}"
    store = answering({"PROPFIND": answer}, https_method="webdav")
    with pytest.raises(RetryLater, match="cannot be parsed"):
        store.check("x", Content(1000), write=False)


NGINX = b"""<?xml version="1.0" encoding="utf-8" ?>
<D:multistatus xmlns:D="DAV:">
<D:response>
<D:href>/images/</D:href>
<D:propstat>
<D:prop>
<D:getlastmodified>Mon, 23 Nov 2026 03:21:55 GMT</D:getlastmodified>
<D:resourcetype><D:collection/></D:resourcetype>
</D:prop>
<D:status>HTTP/1.1 200 OK</D:status>
</D:propstat>
</D:response>
<D:response>
<D:href>/images/B%C3%BCro%20%31.pvmp</D:href>
<D:propstat>
<D:prop>
<D:getcontentlength>5000001</D:getcontentlength>
<D:getlastmodified>Mon, 23 Nov 2026 03:21:56 GMT</D:getlastmodified>
<D:resourcetype></D:resourcetype>
</D:prop>
<D:status>HTTP/1.1 200 OK</D:status>
</D:propstat>
</D:response>
</D:multistatus>
"""
WSGIDAV = (
    b"<?xml version='1.0' encoding='UTF-8'?>\n<ns0:multistatus xmlns:ns0=\"DAV:\"><ns0:response>"
    b"<ns0:href>/images/x</ns0:href>"
    b"<ns0:propstat><ns0:prop><ns0:resourcetype /><ns0:getcontentlength>7</ns0:getcontentlength></ns0:prop>"
    b"<ns0:status>HTTP/1.1 200 OK</ns0:status></ns0:propstat><ns0:propstat><ns0:prop>"
    b"<ns0:quota-available-bytes /></ns0:prop>"
    b"<ns0:status>HTTP/1.1 404 Not Found</ns0:status></ns0:propstat></ns0:response></ns0:multistatus>"
)
NEXTCLOUD = (
    b'<?xml version="1.0"?><d:multistatus xmlns:d="DAV:"><d:response><d:href>https://host/remote.php/dav/files/a%20b/</d:href>'
    b"<d:propstat><d:prop><d:resourcetype><d:collection/></d:resourcetype>"
    b"<d:quota-available-bytes>-3</d:quota-available-bytes>"
    b"</d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response></d:multistatus>"
)


def test_the_list_of_nginx():
    folder, file = parse_entries(NGINX)
    assert (folder.path, folder.is_folder, folder.size, folder.modified) == ("/images/", True, None, 1795404115.0)
    assert (file.name, file.is_folder, file.size) == ("Büro 1.pvmp", False, 5000001)


def test_the_list_of_wsgidav():
    (file,) = parse_entries(WSGIDAV)
    assert (file.name, file.is_folder, file.size, file.modified, file.available) == ("x", False, 7, None, None)


def test_the_list_of_nextcloud():
    (folder,) = parse_entries(NEXTCLOUD)
    assert (folder.path, folder.is_folder, folder.available) == ("/remote.php/dav/files/a b/", True, None)


@pytest.mark.parametrize(
    "document",
    [b"", b"<html>", b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>'],
)
def test_what_is_no_list(document):
    with pytest.raises(RetryLater):
        parse_entries(document)


class TestLock:
    """One writer at a time; a writer that is gone does not keep the others out."""

    @pytest.fixture
    def lock(self, webdav, waits):
        options = StoreOptions(webdav.username, webdav.password, ca_path=webdav.ca_path, timeout=5.0)
        return WebDavLock(HttpFolder(webdav.url, options), "catalog.json", TemporaryNames(), waits.append)

    @pytest.fixture
    def waits(self):
        return []

    @pytest.fixture
    def left(self, webdav):
        """The lock of another run."""
        path = webdav.folder / ".catalog.json.lock"
        path.mkdir()
        return path

    def test_it_is_held_and_let_go(self, lock, webdav):
        assert lock.age() is None
        with lock.held():
            assert lock.age() is not None
        assert list(webdav.folder.iterdir()) == []

    def test_it_is_let_go_after_a_failure(self, lock, webdav):
        with pytest.raises(TaskError), lock.held():
            raise TaskError("Something else.")
        assert list(webdav.folder.iterdir()) == []

    def test_it_is_waited_for(self, lock, left, waits, monkeypatch):
        monkeypatch.setattr(folder_lock, "_POLL", 1.0)  # for as long, with fewer requests
        with pytest.raises(RetryLater, match=r"\.catalog\.json\.lock/ exists.*remove the folder"), lock.held():
            pytest.fail("entered")
        assert 60 <= sum(waits) < 62
        assert left.exists()

    def test_it_is_taken_from_the_dead(self, lock, left, waits):
        long_ago = time.time() - 600
        os.utime(left, (long_ago, long_ago))
        with lock.held():
            assert lock.age() < 60
        assert waits == []

    def test_a_mark_is_taken_from_the_dead(self, lock, webdav, left, waits):
        mark = left / "dead"
        mark.mkdir()
        long_ago = time.time() - 600
        os.utime(mark, (long_ago, long_ago))
        with lock.held():
            (found,) = left.iterdir()
            assert found.name != "dead"
            assert not lock.is_lost()
        assert waits == []
        assert list(webdav.folder.iterdir()) == []

    def test_what_another_one_has_taken_over_is_left(self, lock, webdav, left):
        left.rmdir()
        with lock.held():
            (mark,) = left.iterdir()
            mark.rename(left / "theirs")
            assert lock.is_lost()
        assert [path.name for path in left.iterdir()] == ["theirs"]

    def test_a_server_that_makes_no_folders(self, lock, webdav, waits):
        webdav.faults.append(Fault("MKCOL", status=405, times=99))
        with lock.held():
            assert list(webdav.folder.iterdir()) == []
        assert len(waits) == 4

    def test_a_reader_waits_for_the_file_to_come_back(self, webdav, connect, left):
        """Between removing the old and renaming the new, WsgiDAV has no file."""
        store = connect(webdav)

        def come_back():
            left.rmdir()
            (webdav.folder / "catalog.json").write_bytes(b"[1]")

        webdav.faults.extend([Fault("GET"), Fault("GET", do=come_back)])
        assert store.read("catalog.json")[0] == b"[1]"


PAGE = "<html><title>Sign in</title>xx"
GATEWAY = f"HTTP/1.1 200 OK\nContent-Type: text/html\nContent-Length: {len(PAGE)}\n\n"


@pytest.mark.parametrize("content_type", ["text/html", "application/octet-stream"])
@pytest.mark.parametrize("name", ["win11.pvmp", "catalog.json"])
def test_a_login_page_before_the_store(answering, name, content_type):
    head = GATEWAY.replace("text/html", content_type)
    answers = dict.fromkeys(("GET", "OPTIONS", "PUT"), head + PAGE) | {"HEAD": head}
    store = answering(answers)
    with pytest.raises(
        TaskError, match="sent a web page with the title 'Sign in' where the store should answer"
    ) as caught:
        store.read(name)
    assert "overwrite" not in caught.value.message
    if content_type == "text/html":
        with pytest.raises(TaskError, match="the title 'Sign in' where the store should answer"):
            store.look(name)
        with pytest.raises(TaskError, match="a web page"):
            list(store.blocks(name))


@pytest.fixture
def redirecting(answering):
    """Return a function that opens a store whose server redirects to a login page on another one."""

    def start(more="", **options):
        port, asked = {}, []

        def answer(head):
            asked.append(head.split()[1])
            if "/login" in head.split()[1]:
                return GATEWAY if head.startswith("HEAD") else GATEWAY + PAGE
            return (
                f"HTTP/1.1 302 Found\n{more}Location: https://localhost:{port['is']}/login?to=x\nContent-Length: 0\n\n"
            )

        store = answering(answer, **options)
        port["is"] = store.url.rpartition(":")[2]
        return store, asked

    return start


@pytest.mark.parametrize(
    ("more", "options"),
    [
        ("X-JFrog-Version: 7\n", {}),
        ("Server: Nexus/3.70.0 (OSS)\n", {}),
        ("", {"https_method": "artifactory"}),
        ("", {"https_method": "nexus"}),
    ],
)
def test_a_redirect_to_a_login_page(redirecting, more, options):
    store, _asked = redirecting(more, **options)
    for ask in (store.look, store.read):
        with pytest.raises(
            TaskError, match=r"redirects to localhost:\d+, which sent a web page with the title 'Sign in'"
        ):
            ask("catalog.json")


@pytest.mark.parametrize("method", ["auto", "webdav", "put"])
def test_a_redirect_to_another_server_is_not_followed_where_files_are_not_kept_elsewhere(redirecting, method):
    store, asked = redirecting(https_method=method)
    for ask in (store.look, store.read, lambda name: list(store.blocks(name))):
        with pytest.raises(
            TaskError, match=r"redirects to https://localhost:\d+/login, which is another server\. .*A login page"
        ):
            ask("catalog.json")
    assert not [path for path in asked if "/login" in path]


def test_a_page_of_our_own_is_a_file(answering):
    store = answering({"HEAD": GATEWAY, "GET": GATEWAY + PAGE, "OPTIONS": "HTTP/1.1 200 OK\nContent-Length: 0\n"})
    assert store.look("index.html").size == len(PAGE)
    assert store.read("index.html")[0] == PAGE.encode()


@pytest.mark.parametrize("status", ["400 Bad Request", "403 Forbidden", "405 Not Allowed", "501 Not Implemented"])
def test_a_server_that_forbids_head_is_asked_with_get(answering, status):
    answers = {
        "HEAD": f"HTTP/1.1 {status}\nContent-Length: 0\n",
        "GET": "HTTP/1.1 206 Partial Content\nContent-Range: bytes 0-0/99\nContent-Length: 1\n\nx",
    }
    assert answering(answers).look("x") == Stored("x", 99)


@pytest.mark.parametrize("length", ["0", "many", "-1", "9" * 30])
def test_a_size_that_is_not_believed_is_asked_for_with_get(answering, length):
    answers = {
        "HEAD": f"HTTP/1.1 200 OK\nContent-Length: {length}\n",
        "GET": "HTTP/1.1 206 Partial Content\nContent-Range: bytes 0-0/99\nContent-Length: 1\n\nx",
    }
    assert answering(answers).look("x") == Stored("x", 99)


@pytest.mark.parametrize("scheme", ["Negotiate", "NTLM", "Digest realm=x"])
def test_a_login_of_a_scheme_that_is_not_supported(answering, scheme):
    answers = {"HEAD": f"HTTP/1.1 401 Unauthorized\nWWW-Authenticate: {scheme}\nContent-Length: 0\n"}
    with pytest.raises(TaskError, match=f"accepts only {scheme.split()[0]}, which is not supported"):
        answering(answers, username="jane", password="x").look("x")


# What a listing does not show

HREF = "<D:href>/{}</D:href>"


def propstat(values, status="200 OK"):
    return f"<D:propstat><D:prop>{values}</D:prop><D:status>HTTP/1.1 {status}</D:status></D:propstat>"


SIZE_5 = propstat("<D:getcontentlength>5</D:getcontentlength>", "{}")
SELF = f"<D:response>{HREF.format('')}{propstat('<D:resourcetype><D:collection/></D:resourcetype>')}</D:response>"


def multistatus(*responses, root="D:multistatus"):
    body = f'<?xml version="1.0"?><{root} xmlns:D="DAV:">{"".join(responses)}</{root}>'
    return f"HTTP/1.1 207 Multi-Status\nContent-Type: application/xml\nContent-Length: {len(body)}\n\n{body}"


def member(*inside):
    return f"<D:response>{HREF.format('a.pvmp')}{''.join(inside)}</D:response>"


@pytest.mark.parametrize(
    ("inside", "head", "expected"),
    [
        ([SIZE_5.format("200 OK")], None, [Stored("a.pvmp", 5)]),
        ([SIZE_5.format("404 Not Found")], "HTTP/1.1 200 OK\nContent-Length: 7\n", [Stored("a.pvmp", 7)]),
        ([SIZE_5.format("403 No"), SIZE_5.format("200 OK")], None, [Stored("a.pvmp", 5)]),
        ([], "HTTP/1.1 200 OK\nContent-Length: 7\n", [Stored("a.pvmp", 7)]),
        (["<D:status>HTTP/1.1 423 Locked</D:status>"], "HTTP/1.1 200 OK\nContent-Length: 7\n", [Stored("a.pvmp", 7)]),
        # It was removed while the list was made.
        (["<D:status>HTTP/1.1 404 Not Found</D:status>"], None, []),
        ([], "HTTP/1.1 404 Not Found\nContent-Length: 0\n", []),
        ([SIZE_5.format("200 OK").replace("5</", "</")], "HTTP/1.1 200 OK\nContent-Length: 7\n", [Stored("a.pvmp", 7)]),
        (
            [SIZE_5.format("200 OK").replace("5</", "-5</")],
            "HTTP/1.1 200 OK\nContent-Length: 7\n",
            [Stored("a.pvmp", 7)],
        ),
    ],
)
def test_a_size_that_webdav_does_not_show_is_looked_up(answering, inside, head, expected):
    answers = {"PROPFIND": multistatus(SELF, member(*inside)), "HEAD": head or NOT_ALLOWED}
    assert answering(answers, https_method="webdav").list() == expected


def test_a_file_that_may_not_be_seen_makes_the_list_unknown(answering):
    answers = {
        "PROPFIND": multistatus(SELF, member("<D:status>HTTP/1.1 403 Forbidden</D:status>")),
        "HEAD": "HTTP/1.1 403 Forbidden\nContent-Length: 0\n",
        "GET": "HTTP/1.1 403 Forbidden\nContent-Length: 0\n",
    }
    with pytest.raises(CannotList, match="403"):
        answering(answers, https_method="webdav").list()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (multistatus(), "does not even contain the folder"),
        (multistatus(SELF, root="html"), "does not even contain the folder"),
        (multistatus(SELF, member("<D:status>HTTP/1.1 507 Insufficient Storage</D:status>")), "is not complete"),
        (multistatus(SELF, "<D:response></D:response>"), "without an address"),
        (multistatus(SELF, "<D:response><D:href>https://[::1</D:href></D:response>"), "address is not valid"),
        (multistatus(SELF, "<D:response>"), "cannot be parsed"),
    ],
)
def test_a_list_of_webdav_that_is_not_the_whole(answering, answer, words):
    with pytest.raises(RetryLater, match=words):
        answering({"PROPFIND": answer}, https_method="webdav").list()


@pytest.mark.parametrize(
    ("answer", "refused"),
    [
        ("HTTP/1.1 403 Forbidden\nContent-Length: 0\n", True),
        ("HTTP/1.1 401 Unauthorized\nContent-Length: 0\n", True),
        ("HTTP/1.1 405 Method Not Allowed\nContent-Length: 0\n", True),
        ("HTTP/1.1 501 Not Implemented\nContent-Length: 0\n", True),
        ("HTTP/1.1 200 OK\nContent-Length: 0\n", True),
        ("HTTP/1.1 200 OK\nContent-Type: text/html\nContent-Length: 25\n\n<html><title>Sign in</html>"[:-2], False),
        ("HTTP/1.1 404 Not Found\nContent-Length: 0\n", False),
        ("HTTP/1.1 500 Oops\nContent-Length: 0\n", False),
        ("HTTP/1.1 302 Found\nLocation: https://login.example/\nContent-Length: 0\n", False),
        (multistatus(), False),
    ],
)
def test_only_a_refusal_is_a_store_without_a_list(answering, answer, refused):
    store = answering({"PROPFIND": answer}, https_method="webdav")
    if refused:
        assert store.can_list() is False
    else:
        with pytest.raises((TaskError, RetryLater)):
            store.can_list()


@pytest.mark.parametrize("operation", ["look", "read", "delete"])
def test_a_folder_that_does_not_exist_is_not_an_empty_one(connect, webdav, operation):
    store = connect(webdav, f"{webdav.url}/deeper")
    with pytest.raises(TaskError, match=r"deeper does not exist\. Create it, or correct destination"):
        getattr(store, operation)("catalog.json")
    (webdav.folder / "deeper").mkdir()
    assert not getattr(store, operation)("catalog.json")


def test_it_is_asked_only_once_whether_the_folder_exists(connect, webdav):
    store = connect(webdav)
    assert store.look("a.pvmp") is None
    asked = len(webdav.seen)
    assert store.look("b.pvmp") is None
    assert len(webdav.seen) == asked + 1


@pytest.mark.parametrize("folder", ["GET", "PROPFIND"])
def test_a_server_that_hides_the_folder_but_serves_its_files(answering, folder):
    """Both ways to ask for the folder must say that it does not exist: some servers refuse one of them by 404."""
    answers = dict.fromkeys(("GET", "PROPFIND", "HEAD"), "HTTP/1.1 404 Not Found\nContent-Length: 0\n")
    answers[folder] = "HTTP/1.1 403 Forbidden\nContent-Length: 0\n"
    assert answering(answers, https_method="webdav").look("a.pvmp") is None
