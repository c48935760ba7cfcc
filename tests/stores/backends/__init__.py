# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the contract suite needs to know of each kind of store, and of the server behind it."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import pathlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, Callable

from support.gateway import Gateway
from support.https_store import Fault, Request
from support.wire import Wire


@dataclasses.dataclass(frozen=True)
class Broken:
    """A way in which a store does not let us in, and the words by which that has to be told."""

    # Over those of the folder.
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    # In place of the folder's.
    destination: str | None = None
    # Each has to be in the sentence.
    words: tuple[str, ...] = ()
    # What is done to the server meanwhile.
    during: Callable[[], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext


@dataclasses.dataclass(frozen=True)
class Folder:
    """A folder (prefix, container) of a store that only one test uses."""

    destination: str
    options: Mapping[str, Any]
    # What an outsider finds under final names: their bytes by their names.
    published: Callable[[], dict[str, bytes]]


class Backend(ABC):
    """A kind of store on a real server, or on a stand-in that says so in its name."""

    # As it is shown in the matrix.
    name: str
    # Promises that cannot be kept, and why: the words are shown in the matrix. See test_contract.PROMISES.
    cannot: Mapping[str, str] = {}
    # Promises that are left to C(make test-all), because another kind keeps them every day by the same code.
    nightly: frozenset[str] = frozenset()
    # How large the image is that is uploaded.
    image_size = 3 * 1024 * 1024 + 123
    # How many bytes the parts of an image have in the tests, None where it goes out as one.
    part_size: int | None = None
    # Before the server, where that speaks HTTP; else a wire. None for neither (a folder).
    gateway: Gateway | None = None
    wire: Wire | None = None

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root
        self._numbers = itertools.count(1)

    def folder_name(self) -> str:
        """Return a new name for a folder."""
        return f"images-{next(self._numbers)}"

    @contextlib.contextmanager
    def running(self) -> Iterator[Backend]:
        """Run the servers."""
        yield self

    @abstractmethod
    def folder(self) -> Folder:
        """Make a new empty folder."""

    def begin(self) -> None:
        """Lift all faults, and forget what was counted."""
        if self.gateway is not None:
            self.gateway.begin()
        if self.wire is not None:
            self.wire.begin()

    def is_upload(self, request: Request) -> bool:
        """Return whether a request carries bytes of an image, to its final or a temporary name."""
        return request.method == "PUT" and request.length > 64 * 1024

    def break_after(self, size: int) -> None:
        """Have the connection break once, when so many bytes of images have gone out."""
        if self.wire is not None:
            self.wire.cut_after = self.wire.sent + size
            return
        assert self.gateway is not None
        self.gateway.faults.append(_CutInTheMiddle("PUT", where=self.is_upload, cut_after=size))

    def lose_an_answer(self) -> None:
        """Have the answer to the next bytes of an image be lost."""
        assert self.gateway is not None
        self.gateway.faults.append(Fault("*", lose_answer=True, where=self.is_upload))

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """Have the server take no bytes of an image, and say nothing."""
        if self.wire is not None:
            self.wire.held = True
            yield
            self.wire.held = False
            return
        assert self.gateway is not None
        over = threading.Event()
        self.gateway.faults.append(Fault("*", times=9, where=self.is_upload, do=lambda: over.wait(60)))
        yield
        over.set()

    # What each kind of store says when something is wrong; None where that cannot be.
    def wrong_credentials(self, folder: Folder) -> Broken | None:
        """Return what a wrong key or password is."""
        return None

    def missing_folder(self, folder: Folder) -> Broken | None:
        """Return what a bucket, container or folder that is not there is."""
        return None

    def forbidden_write(self, folder: Folder) -> Broken | None:
        """Return credentials that may read only, or a folder that is closed."""
        return None

    def full(self, folder: Folder) -> Broken | None:
        """Return how the store comes to be full."""
        return None

    def expired(self, folder: Folder) -> Broken | None:
        """Return how credentials end in the middle of an upload."""
        return None


@dataclasses.dataclass
class _CutInTheMiddle(Fault):
    """Counts the bytes of all requests: the one that goes over the limit is cut there."""

    passed: int = 0

    def strikes(self, request: Request) -> bool:
        if not super().strikes(request):
            return False
        limit = self.cut_after or 0
        if self.passed + request.length <= limit:
            self.passed += request.length
            return False
        self.cut_after = max(1, limit - self.passed)
        return True
