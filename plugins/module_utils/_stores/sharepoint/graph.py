# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""Microsoft Graph: tokens, requests, and error messages for its answers.

Some addresses from Graph (of upload sessions and downloads) grant access to anyone who knows them. They are secrets.
They are requested without a token, and no message here contains more of them than their host.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Callable
from urllib.parse import urlencode, urlsplit

from ..._common.errors import TaskError
from ..._common.json_reader import read_json
from ..._common.retry import RetryLater
from ..._http.headers import redirect_of
from ..._http.limits import LARGEST_FILE, LIST_ANSWER, Pages
from ..._http.networks import Networks
from ..._http.session import REDIRECTS, TRANSIENT, Http, Inward, bearer, retry_after
from ..base import StoreFull, StoreOptions

# A token counts as expired this many seconds early, so that it does not expire during a request.
_MARGIN = 300.0
_SHORTEST_TOKEN = 30.0
_TOKEN = re.compile(r"[!-~]+")


@dataclass(frozen=True)
class Cloud:
    """The addresses of login and Graph in one of Microsoft's clouds."""

    login: str
    graph: str


_PUBLIC = Cloud("https://login.microsoftonline.com", "https://graph.microsoft.com")
_GOVERNMENT = Cloud("https://login.microsoftonline.us", "https://graph.microsoft.us")
_DEFENSE = Cloud("https://login.microsoftonline.us", "https://dod-graph.microsoft.us")
_CHINA = Cloud("https://login.chinacloudapi.cn", "https://microsoftgraph.chinacloudapi.cn")
_CLOUDS = {urlsplit(cloud.graph).hostname: cloud for cloud in (_PUBLIC, _GOVERNMENT, _DEFENSE, _CHINA)}
_CLOUDS_OF_SHAREPOINT = {
    "sharepoint.us": _GOVERNMENT,
    "sharepoint-mil.us": _DEFENSE,
    "sharepoint.cn": _CHINA,
}


def cloud_of(sharepoint_host: str, endpoint_url: str | None) -> Cloud:
    """Return the cloud of a SharePoint host, or the one that C(endpoint_url) names.

    If that is not one of Microsoft's, such as a gateway of the company, the tokens come from there, too.
    """
    if endpoint_url:
        parts = urlsplit(endpoint_url)
        if parts.scheme != "https" or not parts.hostname or parts.username is not None or parts.query:
            raise TaskError(
                "endpoint_url must be the https:// address of Microsoft Graph for a sharepoint:// destination, such "
                "as https://graph.microsoft.us. Omit it for Microsoft's public cloud."
            )
        known = _CLOUDS.get(parts.hostname)
        here = f"https://{parts.netloc}{parts.path.rstrip('/')}"
        return known or Cloud(here, here)
    for domain, cloud in _CLOUDS_OF_SHAREPOINT.items():
        if sharepoint_host.endswith("." + domain):
            return cloud
    return _PUBLIC


# Error numbers of the Microsoft Entra login: what happened, and what the admin does.
_LOGIN_ERRORS = {
    7000215: "The client_secret is wrong. Use the secret's value, not its ID, as it was shown when it was created.",
    7000222: "The client_secret has expired. Create a new one for the application in Microsoft Entra, and use that.",
    700016: "The application client_id does not exist in the tenant tenant_id. Check both.",
    7000112: "The application client_id is disabled. Ask an administrator of Microsoft Entra to enable it.",
    90002: "The tenant tenant_id does not exist. Use the tenant's ID or domain name, such as contoso.onmicrosoft.com.",
    900023: "The tenant tenant_id does not exist. Use the tenant's ID or domain name, such as contoso.onmicrosoft.com.",
    53003: "A Conditional Access policy of the company blocks the application. Ask its administrators to allow it.",
}


class Tokens:
    """The token for requests to Graph: a given one, or those that an application gets with its secret."""

    def __init__(
        self,
        http: Http,
        cloud: Cloud,
        options: StoreOptions,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._http = http
        self._cloud = cloud
        self._options = options
        self._clock = clock
        self._token = options.token
        self._ends = float("inf")
        if options.token is None:
            self._token = None
            missing = [name for name in ("tenant_id", "client_id", "client_secret") if not getattr(options, name)]
            if missing:
                raise TaskError(
                    f"A sharepoint:// destination needs tenant_id, client_id and client_secret, or a token. Set "
                    f"{' and '.join(missing)}."
                )

    @property
    def renewable(self) -> bool:
        return self._options.token is None

    def current(self) -> str:
        """Return a token that is valid for a while."""
        if self._token is None or self._clock() >= self._ends:
            self._token = self._fetch()
        return self._token

    def drop(self) -> None:
        """Discard the current token, because Graph rejected it."""
        if self.renewable:
            self._token = None

    def _fetch(self) -> str:
        options = self._options
        form = {
            "grant_type": "client_credentials",
            "client_id": options.client_id,
            "client_secret": options.client_secret,
            "scope": f"{self._cloud.graph}/.default",
        }
        asked = self._clock()
        response = self._http.request(
            "POST",
            f"{self._cloud.login}/{_plain(options.tenant_id or '')}/oauth2/v2.0/token",
            {"Content-Type": "application/x-www-form-urlencoded"},
            urlencode(form).encode(),
        )
        content = json_of(response)
        token = content.get("access_token")
        if response.status_code == 200 and isinstance(token, str) and _TOKEN.fullmatch(token):
            lasts = _seconds(content.get("expires_in"))
            self._ends = asked + max(_SHORTEST_TOKEN, lasts - _MARGIN)
            return token
        raise self._refused(response, content)

    def _refused(self, response: Any, content: dict[str, Any]) -> Exception:
        host, status = urlsplit(self._cloud.login).netloc, response.status_code
        numbers = content.get("error_codes")
        for number in numbers if isinstance(numbers, list) else []:
            if isinstance(number, int) and number in _LOGIN_ERRORS:
                return TaskError(f"{host} issued no token (AADSTS{number}). {_LOGIN_ERRORS[number]}", status=status)
        why = f"{status} {_word(content.get('error'))}".strip()
        said = f"{host} issued no token ({why})."
        if status in TRANSIENT:
            return RetryLater(said, after=retry_after(response), status=status)
        if status == 200 or not content:
            return TaskError(
                f"{said} The answer is not that of Microsoft's login. Check endpoint_url and the proxy.", status=status
            )
        return TaskError(f"{said} Check tenant_id, client_id and client_secret.", status=status)


class Graph:
    """Requests to Graph, with a token that is renewed when it expires."""

    def __init__(
        self, sharepoint_host: str, options: StoreOptions, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._cloud = cloud_of(sharepoint_host, options.endpoint_url)
        self._http = Http(ca_path=options.ca_path, proxy=options.proxy, timeout=options.timeout)
        self._tokens = Tokens(self._http, self._cloud, options, clock)
        self.host = urlsplit(self._cloud.graph).netloc
        self.blocks = self._http.file_blocks
        # The network that Graph answers from.
        self._home: str | None = None

    def request(
        self, method: str, path: str, headers: dict[str, str] | None = None, data: Any = None, **more: Any
    ) -> Any:
        """Send a request below C(/v1.0), and return the answer with any status."""
        return self._authorized(method, f"{self._cloud.graph}/v1.0{path}", headers, data, **more)

    def _authorized(self, method: str, url: str, headers: dict[str, str] | None, data: Any, **more: Any) -> Any:
        for last in (False, True):
            sent = {**(headers or {}), "Authorization": bearer(self._tokens.current())}
            response = self._http.request(method, url, sent, data, **more)
            # Once: behind a proxy, the name service is asked for it, which may be slow or know nothing.
            self._home = self._home or self._http.network_of(response)
            if response.status_code != 401 or last or not self._tokens.renewable:
                return response
            response.close()
            self._tokens.drop()
        raise AssertionError("the last turn returns")

    def get(self, path: str, doing: str) -> dict[str, Any]:
        """Return the JSON object at a path."""
        response = self.request("GET", path)
        self.judge(response, doing)
        return self.content(response, doing)

    def pages(self, path: str, doing: str) -> Iterator[dict[str, Any]]:
        """Yield the items of a list from all its pages. Raises an error for a page that is not one: it is not empty."""
        url: Any = f"{self._cloud.graph}/v1.0{path}"
        pages = Pages(f"The list of {self.host} for the {doing}")
        seen = set()
        while url is not None:
            seen.add(url)
            response = self._authorized("GET", url, None, None, largest=LIST_ANSWER)
            self.judge(response, doing)
            page = self.content(response, doing)
            items = page.get("value")
            if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
                raise self.odd(doing, "there is no list in it")
            pages.turn(url, len(response.content), len(items))
            yield from items
            url = page.get("@odata.nextLink")
            if url is not None and (not isinstance(url, str) or not url or url in seen):
                raise self.odd(doing, "it does not show how the list continues")
            if url is not None and not url.startswith(self._cloud.graph + "/"):
                raise TaskError(
                    f"{self.host} continues a list at {urlsplit(url).netloc}. No token was sent there. Ask the "
                    "administrators of the gateway in endpoint_url to have it return its own address."
                )

    def download(self, path: str, headers: dict[str, str]) -> Any:
        """Return the streamed answer with a file's content, from the address that Graph redirects to."""
        response = self.request("GET", path, None, None, stream=True, largest=LARGEST_FILE)
        if response.status_code not in REDIRECTS or "Location" not in response.headers:
            return response
        response.close()
        target = redirect_of(response, response.url) or ""
        fresh = {"Cache-Control": "no-cache", **headers}
        return self.open("GET", target, fresh, None, stream=True, largest=LARGEST_FILE)

    def open(self, method: str, url: str, headers: dict[str, str] | None = None, data: Any = None, **more: Any) -> Any:
        """Send a request to an address that needs no token. It must not get one: some then answer 401."""
        if urlsplit(url).scheme != "https":
            raise TaskError(
                f"{self.host} returned an address for the transfer that is not HTTPS. It was not used. Check "
                "endpoint_url and the proxy."
            )
        # Uploads and downloads are often at another host, but never nearer to this one than Graph is.
        home = self._home or Networks().of(self._cloud.graph)
        try:
            return self._http.request(
                method, url, headers, data, within=None if home == "unknown" else {"public", home}, **more
            )
        except Inward as error:
            raise TaskError(
                f"{self.host} returned an address at {urlsplit(url).netloc} for the transfer, which is in a "
                f"{str(error.details['network']).replace('_', '-')} network that {self.host} is not in. It was not "
                "used. Check endpoint_url and the proxy.",
                **error.details,
            ) from None
        except TaskError as error:
            error.details.pop("url", None)
            if urlsplit(url).path in error.message:
                raise TaskError(
                    f"The request to {urlsplit(url).netloc} cannot be sent. Check the proxy, and that this host can "
                    "reach it."
                ) from None
            raise

    def content(self, response: Any, doing: str) -> dict[str, Any]:
        """Return the JSON object in a success. Raises RetryLater when there is none: nothing is known then."""
        try:
            content = read_json(response.content)
        except (ValueError, OSError) as error:
            raise RetryLater(
                f"{urlsplit(response.url).netloc} sent an answer to the {doing} that is not JSON. Check endpoint_url, "
                "and the proxy or gateway in front of it."
            ) from error
        if not isinstance(content, dict):
            raise self.odd(doing, "it is not an object")
        return content

    def odd(self, doing: str, why: str) -> TaskError:
        """Return the error for an answer that is not that of Graph, so that nothing is known."""
        return TaskError(
            f"{self.host} answered oddly to the {doing}: {why}. Check endpoint_url, and the proxy or gateway in front "
            "of it."
        )

    def judge(self, response: Any, doing: str) -> None:
        """Return if an answer is a success; else raise RetryLater or TaskError with a message."""
        status = response.status_code
        if 200 <= status < 300:
            return
        code = error_code(response)
        response.close()
        sentence = self.sentence(response, code, doing)
        if status in TRANSIENT or code == "resourceModified":
            raise RetryLater(sentence, after=retry_after(response), status=status)
        raise (StoreFull if is_full(status, code) else TaskError)(sentence, status=status)

    def sentence(self, response: Any, code: str, doing: str) -> str:
        """Return the message for an error."""
        host, status = urlsplit(response.url).netloc, response.status_code
        said = f"{host} answered {status}{' ' + code if code else ''} to the {doing}"
        if status == 401 and self._tokens.renewable:
            return (
                f"{said}: the application's tokens are not accepted. Check that client_id belongs to the site's tenant."
            )
        if status == 401:
            return (
                f"{said}: the token is not accepted or has expired. Set a new one, or set tenant_id, client_id and "
                "client_secret, with which tokens are renewed."
            )
        if is_full(status, code):
            return f"{said}: the site is full. Free up space there, or ask its administrators for more."
        if status == 403:
            return (
                f"{said}: the application does not have permission. Ask an administrator to grant it the application "
                "permission Sites.Selected of Microsoft Graph and the role write for this site, or Files.ReadWrite.All."
            )
        if status == 407:
            return (
                f"The proxy requires credentials ({said}). Set them in the proxy option: "
                "http://USER:PASSWORD@host:port."
            )
        if status in (409, 412):
            return f"{said}: another program changed it at the same time. Run the same command again."
        if status == 413:
            return f"{said}: the file is too large. Set a smaller part_size, or make the image smaller."
        if status == 423:
            return f"{said}: the file is locked. Close it where it is open, then run the same command again."
        return f"{said}."


def is_full(status: int, code: str) -> bool:
    """Return whether an answer reports that the site has no free space."""
    return status == 507 or code in ("quotaLimitReached", "insufficientStorage")


def json_of(response: Any) -> dict[str, Any]:
    """Return the JSON object in the answer to a refused request, an empty one when there is none."""
    try:
        content = read_json(response.content)
    except (ValueError, OSError):  # not JSON, or not complete
        return {}
    return content if isinstance(content, dict) else {}


def error_code(response: Any) -> str:
    """Return Graph's error code, such as C(accessDenied)."""
    error = json_of(response).get("error")
    return _word(error.get("code")) if isinstance(error, dict) else ""


def _word(value: Any) -> str:
    """Return a server's text if it is a single word that can be shown, else an empty string."""
    return value if isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_.]{1,60}", value) else ""


def _plain(tenant: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.-]{1,253}", tenant):
        raise TaskError("tenant_id must be the tenant's ID or its domain name, such as contoso.onmicrosoft.com.")
    return tenant


def _seconds(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return 0.0


__all__ = ["Cloud", "Graph", "Tokens", "cloud_of", "error_code", "is_full", "json_of"]
