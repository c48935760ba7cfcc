# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The options that say where a store is and how to get in: the same words in every module."""

from __future__ import annotations


class ModuleDocFragment:
    """Fragments: the options of the stores that there are."""

    DOCUMENTATION = r"""
options:
  destination:
    description:
      - URL of the folder in which images are published. Its scheme names the kind of store.
      - C(https://host/folder) is a WebDAV server, or one to which files are sent with a plain C(PUT), such as
        Artifactory and Nexus raw repositories. See O(https_method).
      - C(file:///folder) is a folder on the host that runs the module, such as a mounted share or a web root.
      - It must not hold a user name or a password, because URLs are logged. C(http://) is refused.
    type: str
    required: true
  username:
    description: User who may write to the store, for basic authentication.
    type: str
  password:
    description: Password of O(username).
    type: str
  token:
    description: Bearer token for the store, in place of O(username) and O(password).
    type: str
  ca_path:
    description:
      - Path, on the host that runs the module, of a PEM file with the certificate authorities to trust, for a store
        with a certificate of a company's own authority. It takes the place of the well-known authorities.
      - By default the file that one of the environment variables E(REQUESTS_CA_BUNDLE), E(CURL_CA_BUNDLE) and
        E(SSL_CERT_FILE) names, else the well-known authorities that the C(requests) library knows. The keychain of
        macOS is not read.
    type: path
  proxy:
    description:
      - URL of the proxy between the host that runs the module and the store. It may hold a user name and a password.
      - By default what the environment variables E(HTTPS_PROXY), E(ALL_PROXY) and E(NO_PROXY) say. The system
        settings of macOS are not read.
    type: str
  part_size:
    description:
      - How many bytes of an image go out in one request, where a store takes it in parts. It may have a unit, such as
        V(64M), and is at least V(1M). After a break, at most so many bytes are sent again.
      - By default what suits the kind of store, which is V(64M) for WebDAV servers that go on within a file. No other
        kind of server needs it, and C(file://) folders do not either.
      - A server that copies the whole file for each part, such as lighttpd with C(partial-put-copy-modify), wants a
        much larger one, such as V(8G).
    type: str
  rate_limit:
    description:
      - Upper limit of the upload's speed in bytes a second, with an optional unit, such as V(20M). K, M and G are
        powers of 1024.
      - By default there is none.
    type: str
  timeout:
    description:
      - How many seconds a server may stay silent, when it is connected to, when it takes bytes, and when it answers.
      - After the last byte of an image it may in addition take a second for each 10 MiB of it.
      - A connection that crawls counts as broken, too. So many seconds and one minute more are given to each MiB.
    type: int
    default: 60
  retries:
    description:
      - How often something is tried again that may pass by itself, such as a broken connection or a busy server. The
        pauses grow from 2 seconds to 2 minutes, unless the server asks for another one.
    type: int
    default: 4
  https_method:
    description:
      - How a file gets its place on an HTTPS server.
      - V(webdav) sends it under a temporary name that begins with a dot, and then renames it (C(MOVE)). Nobody ever
        sees a part of a file, and other bytes under the final name are never overwritten by accident.
      - V(put) sends it to its final name, as repositories such as Artifactory and Nexus want it. Apache, nginx and
        these repositories show a file only when all of it has arrived. A server that shows what it has received so
        far is tidied up after a failure that the module lives to see, and at its next run.
      - V(auto) chooses V(webdav) when the server says that it can do it.
    type: str
    choices: [auto, webdav, put]
    default: auto
requirements:
  - requests >= 2.25.0 and urllib3 >= 1.26.0, for C(https://) destinations
notes:
  - Passwords are never taken from a C(.netrc) file.
"""
