# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The notes of the catalogs that were verified, and the address of a store in signatures."""

from __future__ import annotations

import json
import os
import stat
import threading
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._stores.base import StoreOptions
from ansible_collections.macops.parallels.plugins.module_utils._stores.registry import open_store
from ansible_collections.macops.parallels.plugins.module_utils._trust.identity import canonical_url, store_identity
from ansible_collections.macops.parallels.plugins.module_utils._trust.seen import LARGEST_SERIAL, Seen, is_serial

STORE = "https://images.example.com/golden"
AT = "2026-11-23T12:00:00Z"


def test_the_highest_is_kept() -> None:
    seen = Seen(STORE)
    assert seen.highest() is None
    assert not Path(seen.path).exists()
    for signer, serial in (("a@example.com", 3), ("b@example.com", 5), ("a@example.com", 4), ("b@example.com", 2)):
        seen.keep(signer, serial, AT)
    assert Seen(STORE).highest() == {"signer": "b@example.com", "serial": 5, "signed_at": AT}
    assert json.loads(Path(seen.path).read_text())["signers"]["a@example.com"]["serial"] == 4
    assert stat.S_IMODE(os.stat(seen.path).st_mode) == 0o600
    assert Seen(STORE + "/other").highest() is None


def test_what_is_accepted_is_the_newest_and_the_numbers_go_on() -> None:
    seen = Seen(STORE)
    seen.keep("a@example.com", 9, AT)
    seen.accept("b@example.com", 4, AT)
    assert (seen.highest() or {})["serial"] == 4
    assert seen.floor() == 9
    seen.accept("", 0, "")
    assert seen.highest() is None
    assert seen.floor() == 9


def test_check_mode_notes_nothing() -> None:
    seen = Seen(STORE, writes=False)
    seen.keep("a@example.com", 9, AT)
    seen.accept("a@example.com", 9, AT)
    assert seen.highest() is None


def test_many_that_verify_at_once_never_lower_it() -> None:
    threads = [threading.Thread(target=Seen(STORE).keep, args=(f"{n % 3}@x", n, AT)) for n in range(1, 40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (Seen(STORE).highest() or {})["serial"] == 39


def _link(path: Path) -> None:
    real = path.with_name("elsewhere")
    path.rename(real)
    path.symlink_to(real)


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _edit(**changes: Any) -> Callable[[Path], None]:
    return lambda path: path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))  # type: ignore[return-value]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_text(""),
        lambda path: path.write_text("{"),
        lambda path: path.write_text("[]"),
        lambda path: path.write_bytes(b"\xff" * 100_000),
        lambda path: path.chmod(0o666),
        _edit(store="https://other.example.com"),
        _edit(schema=2),
        _edit(floor=-1),
        _edit(signers={"a": {"serial": 0, "signed_at": AT}}),
        _edit(signers={"a": 3}),
        _edit(signers=[]),
        _link,
        _fifo,
        _folder,
    ],
)
def test_a_broken_note_is_not_a_first_sight(spoil: Callable[[Path], Any]) -> None:
    seen = Seen(STORE)
    seen.keep("a@example.com", 9, AT)
    spoil(Path(seen.path))
    for work in (seen.highest, seen.floor, lambda: seen.keep("a@example.com", 10, AT)):
        with pytest.raises(TaskError, match=r"is not known: the note .*Remove it only if you know") as caught:
            work()
        assert caught.value.details["path"] == seen.path


def test_a_note_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ansible").write_text("")
    with pytest.raises(TaskError, match=r"cannot be (written|read): Not a directory"):
        Seen(STORE).keep("a@example.com", 9, AT)


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        (1, True),
        (LARGEST_SERIAL, True),
        (0, False),
        (-1, False),
        (LARGEST_SERIAL + 1, False),
        (True, False),
        ("1", False),
    ],
)
def test_what_is_a_serial_number(value: Any, fits: bool) -> None:
    assert is_serial(value) is fits


@pytest.mark.parametrize(
    "url",
    [
        "https://images.example.com/Golden%20images",
        "https://images.example.com/Golden images/",
        "HTTPS://Images.Example.com:443/Golden%20images//",
        "https://user:secret@images.example.com/./Golden%20images?sig=secret#x",
        "https://images.example.com/x/../Golden%20images",
        " https://images.example.com/%47olden%20images ",
    ],
)
def test_an_address_has_one_form(url: str) -> None:
    assert canonical_url(url, "public_url") == "https://images.example.com/Golden%20images"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://images.example.com/golden", "https://images.example.com/test"),
        ("https://images.example.com/golden", "https://images.example.com:8443/golden"),
        ("https://images.example.com/golden", "https://test.example.com/golden"),
        ("https://images.example.com/golden", "https://images.example.com/Golden"),
        ("https://images.example.com/a%2Fb%252F", "https://images.example.com/a/b%2F/"),
        ("s3://bucket/golden", "azblob://bucket/golden"),
    ],
)
def test_addresses_that_differ(one: str, other: str) -> None:
    assert canonical_url(one, "x") != canonical_url(other, "x")


@pytest.mark.parametrize(
    "url", ["images.example.com", "https://", "/golden", "https://x:port/", "https://[x/", "https://x/%ff"]
)
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(TaskError, match="public_url cannot be used for signatures"):
        canonical_url(url, "public_url")


@pytest.mark.parametrize(
    ("destination", "public_url", "expected"),
    [
        ("file:///srv/www/golden", STORE, STORE),
        ("https://images.example.com/golden/", None, STORE),
        ("https://images.example.com/golden/", "", STORE),
        ("file:///srv/www/golden/", None, "file:///srv/www/golden"),
    ],
)
def test_the_address_of_a_store(destination: str, public_url: Any, expected: str) -> None:
    store = open_store(destination, StoreOptions(username="x", password="y"))
    assert store_identity(store, public_url, None) == expected
