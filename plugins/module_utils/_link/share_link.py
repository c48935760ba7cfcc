# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The direct form of a share link: it downloads the file, where the link that people copy opens a web page.

Nothing here opens a connection: only the host, the path and the query of a link are read.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import Callable, Optional
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit, urlunsplit


@dataclass(frozen=True)
class ShareLink:
    """A link of a known sharing service. C(direct) is its direct form, or C(advice) explains why there is none."""

    service: str
    direct: Optional[str] = None
    advice: str = ""


def share_link(url: str) -> Optional[ShareLink]:
    """Return what is known about a share link, None for any other link and for one that is direct already."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
    except ValueError:
        return None
    if parts.scheme.lower() not in ("http", "https") or not host:
        return None
    if host.endswith(".") and host.strip("."):  # the same host, with the root of all names
        host = host.rstrip(".")
        parts = parts._replace(netloc=_without_root(parts.netloc))
    for belongs, read in _SERVICES:
        if belongs(host):
            found = read(parts)
            return None if found is not None and found.direct == url else found
    return None


def _without_root(netloc: str) -> str:
    host, colon, port = netloc.rpartition(":")
    return f"{host.rstrip('.')}:{port}" if colon and port.isdigit() else netloc.rstrip(".")


def sharepoint_link(url: str) -> ShareLink:
    """Return what is known about a share link of SharePoint on any host."""
    return _sharepoint(urlsplit(url)) or ShareLink(_SHAREPOINT, direct=url)


def _on(*domains: str) -> Callable[[str], bool]:
    return lambda host: any(host == domain or host.endswith("." + domain) for domain in domains)


def _with_query(parts: SplitResult, query: str, path: Optional[str] = None) -> str:
    return urlunsplit(("https", parts.netloc, parts.path if path is None else path, query, ""))


def _query(parts: SplitResult) -> dict[str, str]:
    return dict(parse_qsl(parts.query, keep_blank_values=True))


_SHAREPOINT = "SharePoint"
_SHAREPOINT_LINK = re.compile(r"^/:(?P<kind>[a-z]):/(?P<form>[a-z])/.")
_ENCODED_COLONS = re.compile(r"^/(?:%3A|:)([a-z])(?:%3A|:)/", re.IGNORECASE)
_SHAREPOINT_FOLDER = "f"
_SHAREPOINT_EXISTING_ACCESS = "r"


def _sharepoint(parts: SplitResult) -> Optional[ShareLink]:
    name = _SHAREPOINT
    # Mail programs write the colons as %3A.
    parts = parts._replace(path=_ENCODED_COLONS.sub(r"/:\1:/", parts.path))
    link = _SHAREPOINT_LINK.match(parts.path)
    if link:
        if link["kind"] == _SHAREPOINT_FOLDER:
            return ShareLink(
                name, advice="This link shares a SharePoint folder: share the image file itself with 'Copy link'."
            )
        if link["form"] == _SHAREPOINT_EXISTING_ACCESS:
            return ShareLink(
                name,
                advice="This link works only for signed-in people who already have access: create one with "
                "'Copy link' for 'Anyone with the link', and replace the text after its '?' with download=1.",
            )
        # As the administrators' guide of Parallels says: replace the text after the '?'.
        return ShareLink(name, direct=_with_query(parts, "download=1"))
    if parts.path.lower().endswith("/_layouts/15/download.aspx"):
        return None
    return ShareLink(
        name,
        advice="This SharePoint address is a web page or requires a sign-in: create a link with 'Copy link' for "
        "'Anyone with the link', and replace the text after its '?' with download=1.",
    )


_ONEDRIVE_FOLDER = re.compile(r"^/f/")


def _onedrive(parts: SplitResult) -> Optional[ShareLink]:
    """OneDrive for personal use. The direct form of its short links sometimes asks for a sign-in."""
    name, query = "OneDrive", _query(parts)
    if _ONEDRIVE_FOLDER.match(parts.path):
        return ShareLink(name, advice="This link shares a OneDrive folder: share the image file itself.")
    if _SHAREPOINT_LINK.match(
        _ENCODED_COLONS.sub(r"/:\1:/", parts.path)
    ):  # accounts that were moved to SharePoint have its links
        return _sharepoint(parts)
    if _on("onedrive.live.com")((parts.hostname or "").lower()):
        if parts.path.startswith("/download"):
            return None
        if "authkey" in query and ("resid" in query or "id" in query):
            # The page's own address has the same id under another name.
            named = {**query, "resid": query.get("resid") or query.get("id", "")}
            kept = {key: named[key] for key in ("cid", "resid", "authkey") if key in named}
            return ShareLink(name, direct=_with_query(parts, urlencode(kept), path="/download"))
        return ShareLink(
            name,
            advice="This OneDrive address is a web page for signed-in people: create a link to the file with 'Share'.",
        )
    shared = parts._replace(scheme="https", fragment="").geturl()
    token = base64.urlsafe_b64encode(shared.encode()).decode().rstrip("=")
    return ShareLink(name, direct=f"https://api.onedrive.com/v1.0/shares/u!{token}/root/content")


_DROPBOX_FOLDER = re.compile(r"^/(sh|scl/fo)/")
_DROPBOX_FILE = re.compile(r"^/(s|scl/fi)/")


def _dropbox(parts: SplitResult) -> Optional[ShareLink]:
    name = "Dropbox"
    if _DROPBOX_FOLDER.match(parts.path):
        return ShareLink(
            name,
            advice="This link shares a Dropbox folder, which is sent as a ZIP file: share the image file itself.",
        )
    if not _DROPBOX_FILE.match(parts.path):
        return ShareLink(name, advice="This Dropbox address is a web page: create a link to the file with 'Copy link'.")
    # The key (rlkey) has to stay, or the file is not found.
    if parts.path.startswith("/scl/") and not _query(parts).get("rlkey"):
        return ShareLink(
            name,
            advice="This Dropbox link lacks its key (rlkey=...): copy it again, with everything after the '?'.",
        )
    kept = {key: value for key, value in _query(parts).items() if key not in ("dl", "raw")}
    return ShareLink(name, direct=_with_query(parts, urlencode({**kept, "dl": "1"})))


def _google_drive(_parts: SplitResult) -> Optional[ShareLink]:
    return ShareLink(
        "Google Drive",
        advice="Google Drive has no direct links for large files and shows a warning page: "
        "publish the image to another store.",
    )


def _box(parts: SplitResult) -> Optional[ShareLink]:
    if parts.path.startswith("/shared/static/") or _query(parts).get("rm") == "box_download_shared_file":
        return None
    return ShareLink(
        "Box",
        advice="This Box link opens a web page: use the 'Direct link' from the link's settings, "
        "which looks like https://ORGANIZATION.box.com/shared/static/....",
    )


def _icloud(_parts: SplitResult) -> Optional[ShareLink]:
    return ShareLink(
        "iCloud Drive",
        advice="iCloud Drive has no direct links (its links open a web page): publish the image to another store.",
    )


def _transfer_page(name: str) -> Callable[[SplitResult], Optional[ShareLink]]:
    advice = f"{name} has no permanent direct links: publish the image to another store."
    return lambda parts: ShareLink(name, advice=advice)


def _google_storage(parts: SplitResult) -> Optional[ShareLink]:
    # The given host requires a sign-in; this one serves what is public.
    path = parts.path
    return ShareLink("Google Cloud Storage", direct=urlunsplit(("https", "storage.googleapis.com", path, "", "")))


def _cloud_console(_parts: SplitResult) -> Optional[ShareLink]:
    return ShareLink(
        "a cloud console",
        advice="This is a page of a cloud console, for signed-in people: copy the URL of the object itself.",
    )


_NEXTCLOUD_LOCKED = re.compile(r"^(?:/[^/]+)*?/s/[A-Za-z0-9_-]{4,}/authenticate(/|$)")
_NEXTCLOUD_PAGE = re.compile(r"^(?:/[^/]+)*?(/index\.php/f/\d+|/apps/files(/files/\d+)?)/?$")
_NEXTCLOUD_SHARE = re.compile(r"^(?P<share>(?:/[^/]+)*?/s/(?P<token>[A-Za-z0-9_-]{4,}))(?P<rest>/download)?/?$")


# Tokens are random: 15 letters and digits by default (ownCloud's too), never one word in lower case.
_NEXTCLOUD_TOKEN = re.compile(r"(?=.*[0-9A-Z])[A-Za-z0-9_-]{8,}")


def _nextcloud(parts: SplitResult) -> Optional[ShareLink]:
    # Nextcloud and ownCloud run on any host: only the form of the path identifies them.
    if _NEXTCLOUD_LOCKED.match(parts.path):
        return ShareLink(
            "Nextcloud",
            advice="This Nextcloud share has a password: remove the password, or publish the image elsewhere.",
        )
    if _NEXTCLOUD_PAGE.match(parts.path):
        return ShareLink(
            "Nextcloud",
            advice="This Nextcloud address is a web page for signed-in people: create a link to the file with "
            "'Share link'.",
        )
    share = _NEXTCLOUD_SHARE.match(parts.path)
    if not share or share["rest"]:
        return None
    if "/index.php/s/" not in parts.path and not _NEXTCLOUD_TOKEN.fullmatch(share["token"]):
        return None  # a folder named s on any web server
    query = _query(parts)
    if ("dir" in query or query.get("path", "").strip("/")) and not query.get("files"):
        return ShareLink(
            "Nextcloud",
            advice="This Nextcloud link opens a folder, which is sent as a ZIP file: share the image file itself with "
            "'Share link'.",
        )
    kept = {key: value for key, value in query.items() if key in ("path", "files")}
    return ShareLink("Nextcloud", direct=_with_query(parts, urlencode(kept), path=share["share"] + "/download"))


def _safe_links(parts: SplitResult) -> Optional[ShareLink]:
    """Outlook replaces links in messages by its own, with the link inside."""
    name, inner = "Outlook (Safe Links)", _query(parts).get("url", "")
    advice = (
        "This is the address of a mail filter, which checks who follows it: copy the link itself, not from a message."
    )
    try:
        known = share_link(inner) if urlsplit(inner).scheme == "https" and not _SAFE_LINKS(_host(inner)) else None
        usable = urlsplit(inner).scheme == "https" and bool(_host(inner)) and not _SAFE_LINKS(_host(inner))
    except ValueError:
        known, usable = None, False
    if known:
        return known
    return ShareLink(name, direct=inner) if usable else ShareLink(name, advice=advice)


def _host(url: str) -> str:
    return (urlsplit(url).hostname or "").lower()


_SAFE_LINKS = _on("safelinks.protection.outlook.com", "safelinks.protection.office365.us")
# Services with paths like those of Nextcloud.
_PAN = _on("pan.baidu.com", "quark.cn", "terabox.com")
_Service = Callable[[SplitResult], Optional[ShareLink]]
_SERVICES: tuple[tuple[Callable[[str], bool], _Service], ...] = (
    (_on("sharepoint.com", "sharepoint.us", "sharepoint-mil.us", "sharepoint.de", "sharepoint.cn"), _sharepoint),
    (_on("1drv.ms", "onedrive.live.com"), _onedrive),
    (_on("dropboxusercontent.com"), lambda parts: None),
    (_on("dropbox.com"), _dropbox),
    (_on("drive.google.com", "docs.google.com", "drive.usercontent.google.com"), _google_drive),
    (_on("storage.cloud.google.com"), _google_storage),
    (_on("box.com"), _box),
    (_on("icloud.com"), _icloud),
    (_on("wetransfer.com", "we.tl"), _transfer_page("WeTransfer")),
    (_on("mega.nz", "mega.io"), _transfer_page("MEGA")),
    (_on("console.aws.amazon.com", "portal.azure.com", "console.cloud.google.com"), _cloud_console),
    (_SAFE_LINKS, _safe_links),
    (_PAN, _transfer_page("This service")),
    (lambda host: True, _nextcloud),
)
