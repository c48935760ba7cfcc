# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""HTTP with strict rules: no credentials from a netrc, no automatic redirects, no wait without a timeout."""

from __future__ import annotations

import base64
import functools
import http.client
import ipaddress
import os
import socket
import ssl
import time
from collections.abc import Iterator, Set
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Callable
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass_environment

from .._common.deps import load
from .._common.errors import TaskError
from .._common.files import BLOCK
from .._common.retry import RetryLater
from .expect_continue import pool_classes
from .headers import content_length, http_date, redirect_of, whole_number
from .limits import SMALL_ANSWER, Allowance, BoundedBody, Unbounded, allowing, require_identity, seconds_for
from .networks import Networks, WrongNetwork, network_of

REDIRECTS = (301, 302, 303, 307, 308)
# Statuses after which the same request may succeed a little later.
TRANSIENT = (408, 423, 425, 429, 500, 502, 503, 504)
GONE = (404, 410)
MOST_REDIRECTS = 5
_CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
# Errors without a text from the operating system.
_CAUSES: dict[type[BaseException], str] = {
    socket.timeout: "no data was transferred within the timeout",
    http.client.IncompleteRead: "the response ended too early",
    http.client.RemoteDisconnected: "the server closed the connection without a response",
    http.client.LineTooLong: "the server sent a line of more than 64 KiB",
}
# X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY and X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE
_NO_ISSUER = (20, 21)
_INCOMPLETE = (
    "If the server has a certificate of a public or known certificate authority, it does not send its intermediate "
    "certificates: configure it with the full chain. "
)
_SECRET_HEADERS = ("authorization", "cookie", "proxy-authorization")


class TlsError(TaskError):
    """The server's certificate is not trusted, or the TLS connection cannot be established."""


class Inward(TaskError):
    """A request was not sent, because its host is in a network to which it must not lead; C(network) names that."""


def basic(username: str, password: str) -> str:
    """Return the value of C(Authorization) for a user and a password."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def bearer(token: str) -> str:
    """Return the value of C(Authorization) for a token."""
    return f"Bearer {token}"


class Http:
    """An HTTP session with one identity, or an anonymous one.

    C(authorization) is sent to the hosts that are requested directly, never to the target of a redirect.
    """

    def __init__(
        self,
        authorization: str | None = None,
        ca_path: str | None = None,
        proxy: str | None = None,
        timeout: float = 60.0,
        cookies: bool = False,
    ) -> None:
        self._requests = load("requests")
        self._authorization = authorization
        self._timeout = timeout
        self._proxy = proxy
        self.ca_path = ca_path
        self._verify: str | bool = ca_path or _ca_of_environment() or True
        if isinstance(self._verify, str) and not os.access(self._verify, os.R_OK):
            raise TaskError(
                f"The certificate authority file {self._verify} does not exist or cannot be read. "
                "Correct ca_path (it is a path on the host that runs the module)."
            )
        self._session = self._requests.Session()
        # With trust_env, requests reads ~/.netrc, also after a redirect: an "anonymous" check would log in.
        self._session.trust_env = False
        # We follow redirects ourselves. requests would decode each Location, which raises for one that is not UTF-8.
        self._session.get_redirect_target = lambda response: None
        self._session.headers["User-Agent"] = "macops.parallels"
        self._session.headers["Accept-Encoding"] = "identity"
        if not cookies:
            self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        adapter = _adapter_class()()
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)

    def __enter__(self) -> Http:
        return self

    def __exit__(self, *_unused: Any) -> None:
        self.close()

    def close(self) -> None:
        self._session.close()

    def request(
        self,
        method: str,
        url: str,
        headers: dict[str, str] | None = None,
        data: Any = None,
        stream: bool = False,
        expect: bool = False,
        answer_timeout: float | None = None,
        authorize: bool = True,
        largest: int = SMALL_ANSWER,
        within: Set[str] | None = None,
    ) -> Any:
        """Send one request without following redirects, and return the C(requests.Response) with any status.

        C(data) is bytes, or an object with C(read) and a length. With C(expect), none of it is sent before the server
        asks for it, so that a refusal costs nothing. C(answer_timeout) is how long the server may take to answer after
        the last byte. With C(stream), the body of the answer is not read; it is to be read with C(blocks).

        C(largest) is how many bytes of a body are read, in whatever way, and how long that may take follows from it.
        Without C(stream), a body that is larger or compressed raises TaskError; that of an error is left out. C(within)
        are the networks in which the host must be, else Inward is raised and nothing is sent.
        Raises RetryLater for transient failures, TlsError, or TaskError.
        """
        sent = dict(headers or {})
        if authorize and self._authorization:
            sent["Authorization"] = self._authorization
        if expect:
            sent["Expect"] = "100-continue"
        proxies = self._proxies(url)
        if within is not None and proxies:  # the proxy connects, so that only the name can be checked
            self._require_within(url, within)
        seconds = seconds_for(self._timeout, answer_timeout, largest)
        try:
            with allowing(Allowance(largest, seconds, None if proxies else within)):
                response = self._session.request(
                    method,
                    url,
                    headers=sent,
                    data=data,
                    stream=True,
                    allow_redirects=False,
                    verify=self._verify,
                    proxies=proxies,
                    timeout=(self._timeout, answer_timeout or self._timeout),
                )
            response.raw = BoundedBody(response.raw, response.url, largest)
            if not stream:
                load_body(response)
        except (self._requests.exceptions.RequestException, load("urllib3.exceptions").HTTPError, ValueError) as error:
            # Some errors of urllib3 and some ValueErrors, such as that of a host name with a label that is too long,
            # pass requests as they are.
            raise self._understood(error, url) from error
        if expect and response.status_code == 417:  # a server, or a proxy before it, that cannot do it
            response.close()
            return self.request(method, url, headers, data, stream, False, answer_timeout, authorize, largest, within)
        return response

    @staticmethod
    def _require_within(url: str, within: Set[str]) -> None:
        network = Networks().of(url)
        if network != "unknown" and network not in within:
            raise Inward(f"{urlsplit(url).netloc} is in a {network.replace('_', '-')} network.", network=network)

    def network_of(self, response: Any) -> str:
        """Return the network from which an answer came; C(unknown) where a proxy hides it."""
        peer = None if self._proxies(response.url) else response.raw.peer
        return network_of(peer) if peer else Networks().of(response.url)

    def follow(
        self,
        method: str,
        url: str,
        headers: dict[str, str] | None = None,
        stream: bool = False,
        largest: int = SMALL_ANSWER,
        leaves: Callable[[Any], bool] = lambda response: True,
    ) -> Any:
        """Read, and follow redirects: over HTTPS only, and without sending secrets to other hosts.

        C(leaves) returns whether a redirect to another server is followed, from the answer that contains it. None is
        followed into a network that only this machine or its network can reach, unless the first server is in it.
        """
        origin = urlsplit(url)
        headers = dict(headers or {})
        authorize = True
        within: Set[str] | None = None
        for _hop in range(MOST_REDIRECTS + 1):
            try:
                response = self.request(
                    method, url, headers, stream=stream, authorize=authorize, largest=largest, within=within
                )
            except Inward as error:
                raise TaskError(
                    f"{origin.netloc} redirects to {bare(url)}, which is in a "
                    f"{str(error.details['network']).replace('_', '-')} network that {origin.netloc} is not in. The "
                    "redirect was not followed. Check destination, and ask the server's administrators about the "
                    "redirect.",
                    **error.details,
                ) from None
            if response.status_code not in REDIRECTS or "Location" not in response.headers:
                return response
            response.close()
            if within is None:
                home = self.network_of(response)
                within = None if home == "unknown" else {"public", home}
            following = redirect_of(response, url)
            if following is None:
                raise TaskError(
                    f"{urlsplit(url).netloc} redirects to an address that is not valid, or to two different ones. "
                    "Check the address in destination, and ask the server's administrators to correct the redirect."
                )
            url = following
            target = urlsplit(url)
            if target.scheme != "https":
                raise TaskError(
                    f"{origin.netloc} redirects to {bare(url)}, which is not HTTPS. The redirect was not followed. "
                    "Ask the server's administrators for an address that stays on HTTPS."
                )
            if (target.scheme, target.netloc) != (origin.scheme, origin.netloc):
                if not leaves(response):
                    raise TaskError(
                        f"{origin.netloc} redirects to {bare(url)}, which is another server. The redirect was not "
                        "followed, because only Artifactory, Nexus and SharePoint keep their files elsewhere. A login "
                        "page or a gateway may be in front of the store, or the address is wrong. Check destination in "
                        "a browser, and the proxy."
                    )
                authorize = False
                headers = {name: value for name, value in headers.items() if name.lower() not in _SECRET_HEADERS}
        raise TaskError(f"{origin.netloc} redirects more than {MOST_REDIRECTS} times. Use the final address.")

    @property
    def trusts_public(self) -> bool:
        """Whether the public certificate authorities are trusted, not those of a file."""
        return self._verify is True

    @staticmethod
    def certificate_of(response: Any) -> bytes | None:
        """Return the server's certificate of an answer in DER, None when it is not known."""
        return getattr(response.raw, "certificate", None)

    def file_blocks(self, response: Any, size: int = BLOCK) -> Iterator[bytes]:
        """Like C(blocks), for a file as it is stored. Raises TaskError when it was compressed on the way."""
        try:
            require_identity(response.headers, urlsplit(response.url).netloc)
        except TaskError:
            response.close()
            raise
        yield from self.blocks(response, size)

    def blocks(self, response: Any, size: int = BLOCK) -> Iterator[bytes]:
        """Yield the whole undecoded body of a streamed answer in large blocks, up to the limit of its request.

        Raises RetryLater when the body is shorter than the server announced, which not every version of the libraries
        below does. Its detail C(truncated) is true when the server closed the connection in good order.
        """
        announced = content_length(response.headers)
        count = 0
        try:
            while True:
                block = response.raw.read(size, decode_content=False)
                if not block:
                    break
                count += len(block)
                yield block
        except (load("urllib3.exceptions").HTTPError, OSError) as error:
            cause = _innermost(error)
            if isinstance(cause, Unbounded):
                raise self._understood(cause, response.url) from error
            truncated = isinstance(cause, http.client.IncompleteRead)
            raise self._broke_off(response, count, _said(cause), truncated) from error
        finally:
            response.close()
        if announced is not None and count != announced:
            why = f"the response ended too early; the server announced {announced} bytes"
            raise self._broke_off(response, count, why, truncated=True)

    @staticmethod
    def _broke_off(response: Any, count: int, why: str, truncated: bool) -> RetryLater:
        host = urlsplit(response.url).netloc
        return RetryLater(f"The download from {host} broke off after {count} bytes ({why}).", truncated=truncated)

    def _proxies(self, url: str) -> dict[str, str]:
        """Return the proxy for a URL: the option, else the environment's, whose variables are read as usual.

        The settings of macOS are not read, because that call crashes in a forked process.
        """
        if self._proxy:
            return {"http": self._proxy, "https": self._proxy}
        found = getproxies_environment()
        host = urlsplit(url).hostname or ""
        if proxy_bypass_environment(host, found) or _in_networks(host, found.get("no", "")):
            return {}
        return {scheme: found[scheme] for scheme in ("http", "https", "all") if scheme in found}

    def _understood(self, error: Exception, url: str) -> Exception:
        """Return what to raise for an error of requests, whose own text may hold the proxy's password."""
        kinds = self._requests.exceptions
        host = urlsplit(url).netloc
        cause = _innermost(error)
        # CertificateError is what urllib3 1.26 raises for a certificate of another host.
        if isinstance(cause, ssl.SSLCertVerificationError) or type(cause).__name__ == "CertificateError":
            why = (getattr(cause, "verify_message", "") or str(cause)).rstrip(".")
            missing = getattr(cause, "verify_code", 0) in _NO_ISSUER
            return TlsError(
                f"The certificate of {host} is not trusted: {why}. {_INCOMPLETE if missing else ''}"
                f"{self._trust_advice()}",
                url=bare(url),
                **({"issuer_missing": True} if missing else {}),
            )
        if isinstance(cause, WrongNetwork):
            return Inward(f"{host} was not asked: {cause.strerror}.", network=cause.network)
        if isinstance(cause, Unbounded):
            return TaskError(
                f"{host} does not answer properly: {cause.strerror}. The rest was not read. Check the address, and "
                "what answers there."
            )
        if isinstance(error, kinds.ProxyError):
            return RetryLater(
                f"The proxy for {host} does not respond correctly ({_said(cause)}). Check the proxy option."
            )
        if isinstance(error, kinds.SSLError) and "WRONG_VERSION_NUMBER" in str(cause):
            return TlsError(f"{host} does not use TLS on that port. Check the address.", url=bare(url))
        if isinstance(error, kinds.Timeout):
            return RetryLater(f"{host} did not respond within {self._timeout:g} seconds.")
        if isinstance(error, kinds.InvalidHeader):
            return TaskError(
                f"{host} answered with headers that contradict each other or are not valid, such as two different "
                "Content-Length headers. Check the server, and the proxy or gateway in front of it."
            )
        if isinstance(error, (kinds.ConnectionError, kinds.ChunkedEncodingError, kinds.ContentDecodingError)):
            return RetryLater(f"{host} cannot be reached, or the connection was lost ({_said(cause)}).")
        return TaskError(
            f"The request to {bare(url)} cannot be sent ({type(error).__name__}). Check the address and the proxy."
        )

    def _trust_advice(self) -> str:
        if self.ca_path:
            return (
                f"Check the certificate's name and dates, and that ca_path ({self.ca_path}) contains the certificate "
                "authority that signed it."
            )
        return "If your company has its own certificate authority, set ca_path to its file."


def load_body(response: Any) -> None:
    """Read the body of an answer, which C(response.content) then returns. Raises TaskError, errors of requests."""
    try:
        _unused = response.content
    except TaskError:
        response.close()
        if response.ok:
            raise
        # The status says enough.
        response._content, response._content_consumed = b"", True


def bare(url: str) -> str:
    """Return a URL without the parts that may be secret: user, password, query, fragment."""
    parts = urlsplit(url)
    netloc = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=netloc, query="", fragment="").geturl()


def retry_after(response: Any) -> float | None:
    """Return the delay in seconds that a server requests with C(Retry-After), or None."""
    value = (response.headers.get("Retry-After") or "").strip()
    number = whole_number(value)
    if number is not None:
        return float(number)
    until = http_date(value)
    return None if until is None else max(0.0, until - time.time())


def _in_networks(host: str, no_proxy: str) -> bool:
    """Return whether an IP address is in one of the networks in C(no_proxy), such as 10.0.0.0/8, as for curl."""
    try:
        address = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return False
    return any(address in network for network in map(_network, no_proxy.split(",")) if network is not None)


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    address, slash, bits = text.strip().partition("/")
    try:
        return ipaddress.ip_network(address.strip("[]") + slash + bits, strict=False)
    except ValueError:
        return None


def _ca_of_environment() -> str | None:
    return next((os.environ[name] for name in _CA_VARIABLES if os.environ.get(name)), None)


def _innermost(error: BaseException) -> BaseException:
    """Return the original error: requests wraps urllib3's, which wraps the system's, each in a different way."""
    seen: list[BaseException] = []
    while error not in seen and not isinstance(error, tuple(_CAUSES)):
        seen.append(error)
        # urllib3 1.26 has caught a TypeError of its own by then, and hides it by "raise ... from None".
        context = None if error.__suppress_context__ else error.__context__
        inner = [getattr(error, "reason", None), *reversed(error.args), error.__cause__, context]
        error = next((each for each in inner if isinstance(each, BaseException) and each not in seen), error)
    return error


def _said(cause: BaseException) -> str:
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    if isinstance(cause, http.client.HTTPException) and str(cause).endswith("headers"):
        return "the server sent more than 100 headers"
    return next((words for kind, words in _CAUSES.items() if isinstance(cause, kind)), type(cause).__name__)


@functools.cache
def _adapter_class() -> type:
    """Return requests' adapter with large blocks and connections that honor C(Expect)."""
    base = load("requests.adapters").HTTPAdapter

    class Adapter(base):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            super().init_poolmanager(*args, **kwargs)
            self.poolmanager.pool_classes_by_scheme = pool_classes()

        def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
            manager = super().proxy_manager_for(*args, **kwargs)
            manager.pool_classes_by_scheme = pool_classes()
            return manager

    return Adapter


__all__ = ["Http", "RetryLater", "TlsError", "bare", "basic", "bearer", "retry_after"]
