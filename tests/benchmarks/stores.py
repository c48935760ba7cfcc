# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rate of an upload to each kind of store, beside its own command-line client, in the same run.

Ours has its check before, its proof after, and the checksum file beside the image; the others only send. The result is
a table in Markdown on standard output.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import pathlib
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
# For support.*, and the collection from where it lies: .../ansible_collections/macops/parallels.
sys.path[:0] = [str(ROOT / "tests"), str(ROOT.parents[2])]

import store_azblob  # noqa: E402  (found by the line before)
import store_https  # noqa: E402
import store_s3  # noqa: E402
import store_sftp  # noqa: E402
import store_stand_ins  # noqa: E402
from contest import hold, table  # noqa: E402

CONTESTS = (
    store_https.folder,
    store_https.nginx,
    store_https.apache,
    store_s3.seaweedfs,
    store_sftp.openssh,
    store_azblob.server,
    store_stand_ins.artifactory,
    store_stand_ins.nexus,
    store_stand_ins.sharepoint,
)

MIB = 1024 * 1024


def make_image(path: pathlib.Path, size: int) -> str:
    """Write a file that cannot be compressed; return its SHA-256."""
    hasher = hashlib.sha256()
    with path.open("wb") as handle:
        for _number in range(size // MIB):
            block = os.urandom(MIB)
            hasher.update(block)
            handle.write(block)
    return hasher.hexdigest()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=1024, help="MiB of the image (default: %(default)s)")
    parser.add_argument("--only", default="", help="part of the names of the stores to measure")
    options = parser.parse_args()
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="stores-") as name:
        scratch = pathlib.Path(name)
        image = scratch / "image.pvmp"
        sha256 = make_image(image, options.size * MIB)
        for contest in CONTESTS:
            folder = scratch / f"{contest.__module__}.{contest.__name__}"
            if options.only not in folder.name:
                continue
            folder.mkdir()
            with contest(folder, image, sha256) as held:
                outcomes.append(hold(held))
    print("\n".join(table(outcomes, options.size * MIB)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
