# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The route from a link to the file: each redirect is checked before it is followed."""

from __future__ import annotations

from collections.abc import Set
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from .._common.retry import RetryLater
from .._common.text import printable_line
from .._http.headers import locations, redirect_target
from .._http.limits import SMALL_ANSWER
from .._http.networks import Networks, reachable_from
from .._http.session import MOST_REDIRECTS, REDIRECTS, Http, Inward, retry_after
from .certificate import read_certificate, refusal
from .login import hints_at_login, is_login_host

# Transient: too early, too many requests, a server that is overloaded or restarting.
_PASSING = (408, 425, 429, 500, 502, 503, 504)
_LONGEST_URL = 500

# Query parameters that are useful to see and grant no access. The values of all others are masked.
_OPEN_PARAMETERS = (
    *(
        "dl",
        "download",
        "e",
        "exp",
        "expires",
        "files",
        "path",
        "raw",
        "se",
        "sp",
        "sr",
        "st",
        "sv",
        "version",
        "versionid",
    ),
    *(f"x-{vendor}-{name}" for vendor in ("amz", "goog") for name in ("algorithm", "date", "expires", "signedheaders")),
)


class Unfit(Exception):
    """The link is not fit for use: the verdict, the reason in a sentence, and advice of its own, if any."""

    def __init__(self, verdict: str, reason: str, advice: str = "") -> None:
        super().__init__(reason)
        self.verdict = verdict
        self.reason = reason
        self.advice = advice


def masked(url: str) -> str:
    """Return a URL for display: without user and password, and with the secrets of its query masked."""
    parts = urlsplit(url)
    query = "&".join(_shown_parameter(*pair) for pair in parse_qsl(parts.query, keep_blank_values=True))
    _user, at, host = parts.netloc.rpartition("@")
    shown = parts._replace(netloc=f"***@{host}" if at else host, query=query, fragment="").geturl()
    return shown if len(shown) <= _LONGEST_URL else shown[: _LONGEST_URL - 3] + "..."


def _shown_parameter(name: str, value: str) -> str:
    if name.lower() in _OPEN_PARAMETERS:
        return f"{quote(name)}={quote(value, safe='/:')}"
    return f"{quote(name)}=***" if value else "***"  # without a value, the name itself may be the secret


class Route:
    """The redirects of one request for a link, and the final answer."""

    def __init__(
        self, url: str, networks: Networks, allow_private_redirects: bool = False, cookies: bool = False
    ) -> None:
        self.urls = [url]
        self.statuses: list[int] = []
        self.sets_cookies = False
        self.response: Any = None
        # Hosts whose certificates could not be checked by Apple's rules.
        self.unread_certificates: set[str] = set()
        self._networks = networks
        self._allow_private = allow_private_redirects
        self._cookies = cookies
        # The networks in which the current address must be; None for any.
        self._within: Set[str] | None = None

    @property
    def url(self) -> str:
        """The current address."""
        return self.urls[-1]

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc.rpartition("@")[2]

    @property
    def hints_at_login(self) -> bool:
        return any(hints_at_login(url) for url in self.urls[1:])

    def chain(self) -> list[dict[str, Any]]:
        """Return each step with its URL masked; the status is None for one that was not requested."""
        statuses = [*self.statuses, *[None] * (len(self.urls) - len(self.statuses))]
        return [{"url": masked(url), "status": status} for url, status in zip(self.urls, statuses)]

    def close(self) -> None:
        if self.response is not None:
            self.response.close()

    def walk(self, http: Http, headers: dict[str, str], largest: int = SMALL_ANSWER) -> Route:
        """Follow the redirects; the final answer is left open, and has C(largest) bytes that can be read.

        Raises Unfit, RetryLater, TaskError.
        """
        check_address(self.url)
        while True:
            response = self._request(http, headers, largest)
            self.statuses.append(response.status_code)
            self._judge_certificate(http, response)
            self.sets_cookies = self.sets_cookies or "Set-Cookie" in response.headers
            targets = locations(response)
            if response.status_code not in REDIRECTS or not targets:
                self.response = response
                self._raise_for_passing()
                return self
            response.close()
            if len(targets) > 1:
                raise Unfit(
                    "unreachable",
                    f"{self.host} redirects to {len(targets)} different addresses at the same time, so that each "
                    "browser or program may follow another one.",
                    "Ask the server's administrators to send one Location header.",
                )
            self._turn_to(targets[0])

    def _request(self, http: Http, headers: dict[str, str], largest: int) -> Any:
        try:
            return http.request("GET", self.url, headers, stream=True, largest=largest, within=self._within)
        except Inward as error:  # its name had another address a moment ago
            raise self._inward("", str(error.details["network"])) from None

    def _judge_certificate(self, http: Http, response: Any) -> None:
        """Raise Unfit for a certificate that OpenSSL accepted and a Mac refuses."""
        der = http.certificate_of(response)
        certificate = read_certificate(der) if der else None
        if certificate is None:
            self.unread_certificates.add(self.host)
            return
        why = refusal(certificate, http.trusts_public)
        if why:
            response.close()
            raise Unfit(
                "tls_error",
                f"Macs do not trust the certificate of {self.host}: {why}. This host accepts it, but macOS has "
                "stricter rules.",
                "Replace the server's certificate with one that meets Apple's requirements "
                "(https://support.apple.com/103769).",
            )

    def _raise_for_passing(self) -> None:
        if self.response.status_code in _PASSING:
            self.response.close()
            raise RetryLater(f"{self.host} answered {status_line(self.response)}.", after=retry_after(self.response))

    def _turn_to(self, location: str) -> None:
        """Take the next step, or raise Unfit. The step is in the chain either way."""
        before = self.url
        target = redirect_target(before, location)
        if target is None:
            raise Unfit("unreachable", f"{self.host} redirects to an invalid address.")
        known = target in self.urls and not self._cookies
        self.urls.append(target)
        if known:
            raise Unfit("too_many_redirects", "The redirects form a loop.")
        if len(self.urls) > MOST_REDIRECTS + 1:
            raise Unfit("too_many_redirects", f"There are more than {MOST_REDIRECTS} redirects.")
        check_address(target, redirected=True)
        if is_login_host(target):
            raise Unfit("login", f"The link redirects to {self.host}, which is a sign-in page.")
        self._check_network(before, target)

    def _check_network(self, before: str, target: str) -> None:
        if urlsplit(before).hostname == urlsplit(target).hostname:
            return
        origin, network = self._networks.of(before), self._networks.of(target)
        self._within = reachable_from(origin)
        if self._within is not None and self._allow_private:
            self._within = {*self._within, "private"}
        if network != "unknown" and self._within is not None and network not in self._within:
            raise self._inward(f"from a {origin.replace('_', '-')} network ", network)

    def _inward(self, origin: str, network: str) -> Unfit:
        return Unfit(
            "insecure",
            f"The link redirects {origin}to {self.host} in a {network.replace('_', '-')} network. The redirect was not "
            "followed.",
        )


def check_address(url: str, redirected: bool = False) -> None:
    """Raise Unfit for an address that must not be requested."""
    parts = urlsplit(url)
    start = "The link redirects to" if redirected else "The link is"
    if parts.scheme.lower() != "https":
        raise Unfit("insecure", f"{start} an address that starts with {parts.scheme}: instead of https:.")
    if "@" in parts.netloc:
        raise Unfit("insecure", f"{start} an address that contains a user name or a password. Everyone would see them.")


def status_line(response: Any) -> str:
    """Return the status of an answer with the server's reason phrase, such as C(404 Not Found)."""
    return f"{response.status_code} {printable_line(response.reason or '', 60)}".strip()
