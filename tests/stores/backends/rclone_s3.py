# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""C(s3://) on rclone serve s3: a store that ignores checksums and conditions."""

from __future__ import annotations

from support.rclone import RcloneS3

from . import Broken, Folder
from .s3 import S3Backend, error


class RcloneS3Backend(S3Backend):
    """rclone serve s3."""

    name = "s3: rclone"
    # Every day it shows what becomes of files where nothing but our own looks protects them.
    nightly = frozenset(
        {
            "the same bytes change nothing",
            "SHA-256 is kept beside it",
            "goes on after a break",
            "a lost answer is looked into",
            "goes on after a kill",
            "memory is bounded",
            "part size and concurrency are options",
            "keeps to a rate limit",
            "a silent server is given up",
            "goes through a proxy",
            "waits as long as a busy server asks",
            "what is final is not tried again",
            "wrong credentials: one sentence",
            "a missing folder: one sentence",
            "a forbidden write: one sentence",
            "a full store: one sentence",
            "credentials that end are named or renewed",
            "check mode writes nothing",
            "small files: read, write, delete",
            "tells what is there",
        }
    )

    def _start(self) -> RcloneS3:
        return RcloneS3(self.root / "rclone")

    def forbidden_write(self, folder: Folder) -> Broken:
        # It has one user, who may do everything.
        fault = error(403, "AccessDenied", times=99, where=lambda request: request.method in ("PUT", "POST"))
        return Broken(words=("AccessDenied", "s3:PutObject"), during=lambda: self._while(fault))
