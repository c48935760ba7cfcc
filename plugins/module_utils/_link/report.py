# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The question about a link, and the report that answers it: verdict, reasons and advice."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from .._common.errors import TaskError
from .share_link import share_link

VERDICTS = (
    "direct",
    "html",
    "login",
    "needs_cookies",
    "not_found",
    "forbidden",
    "expired",
    "expires_soon",
    "wrong_size",
    "wrong_checksum",
    "insecure",
    "tls_error",
    "unreachable",
    "too_many_redirects",
)
PROOFS = ("headers", "sample", "full")

_MOST_REASONS = 20

_ADVICE = {
    "direct": "The link can be entered in the Management Portal as it is.",
    "html": "Use the address of the file itself (the target of the page's download button), not that of the page.",
    "login": "Allow anonymous read access to this file on the server, or publish it where no sign-in is required.",
    "needs_cookies": "Publish the image where its link works without cookies: Parallels Desktop may not keep any.",
    "not_found": "Check the address, and whether the upload finished and the share still exists. If the file is there, "
    "the server may refuse its ending: in IIS, add the MIME type application/octet-stream for .pvmp.",
    "forbidden": "Allow anonymous read access to this file on the server, and check its name: some stores send this "
    "answer for a missing file, too.",
    "expired": "Create a link that does not expire, and replace this one with it in the Management Portal.",
    "expires_soon": "Create a link that does not expire or lasts longer, or lower min_validity if the image is "
    "replaced before then.",
    "wrong_size": "Do not use this link: upload the image again, then verify its link again.",
    "wrong_checksum": "Do not use this link: upload the image again, then verify its link again.",
    "insecure": "Use an https:// address that stays on public HTTPS servers and contains no credentials.",
    "tls_error": "Fix the server's certificate, or set ca_path to the file of the company's certificate authority, "
    "which users' Macs must trust, too.",
    "unreachable": "Check the server, the network and the proxy from this host, then run the task again.",
    "too_many_redirects": "Use the address where the redirects end.",
}
# Verdicts that the direct form of a share link may fix.
_CURED_BY_DIRECT_FORM = ("html", "login", "needs_cookies", "forbidden", "not_found", "insecure", "too_many_redirects")


@dataclass(frozen=True)
class Question:
    """A link, and what is expected of it."""

    url: str
    size: int | None = None
    sha256: str | None = None
    # A local copy to compare with.
    path: str | None = None
    proof: str = "headers"
    # In days.
    min_validity: int = 90
    allow_private_redirects: bool = False

    def check(self) -> None:
        """Raise TaskError when the link is not a valid address."""
        try:
            parts = urlsplit(self.url)
            has_host = parts.hostname is not None and parts.port != 0  # a port that is not a number raises
        except ValueError:
            parts, has_host = urlsplit(""), False
        if not parts.scheme or (not has_host and parts.scheme in ("http", "https")):
            raise TaskError(
                "url is not a valid address. Use the complete link, such as https://images.example.com/a.pvmp."
            )


@dataclass
class Report:
    """The result of the check."""

    url: str
    verdict: str = "direct"
    reasons: list[str] = field(default_factory=list)
    advice: str = ""
    chain: list[dict[str, Any]] = field(default_factory=list)
    final_url: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    size: int | None = None
    sha256: str | None = None
    # The proof that was made, which may be less than the requested one.
    proof: str = "headers"
    ranges: bool | None = None
    expires_at: str | None = None
    network: str = "unknown"

    def note(self, sentence: str) -> None:
        """Add a reason that does not change the verdict."""
        if sentence not in self.reasons:
            self.reasons.append(sentence)

    def condemn(self, verdict: str, reason: str, advice: str = "") -> None:
        """Set the verdict that the link is not fit, with the reason that comes before all others."""
        self.verdict = verdict
        self.advice = advice
        self.reasons.insert(0, reason)

    def result(self) -> dict[str, Any]:
        """Return the report as a module's result."""
        return {**vars(self), "reasons": self.reasons[:_MOST_REASONS]}

    def failure(self) -> TaskError:
        """Return the error for a verdict that is not accepted."""
        return TaskError(
            f"The link {self.url} does not work for users' Macs ({self.verdict}): "
            f"{' '.join(self.reasons)} {self.advice}",
            **self.result(),
        )


def advice_for(verdict: str, url: str) -> str:
    """Return one sentence of advice: for a share link, its direct form."""
    known = share_link(url) if verdict in _CURED_BY_DIRECT_FORM else None
    if known is None:
        return _ADVICE[verdict]
    return known.advice or f"This is a share link of {known.service}: use its direct form, {known.direct}"
