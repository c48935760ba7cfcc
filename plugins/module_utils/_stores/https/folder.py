# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""One folder on an HTTPS server: requests for the names in it, and error messages for the server's answers."""

from __future__ import annotations

import itertools
from typing import Any, Callable, Protocol
from urllib.parse import quote, urlsplit, urlunsplit

from ..._common.errors import TaskError
from ..._common.retry import RetryLater
from ..._http.headers import login_schemes, redirect_target
from ..._http.limits import LIST_ANSWER, SMALL_ANSWER
from ..._http.page import page_instead
from ..._http.session import GONE, REDIRECTS, TRANSIENT, Http, bare, basic, bearer, retry_after
from ..base import CannotList, StoreFull, StoreOptions

# Bytes per second. A server may copy or hash all bytes before it answers; this is the assumed minimum speed.
_SLOWEST_SERVER = 10 * 1024 * 1024
_LONGEST_PAGE = 64 * 1024
# Answers of servers that have no listing, or forbid it.
_NO_LISTING = (401, 403, 405, 501)
_KEPT_IN_PATHS = "/%:@!$&'()*+,;=~-._"


class Sendable(Protocol):
    """A valid body of a request."""

    def __len__(self) -> int: ...

    def read(self, size: int = -1) -> bytes: ...


class HttpFolder:
    """Requests below one URL, with the credentials of the store."""

    def __init__(self, destination: str, options: StoreOptions) -> None:
        parts = urlsplit(destination)
        if not parts.hostname:
            raise TaskError("The destination has no host name. Use a URL such as https://server.example.com/folder.")
        self.url = urlunsplit(parts._replace(path=quote(parts.path, safe=_KEPT_IN_PATHS)))
        self.host = parts.netloc
        self._options = options
        self._http = Http(
            authorization=_authorization(options),
            ca_path=options.ca_path,
            proxy=options.proxy,
            timeout=options.timeout,
        )
        self.blocks = self._http.file_blocks
        # Whether a kind of server keeps its files on another server, by its answer that redirects there.
        self.leaves: Callable[[Any], bool] = lambda response: False
        # Explains errors of a known kind of server whose status is not specific enough.
        self.explain: Callable[[Any], Exception | None] = lambda response: None

    @property
    def path(self) -> str:
        """The path of the folder, with a trailing slash."""
        return urlsplit(self.url).path + "/"

    def address(self, name: str) -> str:
        """Return the URL of a name in the folder, or of the folder itself for an empty name."""
        return f"{self.url}/{quote(name)}"

    def request(
        self, method: str, name: str, headers: dict[str, str] | None = None, data: Any = None, **more: Any
    ) -> Any:
        """Send a request, and return the answer with any status."""
        return self._http.request(method, self.address(name), headers, data, **more)

    def ask(self, method: str, url: str) -> Any:
        """Send a request for a list of the folder from an API, which is outside the folder."""
        return self._http.request(method, url, largest=LIST_ANSWER)

    def get(self, method: str, name: str, headers: dict[str, str] | None = None, largest: int = SMALL_ANSWER) -> Any:
        """Read, bypassing caches and following redirects; C(largest) bytes of the body can be read."""
        fresh = {"Cache-Control": "no-cache", **(headers or {})}
        return self._http.follow(method, self.address(name), fresh, stream=True, largest=largest, leaves=self.leaves)

    def probe(self, name: str, data: bytes = b"") -> None:
        """Send a tiny file, to check whether uploads work."""
        response = self.put(name, data)
        if response.status_code == 500 and self.is_missing():  # nginx, when it cannot rename what it received
            raise TaskError(self._missing(f"{self.host} answered 500 to the upload"), status=500)
        self.judge(response, "upload")

    def is_missing(self) -> bool:
        """Return whether the server reports that the folder does not exist. Repositories report that if it is empty."""
        response = self.get("GET", "")
        response.close()
        return response.status_code in GONE

    def put(self, name: str, data: bytes, headers: dict[str, str] | None = None) -> Any:
        """Send a small file."""
        return self.request("PUT", name, headers, data)

    def put_body(self, name: str, body: Sendable, headers: dict[str, str] | None = None) -> Any:
        """Send a large file. None of it is sent if the server refuses the headers."""
        sent = {"Content-Type": "application/octet-stream", **(headers or {})}
        return self.request("PUT", name, sent, body, expect=True, answer_timeout=self.patience(len(body)))

    def patience(self, size: int) -> float:
        """Return how many seconds a server may take to process C(size) bytes that it already has."""
        return self._options.timeout + size / _SLOWEST_SERVER

    def refuse_page(self, response: Any, name: str, head: bytes = b"") -> None:
        """Raise TaskError when a web page came instead of a file: that of a login, a gateway or another server."""
        if response.status_code not in (200, 206):
            return
        headers = response.headers
        kind, encoding = headers.get("Content-Type", ""), headers.get("Content-Encoding", "")
        if page_instead(name, kind, head, encoding) and not head and response.request.method == "HEAD":
            response.close()
            response = self.get("GET", name)  # for the title
        if page_instead(name, kind, head, encoding) and not head:
            try:
                head = b"".join(itertools.islice(self._http.blocks(response, _LONGEST_PAGE), 1))
            except RetryLater:
                head = b""
        page = page_instead(name, kind, head, encoding)
        if page is None:
            return
        response.close()
        came = urlsplit(response.url).netloc
        by = f"{self.host}" if came == self.host else f"{self.host} redirects to {came}, which"
        raise TaskError(
            f"{by} sent {page} where the store should answer. A login page or a gateway is in front of the store, or "
            "the address is wrong. Check destination in a browser, and the proxy. Ask the server's "
            "administrators for an address that accepts the store's credentials without a web login."
        )

    def judge(self, response: Any, doing: str) -> None:
        """Return if an answer is a success; else raise RetryLater or TaskError with a message."""
        status = response.status_code
        if 200 <= status < 300 and status != 207:
            return
        known = self.explain(response)
        response.close()
        if known is not None:
            raise known
        sentence = self._sentence(status, doing, response)
        if status in TRANSIENT or status == 207:
            raise RetryLater(sentence, after=retry_after(response), status=status)
        raise (StoreFull if status == 507 else TaskError)(sentence, status=status)

    def judge_listing(self, response: Any) -> None:
        """Return if the answer to the request for a listing is a success; else raise as C(judge), or CannotList."""
        try:
            self.judge(response, "folder listing")
        except TaskError as error:
            if response.status_code in _NO_LISTING:
                raise CannotList(error.message, **error.details) from None
            raise

    def missing(self) -> TaskError:
        """Return the error for a folder that does not exist."""
        return TaskError(self._missing(f"{self.host} answered 404"), status=404)

    def _sentence(self, status: int, doing: str, response: Any) -> str:
        said = f"{self.host} answered {status} {response.reason or ''}".rstrip()
        if status == 401:
            return f"{said} to the {doing}: {self._credentials_advice(login_schemes(response.headers))}"
        if status == 403:
            return (
                f"{said}: the {doing} is forbidden in {self.url}. Ask the server's administrators for write "
                "permission, or use other credentials."
            )
        if status in (404, 409, 410):
            return self._missing(f"{said} to the {doing}")
        if status in (405, 501):
            return (
                f"{said}: the server does not allow the {doing} in {self.url}. Check that destination is a folder for "
                "uploads, and check the https_method option."
            )
        if status == 407:
            return (
                f"The proxy requires credentials ({said}). Set them in the proxy option: "
                "http://USER:PASSWORD@host:port."
            )
        if status == 413:
            return f"{said}: the image is larger than the server accepts. Ask its administrators to raise the limit."
        if status == 507:
            return f"{said}: the store is full. Free up space there, or ask its administrators for more."
        if status in REDIRECTS:
            target = bare(redirect_target(response.url, response.headers.get("Location", "")) or "an invalid address")
            return (
                f"{said} to the {doing}, a redirect to {target}. Redirects of uploads are not followed: correct "
                "destination."
            )
        if status == 207:
            return f"{self.host} could not complete the {doing}."
        return f"{said} to the {doing} in {self.url}."

    def _missing(self, said: str) -> str:
        return f"{said}: the folder {self.url} does not exist. Create it, or correct destination."

    def _credentials_advice(self, schemes: list[str]) -> str:
        if (self._options.token or self._options.username) and schemes and not {"Basic", "Bearer"} & {*schemes}:
            return (
                f"the server accepts only {' or '.join(schemes)}, which is not supported here. Ask its administrators "
                "to allow Basic or a token for this folder, over HTTPS."
            )
        if self._options.token:
            return "the server rejected the token. Check token."
        if self._options.username:
            return "the user name or the password is wrong. Check username and password."
        return "the server requires credentials. Set username and password, or token."


def _authorization(options: StoreOptions) -> str | None:
    if options.token:
        return bearer(options.token)
    if options.username:
        if options.password is None:
            raise TaskError(
                "username needs a password for an https:// destination. Set password, or use token instead."
            )
        return basic(options.username, options.password)
    return None
