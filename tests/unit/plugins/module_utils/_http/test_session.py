# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP sessions: no netrc, no silent redirect, no secret elsewhere, sentences for what goes wrong."""

from __future__ import annotations

import base64
import contextlib
import email.utils
import io
import select
import socket
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._common.retry import RetryLater
from ansible_collections.macops.parallels.plugins.module_utils._http import session
from ansible_collections.macops.parallels.plugins.module_utils._http.session import (
    Http,
    TlsError,
    bare,
    basic,
    bearer,
    retry_after,
)
from ansible_collections.macops.parallels.tests.support.scripted_server import ScriptedServer

OK = "HTTP/1.1 200 OK\nContent-Length: 0\n\n"
ENVIRONMENT = (
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "SSL_CERT_FILE",
)


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch):
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


class Listening:
    """Answers each request with a text, and keeps the heads."""

    def __init__(self, answer=OK):
        self.answer = answer
        self.heads = []

    def __call__(self, connection):
        while True:
            head = connection.head()
            if not head:
                return
            self.heads.append(head)
            connection.say(self.answer(head) if callable(self.answer) else self.answer)


@pytest.fixture
def start(tmp_path):
    """Return a function that starts a server and opens a session that trusts it."""
    with contextlib.ExitStack() as stack:

        def start_one(script, tls=True, **options):
            folder = tmp_path / f"tls{len(list(tmp_path.iterdir()))}" if tls else None
            server = stack.enter_context(ScriptedServer(script, tls=folder))
            return server, stack.enter_context(Http(**{"ca_path": server.ca_path, **options}))

        yield start_one


@pytest.fixture
def netrc(tmp_path, monkeypatch):
    path = tmp_path / "home" / ".netrc"
    path.parent.mkdir()
    path.write_text("machine 127.0.0.1 login someone password from-netrc\n")
    path.chmod(0o600)
    monkeypatch.setenv("HOME", str(path.parent))
    monkeypatch.setenv("NETRC", str(path))


def test_a_netrc_is_never_used(netrc, tmp_path):
    pages = Listening(
        lambda head: "HTTP/1.1 302 Found\nLocation: /there\nContent-Length: 0\n\n" if "/here" in head else OK
    )
    with ScriptedServer(pages, tls=tmp_path / "tls") as server, Http(ca_path=server.ca_path) as http:
        assert requests.utils.get_netrc_auth(server.url) == ("someone", "from-netrc")  # it is there to be found
        assert http.follow("GET", server.url + "/here").status_code == 200
    assert len(pages.heads) == 2
    assert not any("Authorization" in head for head in pages.heads)


def test_the_given_credentials_win_over_a_netrc(netrc, start):
    pages = Listening()
    server, http = start(pages, authorization=basic("büro", "pässword"))
    http.request("GET", server.url)
    (head,) = pages.heads
    sent = next(line for line in head.splitlines() if line.startswith("Authorization: Basic "))
    assert base64.b64decode(sent.split()[-1]).decode() == "büro:pässword"


def test_a_redirect_is_returned_not_followed(tmp_path):
    pages = Listening("HTTP/1.1 301 Moved\nLocation: https://127.0.0.1:1/\nContent-Length: 0\n\n")
    with ScriptedServer(pages, tls=tmp_path / "tls") as server, Http(ca_path=server.ca_path) as http:
        assert http.request("PUT", server.url, data=b"x").status_code == 301


def test_credentials_do_not_go_to_the_host_of_a_redirect(tmp_path):
    elsewhere = Listening()
    with ScriptedServer(elsewhere, tls=tmp_path / "tls") as second:
        here = Listening(f"HTTP/1.1 302 Found\nLocation: {second.url}/x\nContent-Length: 0\n\n")
        with ScriptedServer(here, tls=tmp_path / "tls2") as first:
            both = tmp_path / "both.pem"
            both.write_bytes(b"".join(Path(path).read_bytes() for path in (first.ca_path, second.ca_path)))
            with Http(authorization=bearer("secret"), ca_path=str(both)) as http:
                assert http.follow("GET", first.url, {"Cookie": "a=b", "X-Kept": "yes"}).status_code == 200
    assert "Authorization: Bearer secret" in here.heads[0]
    assert "Authorization" not in elsewhere.heads[0]
    assert "Cookie" not in elsewhere.heads[0]
    assert "X-Kept: yes" in elsewhere.heads[0]


def test_a_redirect_to_http_is_refused(start):
    pages = Listening("HTTP/1.1 302 Found\nLocation: http://127.0.0.1:1/?token=secret\nContent-Length: 0\n\n")
    server, http = start(pages)
    with pytest.raises(TaskError, match="not HTTPS") as caught:
        http.follow("GET", server.url)
    assert "secret" not in caught.value.message


def test_redirects_have_an_end(start):
    pages = Listening("HTTP/1.1 302 Found\nLocation: /again\nContent-Length: 0\n\n")
    server, http = start(pages)
    with pytest.raises(TaskError, match="more than 5 times"):
        http.follow("GET", server.url)
    assert len(pages.heads) == 6


@pytest.mark.parametrize("cookies", [False, True])
def test_cookies_are_kept_only_when_asked_for(tmp_path, cookies):
    pages = Listening("HTTP/1.1 200 OK\nSet-Cookie: a=b\nContent-Length: 0\n\n")
    with ScriptedServer(pages, tls=tmp_path / "tls") as server, Http(ca_path=server.ca_path, cookies=cookies) as http:
        http.request("GET", server.url)
        http.request("GET", server.url)
    assert ["Cookie: a=b" in head for head in pages.heads] == [False, cookies]


def test_a_certificate_of_an_unknown_authority(start):
    server, http = start(Listening(), ca_path=None)
    with pytest.raises(TlsError, match=r"is not trusted.*set ca_path to its file"):
        http.request("GET", server.url)


def test_a_certificate_of_another_authority(start):
    other, _unused = start(Listening())
    server, http = start(Listening(), ca_path=other.ca_path)
    with pytest.raises(TlsError) as caught:
        http.request("GET", server.url)
    assert other.ca_path in caught.value.message


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_the_environment_may_name_the_authority(tmp_path, monkeypatch, variable):
    with ScriptedServer(Listening(), tls=tmp_path / "tls") as server:
        monkeypatch.setenv(variable, server.ca_path)
        with Http() as http:
            assert http.request("GET", server.url).status_code == 200


def test_a_missing_file_of_the_authority():
    with pytest.raises(TaskError, match=r"/nowhere/ca.pem does not exist"):
        Http(ca_path="/nowhere/ca.pem")


def test_https_to_a_server_that_speaks_http(start):
    server, http = start(lambda connection: connection.say("HTTP/1.1 400 Bad Request\n\n"), tls=False)
    with pytest.raises(TlsError, match="does not use TLS"):
        http.request("GET", server.url.replace("http:", "https:"))


def test_nobody_there():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with Http() as http, pytest.raises(RetryLater, match=r"cannot be reached.*Connection refused"):
        http.request("GET", f"https://127.0.0.1:{port}/")


def test_a_server_that_does_not_answer(start):
    server, http = start(lambda connection: connection.head() and time.sleep(3), tls=False, timeout=0.2)
    with pytest.raises(RetryLater, match=r"did not respond within 0\.2 seconds"):
        http.request("GET", server.url)


def test_a_server_that_hangs_up(start):
    server, http = start(lambda connection: connection.head() and None)
    with pytest.raises(RetryLater, match="the server closed the connection without a response"):
        http.request("GET", server.url)


def test_a_server_that_takes_no_byte(start):
    server, http = start(lambda connection: connection.head() and time.sleep(3), timeout=0.3)
    with pytest.raises(RetryLater, match="no data was transferred within the timeout"):
        http.request("PUT", server.url, data=b"x" * 32 * 1024 * 1024)


def test_a_long_answer_is_waited_for():
    def think(connection):
        connection.head()
        time.sleep(0.6)
        connection.say(OK)

    with ScriptedServer(think) as server, Http(timeout=0.2) as http:
        assert http.request("MOVE", server.url, answer_timeout=5).status_code == 200


@pytest.mark.parametrize("length", [1000, 500])
def test_a_truncated_download_is_noticed(length):
    def serve(connection):
        connection.head()
        connection.say(f"HTTP/1.1 200 OK\nContent-Length: 1000\nConnection: close\n\n{'x' * length}")

    with ScriptedServer(serve) as server, Http() as http:
        response = http.request("GET", server.url, stream=True)
        if length == 1000:
            assert b"".join(http.blocks(response)) == b"x" * 1000
        else:
            with pytest.raises(RetryLater, match=r"broke off after .*the response ended too early"):
                list(http.blocks(response))


def test_a_truncated_download_is_noticed_when_the_libraries_do_not():
    """As with urllib3 1.26, to which the end of the connection is the end of the body."""

    class Short(io.BytesIO):
        def read(self, size, decode_content):
            return super().read(size)

    closed = []
    response = SimpleNamespace(
        raw=Short(b"x" * 500),
        headers={"Content-Length": "1000"},
        url="https://host/x",
        close=lambda: closed.append(True),
    )
    with (
        Http() as http,
        pytest.raises(RetryLater, match=r"after 500 bytes .*ended too early; the server announced 1000 bytes"),
    ):
        list(http.blocks(response))
    assert closed


def test_a_download_is_not_decoded(start):
    """The bytes that count are those on the wire."""
    server, http = start(Listening("HTTP/1.1 200 OK\nContent-Encoding: gzip\nContent-Length: 4\n\nabcd"))
    assert b"".join(http.blocks(http.request("GET", server.url, stream=True))) == b"abcd"


class Proxy:
    """Opens tunnels, as proxies for HTTPS do, for those who have the password."""

    def __init__(self, authorization=None):
        self.authorization = authorization
        self.tunnels = []

    def __call__(self, connection):
        head = connection.head()
        self.tunnels.append(head.split()[1])
        if self.authorization and f"Proxy-Authorization: {self.authorization}" not in head:
            connection.say("HTTP/1.1 407 Proxy Authentication Required\nContent-Length: 0\n\n")
            return
        host, _colon, port = head.split()[1].partition(":")
        with socket.create_connection((host, int(port))) as target, contextlib.suppress(OSError):
            connection.say("HTTP/1.1 200 Connection established\n\n")
            pair = {connection.wire: target, target: connection.wire}
            while True:
                for ready in select.select(list(pair), [], [], 10)[0]:
                    block = ready.recv(65536)
                    if not block:
                        return
                    pair[ready].sendall(block)


def test_the_given_proxy_is_used(tmp_path):
    proxy = Proxy(basic("me", "hush"))
    with ScriptedServer(Listening(), tls=tmp_path / "tls") as server, ScriptedServer(proxy) as door:
        address = door.url.replace("http://", "http://me:hush@")
        with Http(ca_path=server.ca_path, proxy=address) as http:
            assert http.request("GET", server.url).status_code == 200
    assert proxy.tunnels == [f"127.0.0.1:{server.port}"]


def test_a_proxy_refuses_without_telling_its_password(start):
    door, _unused = start(Proxy("Basic x"), tls=False)
    server, http = start(Listening(), proxy=door.url.replace("http://", "http://me:hush@"))
    with pytest.raises(RetryLater, match="Check the proxy option") as caught:
        http.request("GET", server.url)
    assert "hush" not in caught.value.message


def test_the_proxy_of_the_environment_and_its_exceptions(tmp_path, monkeypatch):
    proxy = Proxy()
    with ScriptedServer(Listening(), tls=tmp_path / "tls") as server, ScriptedServer(proxy) as door:
        monkeypatch.setenv("https_proxy", door.url)
        with Http(ca_path=server.ca_path) as http:
            http.request("GET", server.url)
            assert len(proxy.tunnels) == 1
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        with Http(ca_path=server.ca_path) as http:
            http.request("GET", server.url)
    assert len(proxy.tunnels) == 1


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7.0), (" 120 ", 120.0), ("", None), ("soon", None), ("-3", None)],
)
def test_the_pause_that_a_server_asks_for(value, seconds):
    assert retry_after(SimpleNamespace(headers={"Retry-After": value})) == seconds


def test_the_time_until_which_a_server_asks_to_wait(monkeypatch):
    monkeypatch.setattr(session.time, "time", lambda: 1_000_000.0)
    until = email.utils.formatdate(1_000_030.0, usegmt=True)
    past = email.utils.formatdate(999_000.0, usegmt=True)
    assert retry_after(SimpleNamespace(headers={"Retry-After": until})) == 30.0
    assert retry_after(SimpleNamespace(headers={"Retry-After": past})) == 0.0


def test_a_url_without_what_may_be_secret():
    assert bare("https://me:pw@host:1/a/b?sig=1#x") == "https://host:1/a/b"


@pytest.mark.parametrize(
    ("host", "no_proxy"),
    [
        ("127.0.0.1", "localhost,127.0.0.0/8,10.0.0.0/8"),
        ("127.0.0.1", "127.0.0.1/32"),
        ("10.1.2.3", "example.com, 10.1.2.9/16"),
        ("[fd00::17]", "fd00::/8"),
        ("[fd00::17]", "[fd00::]/8"),
        ("[::1]", "[::1]"),
        ("[::1]", "0:0:0:0:0:0:0:1"),
        ("images.example.com", ".example.com"),
        ("images.example.com", "*"),
    ],
)
def test_hosts_without_a_proxy(monkeypatch, host, no_proxy):
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", no_proxy)
    with Http() as http:
        assert http._proxies(f"https://{host}:8443/a") == {}


@pytest.mark.parametrize(
    ("host", "no_proxy"),
    [
        ("127.0.0.1", "128.0.0.0/8"),
        ("127.0.0.1", "fd00::/8,127.0.0.0/99,/8,,10.0.0.0/x"),
        ("10.0.0.8.example.com", "10.0.0.0/8"),
        ("[fd00::17]", "10.0.0.0/8"),
        ("images.example.com", "0.0.0.0/0"),
    ],
)
def test_hosts_with_a_proxy(monkeypatch, host, no_proxy):
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", no_proxy)
    with Http() as http:
        assert http._proxies(f"https://{host}:8443/a") == {"https": "http://127.0.0.1:9"}


@pytest.mark.parametrize(
    "location", [b"/gr\xf6\xdfe", "/größe".encode(), b"/a b", b"https://[::1", b"https://:0/", b""]
)
def test_a_location_of_any_bytes_is_no_error_of_the_request(start, location):
    answer = b"HTTP/1.1 302 Found\r\nLocation: " + location + b"\r\nContent-Length: 0\r\n\r\n"
    server, http = start(Listening(answer))
    assert http.request("GET", server.url).status_code == 302


def test_redirects_to_addresses_of_any_bytes(start):
    listening = Listening(b"HTTP/1.1 302 Found\r\nLocation: /gr\xf6\xdfe\r\nContent-Length: 0\r\n\r\n")
    server, http = start(listening)
    with pytest.raises(TaskError, match="redirects more than"):
        http.follow("GET", server.url)
    assert listening.heads[1].startswith("GET /gr%F6%DFe HTTP/1.1")
    listening.answer = b"HTTP/1.1 302 Found\r\nLocation: https://[::1/x\r\nContent-Length: 0\r\n\r\n"
    with pytest.raises(TaskError, match="redirects to an address that is not valid"):
        http.follow("GET", server.url)


@pytest.mark.parametrize(
    "length", ["3", "3\nContent-Length: 3", "many", "-3", "\xb2", "1_0", "9" * 40, "3\nContent-Length: 4", "3, 3"]
)
def test_an_announced_size_of_any_form(start, length):
    def serve(connection):
        connection.request()
        connection.say(f"HTTP/1.1 200 OK\nContent-Length: {length}\nConnection: close\n\n".encode("latin-1") + b"abc")

    server, http = start(serve)
    try:
        data = b"".join(http.blocks(http.request("GET", server.url, stream=True)))
    except TaskError as error:
        assert "contradict each other" in error.message
        assert "4" in length
    except RetryLater as error:
        assert "broke off after 3 bytes" in error.message
        assert length in ("1_0", "9" * 40)  # which the library takes for numbers
    else:
        assert data == b"abc"


@pytest.mark.parametrize("host", ["a..b", "a" * 70 + ".example", "xn--a", "\u2603" * 70])
def test_a_host_name_that_is_not_valid(host):
    with Http() as http, pytest.raises((TaskError, RetryLater)):
        http.request("GET", f"https://{host}/x")


@pytest.mark.parametrize(
    ("second", "followed"),
    [("https://b.example/", False), ("/elsewhere", False), (" /there ", True), ("", True)],
)
def test_two_redirects_in_one_answer(start, second, followed):
    """Nobody knows which of them other programs follow: a file that one of them does not have is not missing."""
    redirect = f"HTTP/1.1 302 Found\nLocation: /there\nLocation: {second}\nContent-Length: 0\n\n"
    server, http = start(Listening(lambda head: redirect if "/here" in head else OK))
    if followed:
        assert http.follow("GET", f"{server.url}/here").status_code == 200
    else:
        with pytest.raises(TaskError, match="or to two different ones"):
            http.follow("GET", f"{server.url}/here")
