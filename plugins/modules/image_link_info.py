#!/usr/bin/python
# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is this link what a user's Mac needs?"""

from __future__ import annotations

DOCUMENTATION = r"""
module: image_link_info
short_description: Proves whether a link gives an image to a user's Mac
version_added: 1.0.0
author:
  - The macops.parallels developers (!UNKNOWN)
description:
  - Asks a link as a user's Mac asks it, and tells in one verdict whether it is a direct, anonymous HTTPS link to the
    image, as the Parallels Management Portal needs it; with the reasons, and one sentence of advice.
  - No credentials are ever sent, those of a C(~/.netrc) included, and no cookies.
  - Asks with C(GET) and a range of bytes, because some direct links (a presigned one of S3) refuse C(HEAD).
  - Redirects are followed one by one, five at most, over HTTPS only.
  - Does not fail because of what it finds, unless O(require=true).
extends_documentation_fragment:
  - macops.parallels._attributes
  - macops.parallels._long_work
attributes:
  check_mode:
    support: full
    details:
      - It only reads, in check mode as otherwise.
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
      - The link, as it is to be entered in the Management Portal.
      - In the results, the values in its query are masked, except those that are known to be no secret.
    type: str
    required: true
  size:
    description:
      - The size that the image has to have, in bytes.
    type: int
  sha256:
    description:
      - The SHA-256 checksum that the image has to have, as 64 hexadecimal digits.
    type: str
  path:
    description:
      - Path of the image on the host that runs the module. What the link gives is compared with it.
      - Its size is expected, if O(size) is not given.
    type: path
  proof:
    description:
      - How much of the image is read.
      - V(headers) reads the first 1024 bytes. A web page, a login, a wrong address and a wrong size are found.
      - V(sample) also reads 64 KiB at the beginning, at the end and at three random places, and compares them with
        O(path); without O(path), their lengths are compared. An upload that was cut off is found.
      - V(full) downloads the whole image and hashes it as it comes; nothing is kept on the disk, and the memory that
        it takes does not depend on the size. A connection that breaks is taken up where it broke, if the server can.
        The digest is compared with O(sha256), or else the bytes with O(path).
    type: str
    choices: [headers, sample, full]
    default: headers
  ca_path:
    description:
      - Path of a file with the certificate authorities that are trusted, in PEM form, for a server whose certificate
        a company has signed itself. Path on the host that runs the module.
      - Without it, the file that E(REQUESTS_CA_BUNDLE), E(CURL_CA_BUNDLE) or E(SSL_CERT_FILE) names, or else the
        public certificate authorities.
    type: path
  min_validity:
    description:
      - For how many days a link that ends has to be valid still. One that ends sooner is V(expires_soon).
      - The end is read from the link, as S3, Google Cloud, CloudFront and Azure write it there.
      - The default is a quarter of a year, because an image usually serves until the next one but one replaces it,
        and because a nightly check that complains so early leaves time to put it right.
      - V(0) accepts every link that has not ended yet.
    type: int
    default: 90
  timeout:
    description:
      - For how many seconds the server may keep silent, at first and in the middle of the image; and for how many
        seconds its first 1024 bytes may take.
    type: int
    default: 30
  retries:
    description:
      - How often to try again, with growing pauses, what may pass by itself. That is a connection that cannot be made
        or breaks, and a server that answers with a status of 408, 425, 429, 500, 502, 503 or 504.
      - In V(full), the count starts anew whenever more than a mebibyte was gained.
    type: int
    default: 3
  proxy:
    description:
      - URL of a proxy. Without it, the one of E(https_proxy), unless E(no_proxy) excludes the host.
    type: str
  allow_private_redirects:
    description:
      - Whether a redirect may lead from a public address into a private network. It is V(insecure) otherwise, because
        a server decides then what is asked for behind the firewall.
      - A redirect to an address of the machine itself or to a link-local address, where clouds keep their secrets, is
        never followed from elsewhere.
    type: bool
    default: false
  require:
    description:
      - Whether a verdict other than V(direct) fails the task.
    type: bool
    default: false
notes:
  - The proof is made from where the module runs. From a build Mac in the company's network it says nothing about
    users outside of it; delegate the task to a host that is where the users are, to prove it from there.
  - What is looked for in a page that asks for a login, and in a redirect to one, are the marks of well-known identity
    providers. A page of another kind is V(html).
seealso:
  - module: macops.parallels.image_upload
  - module: macops.parallels.image_catalog
  - plugin: macops.parallels.direct_link
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Look at a link before it is entered in the Management Portal
  macops.parallels.image_link_info:
    url: https://images.example.com/golden/windows11-2026.11.0-arm64.pvmp
  register: link

- name: Prove the link of a published image, and stop when it is not what users need
  macops.parallels.image_link_info:
    url: "{{ image.url }}"
    size: "{{ image.size }}"
    sha256: "{{ image.sha256 }}"
    proof: full
    require: true

- name: Prove it from outside of the company's network
  macops.parallels.image_link_info:
    url: "{{ image.url }}"
    size: "{{ image.size }}"
    require: true
  delegate_to: probe.example.net

- name: Compare samples with the image on the build Mac, on a server under the company's own certificate authority
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
    - V(direct), the image; the link can be used.
    - V(html), a web page or another document.
    - V(login), a request to sign in, or a redirect to where people sign in.
    - V(needs_cookies), the image, but only for those who keep cookies.
    - V(not_found), nothing; the server answers 404 or 410.
    - V(forbidden), nothing; the server answers 403 or the like.
    - V(expired), V(expires_soon), a link that has ended, or ends before O(min_validity) is over.
    - V(wrong_size), V(wrong_checksum), a file that is not the image.
    - V(insecure), an address without HTTPS, with a user name in it, or a redirect to such a one or into a private
      network.
    - V(tls_error), a server whose certificate is not trusted.
    - V(unreachable), no answer, or none that makes sense.
    - V(too_many_redirects), more than five redirects, or redirects in a circle.
  type: str
  returned: always, unless the arguments make no sense
  sample: direct
reasons:
  description:
    - Why, in whole sentences. That of the verdict comes first.
    - With V(direct), what is worth knowing, such as that the server cannot send parts of a file.
  type: list
  elements: str
  returned: always, unless the arguments make no sense
  sample:
    - "The link gives a web page (Content-Type text/html), not an image; its title is 'win11.pvmp - Dropbox'."
advice:
  description:
    - What to do, in one sentence. For a share link of a service that is known, its direct form.
  type: str
  returned: always, unless the arguments make no sense
  sample: "This is a share link of Dropbox: use its direct form, https://www.dropbox.com/scl/fi/abc/win11.pvmp?rlkey=123&dl=1"
url:
  description: The link that was asked, its secrets masked.
  type: str
  returned: always, unless the arguments make no sense
  sample: https://images.example.com/golden/windows11-2026.11.0-arm64.pvmp?sig=***
chain:
  description: Each address that was asked, from the link to the end of the redirects; six at most.
  type: list
  elements: dict
  returned: always, unless the arguments make no sense
  contains:
    url:
      description: The address, the secrets of its query masked.
      type: str
      sample: https://images.example.com/golden/windows11-2026.11.0-arm64.pvmp?sig=***
    status:
      description: The HTTP status of the answer; null for an address that was not asked, or gave no answer.
      type: int
      sample: 206
final_url:
  description: Where the redirects end, the secrets of its query masked.
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
    - The size of what the link gives, in bytes, as the server tells it. With RV(proof=full), as it was counted.
    - Null when it is not known.
  type: int
  returned: always, unless the arguments make no sense
  sample: 21474836480
sha256:
  description: The SHA-256 checksum of what the link gives, computed from the download. Null without RV(proof=full).
  type: str
  returned: always, unless the arguments make no sense
  sample: 63a90c3c1ffb4a9d1c2c6e6a2b8b0a1d6ad9a41e7f5b3c2d1e0f9a8b7c6d706b
proof:
  description:
    - The proof that was made.
    - It is less than O(proof) when the verdict was clear before, or when the server sends no parts of a file.
  type: str
  returned: always, unless the arguments make no sense
  sample: full
ranges:
  description:
    - Whether the server sends parts of the file, so that a download that breaks can go on. Null when it is not known.
  type: bool
  returned: always, unless the arguments make no sense
  sample: true
expires_at:
  description: When the link ends, in UTC, as it is written in the link. Null when it is not.
  type: str
  returned: always, unless the arguments make no sense
  sample: "2027-11-22T10:00:00Z"
network:
  description:
    - In what network the server's address is, seen from the host that runs the module.
    - V(public), V(private), V(loopback), V(link_local), or V(unknown) when its name is not known there, as behind a
      proxy.
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
            raise TaskError(f"{name} must be at least {least}.")


def _hide_credentials(module: AnsibleModule, url: str) -> None:
    """Keep a password that should not be in the link out of all output, that of the arguments included."""
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
        raise TaskError("sha256 has to be the 64 hexadecimal digits of a SHA-256 checksum.")
    return digest


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
    run_long_module(module, look_at_link, keeps_answer=True)


if __name__ == "__main__":
    main()
