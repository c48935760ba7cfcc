# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Links, judged by what a real server answers over TLS."""

from __future__ import annotations

import gzip
import json
import os
import random
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import ansible
import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._common.retry import Retries
from ansible_collections.macops.parallels.plugins.module_utils._http.session import Http
from ansible_collections.macops.parallels.plugins.module_utils._link import check as check_module
from ansible_collections.macops.parallels.plugins.module_utils._link.check import LinkCheck
from ansible_collections.macops.parallels.plugins.module_utils._link.report import VERDICTS, Question, Report
from ansible_collections.macops.parallels.tests.support.link_server import BLOCK, Content, Exchange, LinkServer

MEBIBYTE = 1024 * 1024


@pytest.fixture(scope="module", name="running")
def fixture_running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LinkServer]:
    # ansible-test runs each test in a process of its own, which ends before a server of its module is taken down.
    with LinkServer(folder=str(tmp_path_factory.mktemp("links"))) as server:
        yield server


@pytest.fixture(name="server")
def fixture_server(running: LinkServer) -> Iterator[LinkServer]:
    """The server, with the answers and the memory of a new one."""
    answers = dict(running.answers)
    running.requests.clear()
    running.counts.clear()
    yield running
    running.answers.clear()
    running.answers.update(answers)


@pytest.fixture(name="image_path")
def fixture_image_path(server: LinkServer, tmp_path: Path) -> Path:
    path = tmp_path / "Büro image.pvmp"
    path.write_bytes(b"".join(server.image.blocks(0, server.image.size)))
    return path


def check(server: LinkServer, link: str, timeout: float = 10, retries: int = 3, **question: Any) -> Report:
    """Judge a path of the server, or a whole URL. Pauses are not waited for."""
    tls = question.pop("tls", "good")
    pauses = question.pop("pauses", [])
    patience = question.pop("patience", 10)
    url = link if link.startswith(("https:", "http:", "file:")) else server.url(link, tls)
    return LinkCheck(
        Question(url, **question),
        lambda cookies: Http(ca_path=server.ca_path, cookies=cookies, timeout=timeout),
        Retries(retries, pauses.append),
        choose=random.Random(7),
        patience=patience,
    ).run()


def signed(start: datetime, days: float) -> str:
    """Return the query of an address that was signed at C(start) for so many days."""
    return f"X-Amz-Date={start:%Y%m%dT%H%M%SZ}&X-Amz-Expires={int(days * 86400)}&X-Amz-Signature=topsecret"


def now() -> datetime:
    return datetime.now(timezone.utc)


BAD_LINKS = [
    ("/page", "html", "a web page (Content-Type text/html), not to an image; its title is 'Contoso files'"),
    ("/page.pvmp", "html", "a web page (with another Content-Type)"),
    ("/error.pvmp", "html", "an XML document"),
    ("/login-page", "login", "asks for a password; its title is 'Sign in'"),
    ("/to-login", "login", "redirects to login.microsoftonline.com"),
    ("/to-own-login", "login", "redirects to a sign-in page"),
    ("/status/401", "login", "asks for credentials: localhost:"),
    ("/cookies.pvmp", "needs_cookies", "redirects to login.microsoftonline.com"),
    ("/cookies/403", "needs_cookies", "403 Forbidden"),
    ("/status/404", "not_found", "404 Not Found"),
    ("/status/410", "not_found", "410 Gone"),
    ("/status/403", "forbidden", "403 Forbidden"),
    ("/status/451", "forbidden", "451"),
    ("/private.pvmp", "forbidden", "409 Conflict"),
    ("/signed.pvmp", "expired", "link has expired"),
    ("/status/403?se=2020-01-01&sig=topsecret", "expired", "link has expired"),
    ("/status/400?Expires=1500000000&Signature=topsecret", "expired", "link has expired"),
    ("/image.pvmp?se=2020-01-01&sig=topsecret", "expired", "expired at 2020-01-01T00:00:00Z"),
    ("/image.pvmp?tempauth=topsecret", "expires_soon", "temporary token"),
    ("/empty.pvmp", "wrong_size", "empty"),
    ("/status/204", "wrong_size", "empty"),
    ("/status/416", "wrong_size", "empty"),
    ("/short.pvmp", "wrong_size", "broke off after 100 bytes"),
    ("/downgrade", "insecure", "starts with http:"),
    ("/to-file", "insecure", "starts with file:"),
    ("/to-user", "insecure", "a user name or a password"),
    ("http://localhost/image.pvmp", "insecure", "starts with http:"),
    ("file:///srv/image.pvmp", "insecure", "starts with file:"),
    ("https://jane:hunter2@localhost/image.pvmp", "insecure", "a user name or a password"),
    ("/busy/9", "unreachable", "503 Service Unavailable. It was tried 4 times"),
    ("/status/418", "unreachable", "418"),
    ("/to-nowhere", "unreachable", "302 Found"),
    ("/other-range.pvmp", "unreachable", "sent other bytes"),
    ("https://nowhere.invalid/image.pvmp", "unreachable", "nowhere.invalid"),
    ("/redirects/6", "too_many_redirects", "more than 5"),
    ("/loop/a", "too_many_redirects", "form a loop"),
]


@pytest.mark.parametrize(("path", "verdict", "reason"), BAD_LINKS)
def test_bad_links(server: LinkServer, path: str, verdict: str, reason: str) -> None:
    report = check(server, path)
    assert (report.verdict, report.sha256) == (verdict, None)
    assert reason in report.reasons[0]
    assert report.advice
    assert "topsecret" not in json.dumps(report.result())
    assert "hunter2" not in json.dumps(report.result())


@pytest.mark.parametrize(
    ("tls", "reason"),
    [
        ("expired", "expired"),
        ("unknown", "unable to get local issuer certificate"),
        ("wrong_host", "hostname"),
        ("no_cipher", "HANDSHAKE"),
    ],
)
def test_tls_errors(server: LinkServer, tls: str, reason: str) -> None:
    report = check(server, "/image.pvmp", tls=tls)
    assert report.verdict == "tls_error"
    assert reason.lower() in report.reasons[0].lower()
    assert report.chain == [{"url": server.url("/image.pvmp", tls), "status": None}]
    assert server.requests == []


def test_every_verdict_has_a_test() -> None:
    others = {"direct", "tls_error", "wrong_checksum"}
    assert {verdict for _path, verdict, _reason in BAD_LINKS} | others == set(VERDICTS)


GOOD_LINKS = ["/image.pvmp", "/redirects/5", "/busy/2", "/other-host", "/to-secret", "/no-ranges.pvmp", "/chunked.pvmp"]


@pytest.mark.parametrize("proof", ["headers", "sample", "full"])
@pytest.mark.parametrize("path", GOOD_LINKS)
def test_good_links(server: LinkServer, path: str, proof: str) -> None:
    report = check(server, path, proof=proof, size=server.image.size, sha256=server.image.sha256())
    partial = path not in ("/no-ranges.pvmp", "/chunked.pvmp")
    assert report.verdict == "direct"
    assert report.proof == (proof if partial or proof == "full" else "headers")
    assert report.ranges is partial
    assert report.size == (None if path == "/chunked.pvmp" and proof != "full" else server.image.size)
    assert report.sha256 == (server.image.sha256() if proof == "full" else None)
    assert report.advice == "The link can be entered in the Management Portal as it is."
    assert "topsecret" not in json.dumps(report.result())


def test_what_is_asked(server: LinkServer) -> None:
    check(server, "/cookies.pvmp", proof="full")
    check(server, "/redirects/2", proof="sample")
    check(server, "/image.pvmp", proof="full")
    assert {request.method for request in server.requests} == {"GET"}
    assert {request.headers.get("accept-encoding") for request in server.requests} == {"identity"}
    first = server.seen("/redirects/2")[0]
    assert first.headers["range"] == "bytes=0-1023"
    assert [request.headers.get("range") for request in server.seen("/image.pvmp")] == ["bytes=0-1023", None]
    cookies = [(request.path, request.headers["cookie"]) for request in server.requests if "cookie" in request.headers]
    assert cookies == [("/cookies/2", "FedAuth=anonymous")]


def test_the_report_shows_the_way(server: LinkServer) -> None:
    report = check(server, "/to-secret")
    end = server.url("/image.pvmp?sig=***&se=2099-01-01&dl=1")
    assert report.chain == [{"url": server.url("/to-secret"), "status": 307}, {"url": end, "status": 206}]
    assert (report.url, report.final_url, report.network) == (server.url("/to-secret"), end, "loopback")
    assert report.headers["content_range"] == f"bytes 0-1023/{server.image.size}"
    assert report.headers["etag"] == '"v1"'


def test_a_refused_step_is_shown_as_not_asked(server: LinkServer) -> None:
    report = check(server, "/to-user")
    assert report.chain == [
        {"url": server.url("/to-user"), "status": 302},
        {"url": "https://***@localhost/image.pvmp", "status": None},
    ]


def test_what_is_worth_knowing_of_a_direct_link(server: LinkServer) -> None:
    assert "support range requests" in " ".join(check(server, "/no-ranges.pvmp").reasons)
    assert "report the size" in " ".join(check(server, "/chunked.pvmp").reasons)
    assert "compresses" in " ".join(check(server, "/compressed.pvmp").reasons)
    assert "another host: 127.0.0.1" in " ".join(check(server, "/other-host").reasons)
    assert server.ca_path in " ".join(check(server, "/image.pvmp").reasons)


@pytest.mark.parametrize(
    "path", ["/image.pvmp", "/redirects/2", "/other-host", "/cookies.pvmp", "/cut-once.pvmp", "/status/401"]
)
def test_a_netrc_is_never_used(server: LinkServer, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine localhost login jane password hunter2\nmachine 127.0.0.1 login jane password hunter2\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(netrc))
    for proof in ("sample", "full"):
        check(server, path, proof=proof)
    assert len(server.requests) > 1
    assert [request for request in server.requests if "authorization" in request.headers] == []


def test_a_wrong_size(server: LinkServer) -> None:
    report = check(server, "/image.pvmp", size=5)
    assert (report.verdict, report.size) == ("wrong_size", server.image.size)
    assert report.reasons[0] == f"The file at the link has {server.image.size} bytes, but the image has 5."


def test_a_wrong_size_that_shows_at_the_end_only(server: LinkServer) -> None:
    assert check(server, "/chunked.pvmp", size=server.image.size + 1, proof="full").verdict == "wrong_size"
    report = check(server, "/chunked.pvmp", size=2 * MEBIBYTE, proof="full")
    assert report.verdict == "wrong_size"
    assert "longer than the expected" in report.reasons[0]


def test_a_wrong_checksum(server: LinkServer) -> None:
    report = check(server, "/image.pvmp", sha256="0" * 64, proof="full")
    assert (report.verdict, report.sha256, report.size) == ("wrong_checksum", server.image.sha256(), server.image.size)


@pytest.mark.parametrize("header", ["X-Checksum-Sha256", "x-amz-meta-sha256"])
def test_a_wrong_checksum_that_the_server_tells(server: LinkServer, header: str) -> None:
    server.answers["/told.pvmp"] = lambda exchange: exchange.file(server.image, **{header: "ab" * 32})
    assert check(server, "/told.pvmp", sha256="AB".lower() * 32).verdict == "direct"
    report = check(server, "/told.pvmp", sha256="0" * 64)
    assert report.verdict == "wrong_checksum"
    assert header.lower() in report.reasons[0].lower()


@pytest.mark.parametrize("proof", ["headers", "sample", "full"])
def test_the_same_bytes_as_a_local_file(server: LinkServer, image_path: Path, proof: str) -> None:
    report = check(server, "/image.pvmp", path=str(image_path), proof=proof)
    assert (report.verdict, report.proof) == ("direct", proof)


@pytest.mark.parametrize(
    ("where", "proof"), [(0, "headers"), (1023, "headers"), (-1, "sample"), (2 * MEBIBYTE, "full")]
)
def test_other_bytes_than_a_local_file(server: LinkServer, image_path: Path, where: int, proof: str) -> None:
    data = bytearray(image_path.read_bytes())
    data[where] ^= 1
    image_path.write_bytes(data)
    report = check(server, "/image.pvmp", path=str(image_path), proof=proof)
    assert report.verdict == "wrong_checksum"
    assert str(image_path) in report.reasons[0]


def test_a_local_file_of_another_size(server: LinkServer, image_path: Path) -> None:
    with image_path.open("ab") as handle:
        handle.write(b"more")
    assert check(server, "/image.pvmp", path=str(image_path)).verdict == "wrong_size"
    with pytest.raises(TaskError, match="bytes, but size is"):
        check(server, "/image.pvmp", path=str(image_path), size=server.image.size)


def test_a_local_file_that_is_not_there(server: LinkServer) -> None:
    with pytest.raises(TaskError, match=r"/nowhere/image\.pvmp cannot be read: No such file"):
        check(server, "/image.pvmp", path="/nowhere/image.pvmp")


def test_the_same_bytes_are_an_image_whatever_the_server_calls_them(server: LinkServer, image_path: Path) -> None:
    server.answers["/odd.pvmp"] = lambda exchange: exchange.file(server.image, Content_Type="text/html")
    assert check(server, "/odd.pvmp").verdict == "html"
    for proof in ("headers", "full"):
        report = check(server, "/odd.pvmp", path=str(image_path), proof=proof)
        assert report.verdict == "direct"
        assert "application/octet-stream" in report.reasons[0]


def test_a_page_is_a_page_next_to_a_local_file(server: LinkServer, image_path: Path) -> None:
    assert check(server, "/page", path=str(image_path)).verdict == "html"


@pytest.mark.parametrize(
    ("path", "second_range", "second_if_range"),
    [
        ("/cut-once.pvmp", True, '"v1"'),
        ("/cut-once-weak.pvmp", True, None),
        ("/cut-once-no-ranges.pvmp", True, '"v1"'),
    ],
)
def test_a_broken_download_goes_on(
    server: LinkServer, path: str, second_range: bool, second_if_range: str | None
) -> None:
    report = check(server, path, sha256=server.image.sha256(), size=server.image.size, proof="full")
    assert (report.verdict, report.sha256, report.size) == ("direct", server.image.sha256(), server.image.size)
    _head, first, second = (request.headers for request in server.seen(path))
    assert "range" not in first
    assert second["range"] == f"bytes={server.image.size // 2}-"
    assert second.get("if-range") == second_if_range
    went_on = "download had to restart from the beginning" if path == "/cut-once-no-ranges.pvmp" else "download resumed"
    assert f"{went_on} once." in " ".join(report.reasons)


@pytest.mark.parametrize("etags", [('"v1"', '"v2"'), ('W/"v1"', 'W/"v2"'), ("", "")])
def test_a_file_that_changes_between_is_read_anew(server: LinkServer, etags: tuple[str, str]) -> None:
    old = Content(bytes(server.image.size))

    def answer(exchange: Exchange) -> None:
        turn = exchange.server.count("/changing.pvmp")
        if turn < 2:  # the first look, and the first download
            exchange.file(old, etag=etags[0], cut_at=2 * BLOCK)
        else:
            exchange.file(server.image, etag=etags[1])

    server.answers["/changing.pvmp"] = answer
    report = check(server, "/changing.pvmp", sha256=server.image.sha256(), proof="full")
    assert (report.verdict, report.sha256) == ("direct", server.image.sha256())


def test_a_file_that_changes_between_samples(server: LinkServer) -> None:
    server.answers["/new.pvmp"] = lambda exchange: exchange.file(
        server.image, etag=f'"{exchange.server.count("/new.pvmp")}"'
    )
    report = check(server, "/new.pvmp", proof="sample")
    assert report.verdict == "unreachable"
    assert "changed on the server" in report.reasons[0]


def test_a_file_that_always_ends_early(server: LinkServer) -> None:
    report = check(server, "/truncated.pvmp", proof="full")
    assert (report.verdict, report.size) == ("wrong_size", 2 * BLOCK)
    assert "ended after 2097152 of 3150049 bytes. It was tried 4 times." in report.reasons[0]
    assert check(server, "/truncated.pvmp").verdict == "direct"
    assert check(server, "/truncated.pvmp", proof="sample").verdict == "wrong_size"


def test_a_size_that_is_a_lie_is_told_from_an_empty_file(server: LinkServer) -> None:
    """Asked to go on behind the last byte, the server has nothing."""
    size = server.image.size

    def lie(exchange: Exchange) -> None:
        behind = exchange.headers.get("Range") == f"bytes={size}-"
        exchange.file(server.image, claimed=None if behind else size + 10)

    server.answers["/lie.pvmp"] = lie
    report = check(server, "/lie.pvmp", proof="full")
    assert report.verdict == "wrong_size"
    assert report.reasons[0].startswith(f"The server reports {size + 10} bytes, but the last ones are missing")


def test_the_count_of_retries_starts_anew_while_the_download_gets_on(server: LinkServer) -> None:
    big = Content(random.Random(3).getrandbits(8 * 20 * MEBIBYTE).to_bytes(20 * MEBIBYTE, "little"))

    def answer(exchange: Exchange) -> None:
        start = int((exchange.headers.get("Range") or "bytes=0-").split("=")[1].split("-")[0])
        exchange.file(big, cut_at=start + 4 * MEBIBYTE)

    server.answers["/flaky.pvmp"] = answer
    report = check(server, "/flaky.pvmp", proof="full", sha256=big.sha256(), retries=1)
    assert report.verdict == "direct"
    assert "4 times" in " ".join(report.reasons)


def test_a_server_that_never_gets_further_is_given_up(server: LinkServer) -> None:
    server.answers["/stuck.pvmp"] = lambda exchange: exchange.file(server.image, ranges=False, cut_at=2 * BLOCK)
    assert check(server, "/stuck.pvmp", proof="full").verdict == "wrong_size"
    assert len(server.seen("/stuck.pvmp")) == 1 + 4


def test_pauses_grow_unless_the_server_says_how_long(server: LinkServer) -> None:
    pauses: list[float] = []
    check(server, "/status/500", pauses=pauses)
    assert pauses == [2, 4, 8]
    pauses.clear()
    assert check(server, "/busy/2", pauses=pauses).verdict == "direct"
    assert pauses == [0, 0]


def test_what_is_final_is_not_tried_again(server: LinkServer) -> None:
    check(server, "/status/404")
    assert len(server.requests) == 1


def test_slow_servers(server: LinkServer) -> None:
    silent = check(server, "/slow/2", timeout=0.3, retries=1)
    assert (silent.verdict, "0.3 seconds" in silent.reasons[0]) == ("unreachable", True)
    trickling = check(server, "/trickle.pvmp", patience=1, retries=0)
    assert (trickling.verdict, "too slow" in trickling.reasons[0]) == ("unreachable", True)


def test_a_server_that_stops_in_the_middle(server: LinkServer) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.begin(200, {"Content-Length": str(server.image.size), "Content-Type": "application/octet-stream"})
        exchange.write(next(server.image.blocks(0, BLOCK)))
        if "Range" not in exchange.headers:
            exchange.wait(2)
        exchange.cut()

    server.answers["/stopping.pvmp"] = answer
    report = check(server, "/stopping.pvmp", proof="full", timeout=0.3, retries=0)
    assert report.verdict == "unreachable"
    assert "no data was transferred" in report.reasons[0].lower()


def test_a_port_where_nobody_listens(server: LinkServer) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        report = check(server, f"https://127.0.0.1:{unused.getsockname()[1]}/image.pvmp")
    assert report.verdict == "unreachable"
    assert "refused" in report.reasons[0]


def test_another_answer_to_the_whole_download(server: LinkServer) -> None:
    """Some hosts give small ranges freely, and a page to those who want the whole file."""

    def answer(exchange: Exchange) -> None:
        if "Range" in exchange.headers:
            exchange.file(server.image)
        else:
            exchange.send(200, {"Content-Type": "text/html"}, b"<html>Too many downloads")

    server.answers["/quota.pvmp"] = answer
    assert check(server, "/quota.pvmp").verdict == "direct"
    assert check(server, "/quota.pvmp", proof="full").verdict == "html"


@pytest.mark.parametrize(
    ("days", "min_validity", "verdict"),
    [(5, 90, "expires_soon"), (100, 90, "direct"), (5, 4, "direct"), (0.1, 0, "direct")],
)
def test_links_that_end(server: LinkServer, days: float, min_validity: int, verdict: str) -> None:
    report = check(server, "/image.pvmp?" + signed(now(), days), min_validity=min_validity)
    assert report.verdict == verdict
    ends = datetime.strptime(report.expires_at or "", "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    assert abs(ends - now() - timedelta(days=days)) < timedelta(minutes=1)
    assert "topsecret" not in json.dumps(report.result())


@pytest.mark.parametrize(("age", "verdict"), [(timedelta(0), "direct"), (timedelta(days=2), "expires_soon")])
def test_a_redirect_to_an_address_that_ends(server: LinkServer, age: timedelta, verdict: str) -> None:
    target = server.url("/image.pvmp?" + signed(now() - age, 5))
    server.answers["/short"] = lambda exchange: exchange.redirect(target)
    assert check(server, "/short").verdict == verdict


def test_an_end_that_cannot_be_read(server: LinkServer) -> None:
    report = check(server, "/image.pvmp?si=golden&sig=topsecret")
    assert report.verdict == "direct"
    assert "stored access policy" in " ".join(report.reasons)


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        (
            "http://www.dropbox.com/scl/fi/1/a.pvmp?rlkey=k&dl=0",
            "use its direct form, https://www.dropbox.com/scl/fi/1/a.pvmp?rlkey=k&dl=1",
        ),
        (
            "http://contoso.sharepoint.com/:u:/s/mac/E1?e=2",
            "use its direct form, https://contoso.sharepoint.com/:u:/s/mac/E1?download=1",
        ),
        ("http://drive.google.com/file/d/1/view", "publish the image to another store"),
        ("http://images.example.com/a.pvmp", "Use an https:// address"),
    ],
)
def test_advice_names_the_direct_form_of_this_very_link(server: LinkServer, url: str, advice: str) -> None:
    assert advice in check(server, url).advice


def test_advice_for_a_share_page_of_a_host_of_ones_own(server: LinkServer) -> None:
    server.answers["/s/AbCd1234"] = server.answers["/page"]
    server.answers["/s/AbCd1234/download"] = server.answers["/image.pvmp"]
    report = check(server, "/s/AbCd1234")
    assert report.verdict == "html"
    assert report.advice.endswith(server.url("/s/AbCd1234/download"))
    assert check(server, report.advice.split()[-1]).verdict == "direct"


@pytest.mark.parametrize("url", ["https:", "https:///image.pvmp", "https://[broken/x", "https://host:port/x"])
def test_what_is_no_address(server: LinkServer, url: str) -> None:
    with pytest.raises(TaskError, match="not a valid address"):
        check(server, url)


def test_what_is_no_address_at_all(server: LinkServer) -> None:
    with pytest.raises(TaskError, match="not a valid address"):
        LinkCheck(Question("images.example.com/a.pvmp"), lambda cookies: Http(), Retries())


def test_the_failure_holds_the_verdict_the_reason_and_the_advice(server: LinkServer) -> None:
    report = check(server, "/page")
    failure = report.failure()
    for part in ("(html)", report.reasons[0], report.advice, server.url("/page")):
        assert part in failure.message
    assert failure.details == report.result()


def test_the_report_is_small(server: LinkServer) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.send(302, {"Location": "/loud.pvmp?dl=" + "x" * 5000, "Set-Cookie": "a=" + "b" * 3000})

    server.answers["/long.pvmp"] = answer
    server.answers["/loud.pvmp"] = lambda exchange: exchange.file(
        server.image, Server="s" * 5000, Cache_Control="c" * 5000
    )
    assert len(json.dumps(check(server, "/long.pvmp").result())) < 5000


_MEASURE = """
import resource, sys
from ansible_collections.macops.parallels.plugins.module_utils._http.session import Http
from ansible_collections.macops.parallels.plugins.module_utils._link.check import LinkCheck
from ansible_collections.macops.parallels.plugins.module_utils._link.report import Question
from ansible_collections.macops.parallels.plugins.module_utils._common.retry import Retries

def peak():
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit // 2**20

url, ca_path, sha256 = sys.argv[1:]
def check(proof):
    return LinkCheck(Question(url, sha256=sha256, proof=proof), lambda cookies: Http(ca_path=ca_path), Retries()).run()

check("headers")
before = peak()
report = check("full")
print(report.verdict, report.size, report.sha256, peak() - before)
"""


def test_the_memory_does_not_grow_with_the_image(server: LinkServer, tmp_path: Path) -> None:
    path = tmp_path / "sparse.pvmp"
    size = 500 * MEBIBYTE
    with path.open("wb") as handle:
        handle.truncate(size)
    sparse = Content(path=str(path))
    server.answers["/sparse.pvmp"] = lambda exchange: exchange.file(sparse)
    collections, library = Path(check_module.__file__).parents[6], Path(ansible.__file__).parents[1]
    found = subprocess.run(
        [sys.executable, "-c", _MEASURE, server.url("/sparse.pvmp"), server.ca_path, sparse.sha256()],
        env={**os.environ, "PYTHONPATH": f"{collections}:{library}"},
        capture_output=True,
        text=True,
        check=True,
    )
    verdict, read, digest, growth = found.stdout.split()
    assert (verdict, int(read), digest) == ("direct", size, sparse.sha256())
    assert int(growth) < 20, f"{growth} MiB"


def odd_part(header: dict[str, str], status: int = 206) -> Any:
    """Return an answer to requests with a range, for a server that sends the file to all others."""

    def answer(exchange: Exchange) -> None:
        if exchange.headers.get("Range"):
            exchange.send(status, header, b"".join(exchange.server.image.blocks(0, 1024)) if status == 206 else b"no")
        else:
            exchange.file(exchange.server.image, ranges=False)

    return answer


@pytest.mark.parametrize("proof", ["headers", "full"])
@pytest.mark.parametrize(
    ("status", "header"),
    [
        (400, {}),
        (403, {}),
        (405, {}),
        (416, {}),
        (416, {"Content-Range": "bytes */3150049"}),
        (500, {"Retry-After": "0"}),
        (501, {}),
        (206, {}),
        (206, {"Content-Range": "bytes=0-1023/3150049"}),
        (206, {"Content-Range": "0-1023/3150049"}),
        (206, {"Content-Range": "bytes 0-1023/99"}),
        (206, {"Content-Range": "bytes 0-1023/" + "9" * 40}),
        (206, {"Content-Range": "bytes 5-1028/3150049"}),
    ],
)
def test_a_server_that_refuses_ranges_still_sends_the_file(
    server: LinkServer, status: int, header: dict[str, str], proof: str
) -> None:
    server.answers["/odd.pvmp"] = odd_part(header, status)
    report = check(server, "/odd.pvmp", proof=proof, sha256=server.image.sha256(), retries=0)
    assert (report.verdict, report.ranges, report.size) == ("direct", False, server.image.size)
    assert "does not support range requests" in " ".join(report.reasons)


def test_a_download_without_ranges_starts_over(server: LinkServer) -> None:
    def answer(exchange: Exchange) -> None:
        if exchange.headers.get("Range"):
            exchange.send(416)
        else:
            turn = exchange.server.count(exchange.path)
            exchange.file(server.image, ranges=False, cut_at=2 * BLOCK if turn == 1 else None)

    server.answers["/odd.pvmp"] = answer
    report = check(server, "/odd.pvmp", proof="full", sha256=server.image.sha256())
    assert (report.verdict, report.sha256) == ("direct", server.image.sha256())
    assert "restart from the beginning once" in " ".join(report.reasons)


def test_an_answer_without_a_range_is_judged_by_itself(server: LinkServer) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.send(416 if exchange.headers.get("Range") else 200, {}, b"<html>Blocked</html>")

    server.answers["/odd.pvmp"] = answer
    assert check(server, "/odd.pvmp").verdict == "html"
    server.answers["/odd.pvmp"] = lambda exchange: exchange.send(416, {"Content-Range": "bytes */0"})
    server.requests.clear()
    assert check(server, "/odd.pvmp").verdict == "wrong_size"
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("content_type", "body", "reason"),
    [
        ("application/octet-stream", b"Access to this site was blocked.\r\n", "a text of 34 bytes, not to an image"),
        ("text/plain", b"Access to this site was blocked.", "It begins with 'Access to this site was blocked.'"),
        ("application/octet-stream", b'{"error":"expired"}', "a JSON document"),
        ("application/octet-stream", b"<div class=err>Blocked</div>", "a web page"),
        ("application/octet-stream", "\ufeff<html><title>No</title>".encode("utf-16-le"), "its title is 'No'"),
    ],
)
def test_messages_that_come_as_a_file(server: LinkServer, content_type: str, body: bytes, reason: str) -> None:
    server.answers["/odd.pvmp"] = lambda exchange: exchange.send(200, {"Content-Type": content_type}, body)
    report = check(server, "/odd.pvmp")
    assert report.verdict == "html"
    assert reason in report.reasons[0]
    assert "as it is" not in report.advice


def test_an_image_of_text_that_was_published(server: LinkServer) -> None:
    server.answers["/odd.pvmp"] = lambda exchange: exchange.send(200, {}, b"a small test image")
    assert check(server, "/odd.pvmp", size=18).verdict == "direct"


@pytest.mark.parametrize("proof", ["headers", "sample", "full"])
def test_a_file_that_is_compressed_on_the_way(server: LinkServer, proof: str) -> None:
    packed = gzip.compress(b"".join(server.image.blocks(0, server.image.size)), 1)
    server.answers["/odd.pvmp"] = lambda exchange: exchange.send(200, {"Content-Encoding": "gzip"}, packed)
    report = check(server, "/odd.pvmp", proof=proof, sha256=server.image.sha256(), size=server.image.size)
    assert report.verdict == "wrong_checksum"
    assert "compresses the file in transit (gzip)" in report.reasons[0]
    assert report.advice.startswith("Switch off compression for this file on the server")


def test_a_file_that_is_only_compressed_as_a_whole(server: LinkServer) -> None:
    def answer(exchange: Exchange) -> None:
        if exchange.headers.get("Range"):
            exchange.file(server.image)
        else:
            exchange.send(200, {"Content-Encoding": "gzip"}, b"")

    server.answers["/odd.pvmp"] = answer
    report = check(server, "/odd.pvmp", proof="full", sha256=server.image.sha256())
    assert "Switch off compression" in report.advice


def test_a_compressed_page_is_a_page(server: LinkServer) -> None:
    page = gzip.compress(b"<html><title>Sign in</title>")
    server.answers["/odd.pvmp"] = lambda exchange: exchange.send(200, {"Content-Encoding": "gzip"}, page)
    report = check(server, "/odd.pvmp", size=5)
    assert report.verdict == "html"
    assert "'Sign in'" in report.reasons[0]


@pytest.mark.parametrize(
    "location", ["/B\xfcro.pvmp", "/B\xc3\xbcro.pvmp", "  /plain.pvmp  ", "//localhost:PORT/plain.pvmp"]
)
def test_redirects_in_any_encoding(server: LinkServer, location: str) -> None:
    for path in ("/B%FCro.pvmp", "/B%C3%BCro.pvmp", "/plain.pvmp"):
        server.answers[path] = server.answers["/image.pvmp"]
    port = server.url("").rpartition(":")[2]
    server.answers["/to"] = lambda exchange: exchange.redirect(location.replace("PORT", port))
    assert check(server, "/to").verdict == "direct"


@pytest.mark.parametrize(
    "location", ["https://[::1/x", "https://a..b/x", "https://:443/x", "https://h:99999/x", "\x7f:x"]
)
def test_redirects_to_nowhere(server: LinkServer, location: str) -> None:
    server.answers["/to"] = lambda exchange: exchange.redirect(location)
    assert check(server, "/to", retries=0).verdict in ("unreachable", "not_found", "insecure")


@pytest.mark.parametrize("length", ["many", "-5", "\xb2", "9" * 30, ""])
def test_a_size_that_is_not_a_number(server: LinkServer, length: str) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.begin(200, {"Content-Length": length, "Connection": "close"})
        exchange.write(b"\0image" * 1000)
        exchange._handler.close_connection = True

    server.answers["/odd.pvmp"] = answer
    report = check(server, "/odd.pvmp", retries=0)
    assert (report.verdict, report.size) == ("direct", None)
    assert "is not a valid number" in " ".join(report.reasons)


def test_blanks_around_a_link(server: LinkServer) -> None:
    report = check(server, server.url("/image.pvmp") + " \n")
    assert (report.verdict, report.url) == ("direct", server.url("/image.pvmp"))


@pytest.mark.parametrize("scheme", ["Negotiate", "NTLM", 'Bearer realm="x"', "\xff"])
def test_logins_of_any_scheme(server: LinkServer, scheme: str) -> None:
    server.answers["/odd.pvmp"] = lambda exchange: exchange.send(401, {"WWW-Authenticate": scheme})
    assert check(server, "/odd.pvmp").verdict == "login"


@pytest.mark.parametrize("name", ["Repr-Digest", "Digest", "Content-MD5", "X-Checksum-Sha256", "X-Amz-Checksum-Sha256"])
def test_digests_that_cannot_be_read_are_unknown(server: LinkServer, name: str) -> None:
    for value in ("", "?", "sha-256=:x:", "AAAA-3", "\xff" * 64):
        server.answers["/odd.pvmp"] = lambda exchange, value=value: exchange.file(server.image, **{name: value})
        assert check(server, "/odd.pvmp", sha256=server.image.sha256()).verdict == "direct"


@pytest.mark.parametrize("proof", ["headers", "full"])
def test_a_certificate_that_only_a_mac_refuses(server: LinkServer, proof: str) -> None:
    report = check(server, "/image.pvmp", tls="ten_years", proof=proof)
    assert report.verdict == "tls_error"
    assert "it is valid for 3650 days, and 825 days are the limit" in report.reasons[0]
    assert "Apple's requirements" in report.advice
    assert report.chain == [{"url": server.url("/image.pvmp", "ten_years"), "status": 206}]


def test_a_certificate_of_a_redirect_that_only_a_mac_refuses(server: LinkServer) -> None:
    server.answers["/to"] = lambda exchange: exchange.redirect(server.url("/image.pvmp", "ten_years"))
    assert check(server, "/to").verdict == "tls_error"


def test_a_certificate_that_cannot_be_read_is_not_called_good(
    server: LinkServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Http, "certificate_of", staticmethod(lambda response: b"\x30\x03"))
    report = check(server, "/image.pvmp")
    assert report.verdict == "direct"
    assert "it was not checked whether it meets Apple's rules" in " ".join(report.reasons)


def test_a_missing_intermediate_certificate_has_advice_of_its_own(server: LinkServer) -> None:
    report = check(server, "/image.pvmp", tls="unknown")
    assert "it does not send its intermediate certificates" in report.reasons[0]
    assert report.advice.startswith("Configure the server to send its intermediate certificates, too")
    assert "intermediate" not in check(server, "/image.pvmp", tls="expired").advice
