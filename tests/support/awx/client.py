# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client of the stand-in, for tests that look at it or set it up."""

from __future__ import annotations

import base64
import http.client
import json
from typing import Any
from urllib.parse import quote, urlencode, urlsplit


class Client:
    """Asks as one user, with a password; or with a token, or as nobody."""

    def __init__(self, url: str, username: str = "", password: str = "", token: str = "") -> None:
        self._server = urlsplit(url).netloc
        self._authorization = ""
        if username:
            self._authorization = "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
        if token:
            self._authorization = f"Bearer {token}"
        # Of the last answer.
        self.headers: dict[str, str] = {}

    def request(
        self, method: str, path: str, body: Any = None, raw: bytes | None = None, content_type: str = "application/json"
    ) -> tuple[int, Any]:
        """Return the status of an answer, and its body: JSON as what it means, a page as text, nothing as None."""
        headers = {"Authorization": self._authorization} if self._authorization else {}
        content = raw if raw is not None else (json.dumps(body).encode() if body is not None else None)
        if content is not None:
            headers["Content-Type"] = content_type
        connection = http.client.HTTPConnection(self._server, timeout=60)
        try:
            connection.request(method, quote(path, safe="/?&=,%+"), content, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
            self.headers = dict(answer.getheaders())
        finally:
            connection.close()
        if not text:
            return answer.status, None
        return answer.status, json.loads(text) if "json" in self.headers.get("Content-Type", "") else text

    def _good(self, method: str, endpoint: str, body: Any = None) -> Any:
        path = endpoint if endpoint.startswith("/api/") else f"/api/v2/{endpoint}/"
        status, answer = self.request(method, path, body)
        assert status < 300, f"{method} {path}: {status} {answer}"
        return answer

    def get(self, endpoint: str, **query: Any) -> Any:
        """Return what is at an endpoint, such as C(projects/9)."""
        path = endpoint if endpoint.startswith("/api/") else f"/api/v2/{endpoint}/"
        return self._good("GET", f"{path}?{urlencode(query)}" if query else path)

    def all(self, endpoint: str, **query: Any) -> list[dict[str, Any]]:
        """Return the objects of a list; of more than 200, the first."""
        return self.get(endpoint, page_size=200, **query)["results"]

    def one(self, endpoint: str, **query: Any) -> dict[str, Any]:
        """Return the one object that a query means."""
        found = self.all(endpoint, **query)
        assert len(found) == 1, f"{endpoint} {query}: {len(found)} objects"
        return found[0]

    def post(self, endpoint: str, **body: Any) -> Any:
        """Make an object, or start something; return the answer."""
        return self._good("POST", endpoint, body)

    def patch(self, endpoint: str, **body: Any) -> Any:
        """Change an object; return the answer."""
        return self._good("PATCH", endpoint, body)

    def delete(self, endpoint: str) -> None:
        """Delete an object."""
        self._good("DELETE", endpoint)
