#!/usr/bin/python
# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks whether a link works for users' Macs."""

from __future__ import annotations

DOCUMENTATION = r"""
module: image_link_info
short_description: Check whether users' Macs can download an image from a link
version_added: 1.0.0
author:
  - The macops.parallels developers (!UNKNOWN)
description:
  - Requests a link as a user's Mac does. Reports in one verdict whether it is a direct, anonymous HTTPS link to the
    image, which the Parallels Management Portal needs. Also reports the reasons, and one sentence of advice.
  - No credentials are ever sent, not even those in C(~/.netrc), and no cookies.
  - Uses C(GET) with a byte range, because some direct links (presigned S3 links) refuse C(HEAD).
  - Follows redirects one by one, five at most, over HTTPS only.
  - Does not fail because of the verdict, unless O(require=true).
extends_documentation_fragment:
  - macops.parallels._attributes
  - macops.parallels._long_work
attributes:
  check_mode:
    support: full
    details:
      - The module only reads, with or without check mode.
  diff_mode:
    support: N/A
  idempotent:
    support: full
  platform:
    platforms: posix
    support: full
requirements:
  - requests
options:
  url:
    description:
      - The link as it will be entered in the Management Portal.
      - In the results, the values in its query are masked, except those that are known not to be secret.
    type: str
    required: true
  size:
    description:
      - The expected size of the image in bytes.
    type: int
  sha256:
    description:
      - The expected SHA-256 checksum of the image, as 64 hexadecimal digits.
    type: str
  path:
    description:
      - Path of the image on the host that runs the module. The download is compared with it.
      - Its size is the expected size, if O(size) is not set.
    type: path
  proof:
    description:
      - How much of the image is read.
      - V(headers) reads the first 1024 bytes. It detects a web page, a login, a wrong address and a wrong size.
      - V(sample) also reads 64 KiB at the beginning, at the end and at three random places, and compares them with
        O(path). Without O(path), only their lengths are compared. It detects an incomplete upload.
      - V(full) downloads the whole image and hashes it. Nothing is stored on the disk, and memory use does not depend
        on the size. After a lost connection, the download resumes if the server supports range requests. The digest
        is compared with O(sha256), or else the bytes with O(path).
    type: str
    choices: [headers, sample, full]
    default: headers
  ca_path:
    description:
      - Path of a file with trusted certificate authorities in PEM format, for a server with a certificate from a
        company's own certificate authority. The path is on the host that runs the module.
      - By default, the file in E(REQUESTS_CA_BUNDLE), E(CURL_CA_BUNDLE) or E(SSL_CERT_FILE) is used, or else the
        public certificate authorities.
    type: path
  min_validity:
    description:
      - For how many more days a link that expires must be valid. If it expires sooner, the verdict is V(expires_soon).
      - The expiry is read from the link, in the formats of S3, Google Cloud, CloudFront, Azure, nginx, Bunny, Akamai,
        Cloudflare and JSON web tokens.
      - The default is a quarter of a year, because an image is usually in use until its second successor is published,
        and because such an early warning of a nightly check leaves time for a fix.
      - V(0) accepts every link that has not expired yet.
    type: int
    default: 90
  timeout:
    description:
      - For how many seconds the server may be silent, at the start and during the download. Also the time limit in
        seconds for the first 1024 bytes.
    type: int
    default: 30
  retries:
    description:
      - How often to retry after transient failures, with increasing pauses. These are failed or lost connections, and
        answers with a status of 408, 425, 429, 500, 502, 503 or 504.
      - With O(proof=full), the count starts over after each mebibyte of progress.
    type: int
    default: 3
  proxy:
    description:
      - URL of a proxy. By default, the proxy in E(https_proxy), unless E(no_proxy) excludes the host.
    type: str
  allow_private_redirects:
    description:
      - Whether a redirect may lead from a public address into a private network. By default, the verdict is
        V(insecure), because otherwise a public server could choose what is requested behind the firewall.
      - A redirect from elsewhere to a loopback address or to a link-local address, where clouds keep secrets, is never
        followed.
      - The address is checked again when the connection is opened, except behind a proxy.
    type: bool
    default: false
  require:
    description:
      - Fail the task if the verdict is not V(direct).
    type: bool
    default: false
notes:
  - The link is checked from the host that runs the module. From a build Mac in the company's network, the result says
    nothing about users outside of it. To check the link for them, delegate the task to a host in their network.
  - Login pages and redirects to them are recognized by the marks of well-known identity providers. Any other page is
    V(html).
seealso:
  - module: macops.parallels.image_upload
  - module: macops.parallels.image_catalog
  - plugin: macops.parallels.direct_link
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Check a link before it is entered in the Management Portal
  macops.parallels.image_link_info:
    url: https://images.example.com/golden/windows11-2026.11.0-arm64.pvmp
  register: link

- name: Verify the link of a published image, and fail if users cannot use it
  macops.parallels.image_link_info:
    url: "{{ image.url }}"
    size: "{{ image.size }}"
    sha256: "{{ image.sha256 }}"
    proof: full
    require: true

- name: Verify the link from outside the company's network
  macops.parallels.image_link_info:
    url: "{{ image.url }}"
    size: "{{ image.size }}"
    require: true
  delegate_to: probe.example.net

- name: Compare samples with the image on the build Mac, for a server with a certificate of the company
  macops.parallels.image_link_info:
    url: https://images.corp.example/windows11-2026.11.0-arm64.pvmp
    path: ~/Parallels/windows11-2026.11.0-arm64.pvmp
    proof: sample
    ca_path: /etc/ssl/corp-ca.pem
"""

RETURN = r"""
verdict:
  description:
    - What a user's Mac gets from the link.
    - V(direct) - the image; the link can be used.
    - V(html) - a web page, a text or another document.
    - V(login) - a request to sign in, or a redirect to a sign-in page.
    - V(needs_cookies) - the image, but only for clients that keep cookies.
    - V(not_found) - nothing; the server answers 404 or 410.
    - V(forbidden) - nothing; the server answers 403 or similar.
    - V(expired), V(expires_soon) - the link has expired, or expires within O(min_validity) days.
    - V(wrong_size), V(wrong_checksum) - a file that is not the image.
    - V(insecure) - the address is not HTTPS, contains a user name, or redirects to such an address or into a private
      network.
    - V(tls_error) - the server's certificate is not trusted, or does not meet Apple's requirements, which are stricter
      than those of OpenSSL.
    - V(unreachable) - no answer, or an invalid one.
    - V(too_many_redirects) - more than five redirects, or a redirect loop.
  type: str
  returned: always, unless the arguments make no sense
  sample: direct
reasons:
  description:
    - The reasons in complete sentences. The reason for the verdict comes first.
    - With V(direct), notes about the link, such as that the server does not support range requests.
  type: list
  elements: str
  returned: always, unless the arguments make no sense
  sample:
    - "The link leads to a web page (Content-Type text/html), not to an image; its title is 'win11.pvmp - Dropbox'."
advice:
  description:
    - What to do, in one sentence. For a share link of a known service, its direct form.
  type: str
  returned: always, unless the arguments make no sense
  sample: "This is a share link of Dropbox: use its direct form, https://www.dropbox.com/scl/fi/abc/win11.pvmp?rlkey=123&dl=1"
url:
  description: The link that was checked, with its secrets masked.
  type: str
  returned: always, unless the arguments make no sense
  sample: https://images.example.com/golden/windows11-2026.11.0-arm64.pvmp?sig=***
chain:
  description: Each requested address, from the link to the end of the redirects; six at most.
  type: list
  elements: dict
  returned: always, unless the arguments make no sense
  contains:
    url:
      description: The address, with the secrets in its query masked.
      type: str
      sample: https://images.example.com/golden/windows11-2026.11.0-arm64.pvmp?sig=***
    status:
      description: The HTTP status of the answer; null for an address that was not requested, or did not answer.
      type: int
      sample: 206
final_url:
  description: The address where the redirects end, with the secrets in its query masked.
  type: str
  returned: always, unless the arguments make no sense
  sample: https://images.example.com/golden/windows11-2026.11.0-arm64.pvmp
headers:
  description:
    - The headers of the last answer that matter, as the server wrote them.
    - Names are in lower case with underscores, such as RV(ignore:headers.content_type). Long values are cut.
  type: dict
  returned: always, unless the arguments make no sense
  sample:
    accept_ranges: bytes
    content_range: bytes 0-1023/21474836480
    content_type: application/octet-stream
    etag: '"66a1-5f3759df"'
size:
  description:
    - The size of the file at the link in bytes, as the server reports it. With RV(proof=full), the counted size.
    - Null when it is unknown.
  type: int
  returned: always, unless the arguments make no sense
  sample: 21474836480
sha256:
  description: The SHA-256 checksum of the download. Null without RV(proof=full).
  type: str
  returned: always, unless the arguments make no sense
  sample: 63a90c3c1ffb4a9d1c2c6e6a2b8b0a1d6ad9a41e7f5b3c2d1e0f9a8b7c6d706b
proof:
  description:
    - The proof that was made.
    - It is less than O(proof) if the verdict was clear earlier, or if the server does not support range requests.
  type: str
  returned: always, unless the arguments make no sense
  sample: full
ranges:
  description:
    - Whether the server supports range requests, so that an interrupted download can resume. Null when it is unknown.
  type: bool
  returned: always, unless the arguments make no sense
  sample: true
expires_at:
  description: When the link expires, in UTC, if the link contains that. Null otherwise.
  type: str
  returned: always, unless the arguments make no sense
  sample: "2027-11-22T10:00:00Z"
network:
  description:
    - The network of the server's address, as seen from the host that runs the module.
    - V(public), V(private), V(loopback), V(link_local), or V(unknown) when the name cannot be resolved there, as behind
      a proxy.
  type: str
  returned: always, unless the arguments make no sense
  sample: public
"""

import re
from typing import Any
from urllib.parse import unquote, urlsplit

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._common.retry import Retries
from ansible_collections.macops.parallels.plugins.module_utils._http.session import Http
from ansible_collections.macops.parallels.plugins.module_utils._jobs.job import Job
from ansible_collections.macops.parallels.plugins.module_utils._link.check import LinkCheck
from ansible_collections.macops.parallels.plugins.module_utils._link.report import PROOFS, Question
from ansible_collections.macops.parallels.plugins.module_utils._module import run_long_module


def look_at_link(module: AnsibleModule, job: Job) -> dict[str, Any]:
    """Return the report on the link."""
    params = module.params
    _check_numbers(params)
    _hide_credentials(module, params["url"])

    def open_http(cookies: bool) -> Http:
        return Http(ca_path=params["ca_path"], proxy=params["proxy"], timeout=params["timeout"], cookies=cookies)

    question = Question(
        url=params["url"],
        size=params["size"],
        sha256=_digest(params["sha256"]),
        path=params["path"],
        proof=params["proof"],
        min_validity=params["min_validity"],
        allow_private_redirects=params["allow_private_redirects"],
    )
    job.works_on_file(unquote(urlsplit(params["url"]).path))
    report = LinkCheck(
        question,
        open_http,
        Retries(params["retries"]),
        each=job.progress("Downloading"),
        patience=params["timeout"],
    ).run()
    if params["require"] and report.verdict != "direct":
        raise report.failure()
    return {"changed": False, **report.result()}


def _check_numbers(params: dict[str, Any]) -> None:
    for name, least in (("timeout", 1), ("retries", 0), ("min_validity", 0), ("size", 1)):
        if params[name] is not None and params[name] < least:
            raise TaskError(f"{name} is too low. Set it to {least} or more.")


def _hide_credentials(module: AnsibleModule, url: str) -> None:
    """Keep a password that should not be in the link out of all output, including the arguments."""
    try:
        password = urlsplit(url).password
    except ValueError:
        password = None
    if password:
        module.no_log_values.add(password)


def _digest(text: str | None) -> str | None:
    if text is None:
        return None
    digest = text.strip().lower()
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise TaskError("sha256 is not valid. Set it to the 64 hexadecimal digits of a SHA-256 checksum.")
    return digest


def _is_proof(report: dict[str, Any]) -> bool:
    """Return whether a report is still true some time later: the whole image was compared with its checksum, and good.

    A server that was not good may have been mended since, and the other reports take only seconds to make again.
    """
    return report.get("verdict") == "direct" and report.get("proof") == "full"


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "required": True},
            "size": {"type": "int"},
            "sha256": {"type": "str"},
            "path": {"type": "path"},
            "proof": {"type": "str", "choices": list(PROOFS), "default": "headers"},
            "ca_path": {"type": "path"},
            "min_validity": {"type": "int", "default": 90},
            "timeout": {"type": "int", "default": 30},
            "retries": {"type": "int", "default": 3},
            "proxy": {"type": "str", "no_log": True},
            "allow_private_redirects": {"type": "bool", "default": False},
            "require": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    run_long_module(module, look_at_link, keeps_answer=_is_proof)


if __name__ == "__main__":
    main()
