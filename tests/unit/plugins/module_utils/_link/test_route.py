# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Redirects, and what is shown of addresses."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._http.limits import SMALL_ANSWER
from ansible_collections.macops.parallels.plugins.module_utils._http.networks import Networks
from ansible_collections.macops.parallels.plugins.module_utils._http.session import Inward
from ansible_collections.macops.parallels.plugins.module_utils._link.route import Route, Unfit, masked

# Addresses of documentation are no public ones for Python: these belong to name servers that everybody knows.
HOSTS = {
    "public.example": ["9.9.9.9"],
    "other.example": ["1.1.1.1", "2606:4700:4700::1111"],
    "both.example": ["9.9.9.9", "10.0.0.1"],
    "intranet.example": ["10.0.0.1"],
    "carrier.example": ["100.64.0.1"],
    "local6.example": ["fd00::1"],
    "mapped.example": ["::ffff:10.0.0.1"],
    "metadata.example": ["169.254.169.254"],
    "link6.example": ["fe80::1%en0"],
    "self.example": ["127.0.0.1"],
    "self6.example": ["::1"],
    "zero.example": ["0.0.0.0"],  # nosec B104 # an answer, nothing listens there
    "unknown.example": [],
}


class Answer:
    reason = "OK"

    def __init__(self, status: int, location: str | None = None) -> None:
        self.status_code = status
        self.headers = {} if location is None else {"Location": location}
        self.closed = False

    def close(self) -> None:
        self.closed = True


class FakeHttp:
    """Answers with a redirect for each address that is in the map, else with 200."""

    def __init__(self, redirects: dict[str, str]) -> None:
        self.redirects = redirects
        self.asked: list[str] = []
        self.within: list[Any] = []

    def certificate_of(self, response: Any) -> None:
        return None

    def request(self, method: str, url: str, headers: dict[str, str], stream: bool, largest: int, within: Any) -> Any:
        assert (method, stream, largest) == ("GET", True, SMALL_ANSWER)
        self.asked.append(url)
        self.within.append(within)
        return Answer(302, self.redirects[url]) if url in self.redirects else Answer(200)


def test_a_host_whose_address_changes_before_the_connection_is_refused() -> None:
    class Rebound(FakeHttp):
        def request(self, method: str, url: str, *more: Any, **options: Any) -> Any:
            if options["within"] is not None:
                assert options["within"] == {"public"}
                raise Inward("It was not asked.", network="loopback")
            return super().request(method, url, *more, **options)

    start, target = "https://public.example/a", "https://other.example/a"
    with pytest.raises(Unfit, match=r"The link redirects to other\.example in a loopback network") as caught:
        Route(start, Networks(HOSTS.__getitem__)).walk(Rebound({start: target}), {})  # type: ignore[arg-type]
    assert caught.value.verdict == "insecure"


def walk(start: str, *targets: str, **options: bool) -> Route:
    steps = [start, *targets]
    http = FakeHttp(dict(zip(steps, targets)))
    return Route(start, Networks(HOSTS.__getitem__), **options).walk(http, {})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("public.example", "public"),
        ("other.example", "public"),
        ("both.example", "private"),
        ("intranet.example", "private"),
        ("carrier.example", "private"),
        ("local6.example", "private"),
        ("mapped.example", "private"),
        ("metadata.example", "link_local"),
        ("link6.example", "link_local"),
        ("self.example", "loopback"),
        ("self6.example", "loopback"),
        ("zero.example", "loopback"),
        ("unknown.example", "unknown"),
    ],
)
def test_networks(host: str, network: str) -> None:
    assert Networks(HOSTS.__getitem__).of(f"https://{host}:8443/x") == network


def test_a_host_is_asked_for_once() -> None:
    asked: list[str] = []
    networks = Networks(lambda host: asked.append(host) or ["9.9.9.9"])  # type: ignore[func-returns-value]
    assert [networks.of("https://a.example/1"), networks.of("https://a.example/2")] == ["public"] * 2
    assert asked == ["a.example"]


@pytest.mark.parametrize(
    "host", ["intranet.example", "both.example", "metadata.example", "self.example", "self6.example"]
)
def test_a_redirect_from_the_internet_into_a_network_is_refused(host: str) -> None:
    with pytest.raises(Unfit) as caught:
        walk("https://public.example/a", f"https://{host}/a")
    assert caught.value.verdict == "insecure"
    assert host in caught.value.reason


def test_a_redirect_into_a_private_network_may_be_allowed() -> None:
    route = walk("https://public.example/a", "https://intranet.example/a", allow_private_redirects=True)
    assert route.url == "https://intranet.example/a"


def test_a_redirect_from_this_machine_to_addresses_of_its_links_is_refused() -> None:
    with pytest.raises(Unfit, match=r"from a loopback network to metadata\.example in a link-local network"):
        walk("https://self.example/a", "https://metadata.example/a", allow_private_redirects=True)


@pytest.mark.parametrize("host", ["metadata.example", "self.example"])
@pytest.mark.parametrize("start", ["public.example", "intranet.example"])
def test_other_redirects_inwards_are_never_allowed(start: str, host: str) -> None:
    with pytest.raises(Unfit, match=host):
        walk(f"https://{start}/a", f"https://{host}/a", allow_private_redirects=True)


@pytest.mark.parametrize(
    "steps",
    [
        ("https://intranet.example/a", "https://public.example/a"),
        ("https://self.example/a", "https://intranet.example/a"),
        ("https://unknown.example/a", "https://intranet.example/a"),
        ("https://public.example/a", "https://unknown.example/a"),
        ("https://intranet.example/a", "https://carrier.example/a"),
    ],
)
def test_other_redirects_are_followed(steps: tuple[str, ...]) -> None:
    assert walk(*steps).url == steps[-1]


@pytest.mark.parametrize(
    ("location", "verdict"),
    [
        ("http://public.example/b", "insecure"),
        ("HTTP://public.example/b", "insecure"),
        ("file:///etc/passwd", "insecure"),
        ("ftp://public.example/b", "insecure"),
        ("javascript:alert(1)", "insecure"),
        ("https://jane:secret@public.example/b", "insecure"),
        ("//jane@public.example/b", "insecure"),
        ("https://login.microsoftonline.com/common", "login"),
        ("https://[broken/", "unreachable"),
        ("https://public.example:port/", "unreachable"),
        ("/a", "too_many_redirects"),
    ],
)
def test_redirects_that_are_not_followed(location: str, verdict: str) -> None:
    http = FakeHttp({"https://public.example/a": location})
    route = Route("https://public.example/a", Networks(HOSTS.__getitem__))
    with pytest.raises(Unfit) as caught:
        route.walk(http, {})  # type: ignore[arg-type]
    assert caught.value.verdict == verdict
    assert http.asked == ["https://public.example/a"]
    assert "secret" not in f"{caught.value.reason} {route.chain()}"


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("b?x=1", "https://public.example/f/b?x=1"),
        ("/b", "https://public.example/b"),
        ("//other.example/b", "https://other.example/b"),
        ("https://public.example/B\u00c3\u00bcro.pvmp", "https://public.example/Büro.pvmp"),
    ],
)
def test_where_a_location_leads(location: str, target: str) -> None:
    assert walk_to(location) == target


def walk_to(location: str) -> str:
    http = FakeHttp({"https://public.example/f/a": location})
    return Route("https://public.example/f/a", Networks(HOSTS.__getitem__)).walk(http, {}).url  # type: ignore[arg-type]


def test_five_redirects_are_followed_and_a_sixth_is_not() -> None:
    steps = [f"https://public.example/{number}" for number in range(7)]
    assert len(walk(*steps[:6]).chain()) == 6
    with pytest.raises(Unfit, match="more than 5"):
        walk(*steps)


def test_with_cookies_an_address_may_come_again() -> None:
    http = FakeHttp({"https://public.example/a": "/a"})
    route = Route("https://public.example/a", Networks(HOSTS.__getitem__), cookies=True)
    with pytest.raises(Unfit, match="more than 5"):
        route.walk(http, {})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://a.example/i.pvmp", "https://a.example/i.pvmp"),
        (
            "https://a.example/i.pvmp?sig=secret&se=2027-01-01T10:00:00Z",
            "https://a.example/i.pvmp?sig=***&se=2027-01-01T10:00:00Z",
        ),
        (
            "https://a.example/i?X-Amz-Signature=secret&X-Amz-Date=1",
            "https://a.example/i?X-Amz-Signature=***&X-Amz-Date=1",
        ),
        ("https://a.example/i?rlkey=secret&dl=1", "https://a.example/i?rlkey=***&dl=1"),
        ("https://a.example/i?secret", "https://a.example/i?***"),
        ("https://a.example/i?tempauth=se%20cret#secret", "https://a.example/i?tempauth=***"),
        ("https://jane:secret@a.example:8443/i", "https://***@a.example:8443/i"),
    ],
)
def test_what_is_shown_of_an_address(url: str, shown: str) -> None:
    assert masked(url) == shown


def test_what_is_shown_is_short() -> None:
    assert len(masked("https://a.example/" + "x" * 5000)) == 500


@pytest.mark.parametrize(
    ("locations", "reason"),
    [
        (["https://other.example/a", "https://both.example/a"], "redirects to 2 different addresses at the same time"),
        (["https://other.example/a", " https://other.example/a"], ""),
        (["https://other.example/a", ""], ""),
    ],
)
def test_two_redirects_in_one_answer(locations: list[str], reason: str) -> None:
    from urllib3._collections import HTTPHeaderDict

    class TwoAnswers(FakeHttp):
        def request(self, *arguments: Any, **options: Any) -> Any:
            found = super().request(*arguments, **options)
            if found.status_code == 302:
                found.raw = type("Raw", (), {"headers": HTTPHeaderDict([("Location", each) for each in locations])})
            return found

    start = "https://public.example/a"
    route = Route(start, Networks(HOSTS.__getitem__))
    http: Any = TwoAnswers({start: ", ".join(locations)})
    if reason:
        with pytest.raises(Unfit, match=reason) as caught:
            route.walk(http, {})
        assert (caught.value.verdict, http.asked) == ("unreachable", [start])
        assert "one Location header" in caught.value.advice
    else:
        assert route.walk(http, {}).url == "https://other.example/a"
