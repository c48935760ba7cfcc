# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backend a destination names, and the options that all modules with a store share."""

from __future__ import annotations

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._stores._base import (
    StoreOptions,
    check_name,
    is_abandoned_part,
    part_name,
)
from ansible_collections.macops.parallels.plugins.module_utils._stores._file import FileStore
from ansible_collections.macops.parallels.plugins.module_utils._stores._https import HttpsStore
from ansible_collections.macops.parallels.plugins.module_utils._stores._options import (
    STORE_ARGUMENTS,
    store_options,
    store_retries,
)
from ansible_collections.macops.parallels.plugins.module_utils._stores._registry import open_store


@pytest.mark.parametrize(
    ("destination", "kind", "url"),
    [
        ("https://host/folder", HttpsStore, "https://host/folder"),
        ("https://host:8443/a/b//", HttpsStore, "https://host:8443/a/b"),
        ("https://host/", HttpsStore, "https://host"),
        ("https://host/my images/grün", HttpsStore, "https://host/my%20images/gr%C3%BCn"),
        ("https://host/my%20images", HttpsStore, "https://host/my%20images"),
        ("HTTPS://host/x", HttpsStore, "https://host/x"),
        ("file:///srv/images/", FileStore, "file:///srv/images"),
        ("file:///Volumes/My%20Share/grün", FileStore, "file:///Volumes/My%20Share/gr%C3%BCn"),
        ("file://localhost/srv", FileStore, "file:///srv"),
    ],
)
def test_the_scheme_names_the_backend(destination, kind, url):
    store = open_store(destination, StoreOptions())
    assert isinstance(store, kind)
    assert store.url == url


@pytest.mark.parametrize(
    ("destination", "sentence"),
    [
        ("http://host/folder", "must not be http://"),
        ("ftp://host/folder", "no store for 'ftp://'. A destination begins with one of: https://, file://"),
        ("/srv/images", "is not a URL"),
        ("", "is not a URL"),
        ("https://someone:hush@host/x", "must not hold a user name or a password"),
        ("https://hush@host/x", "must not hold a user name or a password"),
        ("https://host/x?sig=hush", "without a '\\?' or '#'"),
        ("https://host/x#hush", "without a '\\?' or '#'"),
        ("https:///x", "no host name"),
        ("https://host:hush/x", "not a valid URL"),
        ("file://server/share", "three slashes"),
        ("file:relative", "three slashes"),
    ],
)
def test_what_is_no_destination_is_refused_in_words(destination, sentence):
    with pytest.raises(TaskError, match=sentence) as caught:
        open_store(destination, StoreOptions())
    assert "hush" not in caught.value.message


def test_a_link_is_percent_encoded():
    store = open_store("https://host/images", StoreOptions())
    assert store.link("Büro 100% #1.pvmp") == "https://host/images/B%C3%BCro%20100%25%20%231.pvmp"


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "a\\b", "a\nb", "a\x00b"])
def test_names_that_no_store_can_have(name):
    with pytest.raises(TaskError, match="cannot be the name of a file"):
        check_name(name)


def test_a_part_of_this_process_is_not_abandoned():
    part = part_name("a.pvmp")
    assert part.startswith(".a.pvmp.")
    assert part.endswith(".part")
    assert not is_abandoned_part(part, "a.pvmp")
    assert part != part_name("a.pvmp")


def test_a_part_of_a_process_that_is_gone_is_abandoned(monkeypatch):
    monkeypatch.setattr("os.getpid", lambda: 2**22 + 5)  # above the largest process number
    part = part_name("a.pvmp")
    assert is_abandoned_part(part, "a.pvmp")
    assert not is_abandoned_part(part, "b.pvmp")
    monkeypatch.setattr("socket.gethostname", lambda: "another-machine")
    assert not is_abandoned_part(part, "a.pvmp")


@pytest.mark.parametrize("found", ["a.pvmp", ".a.pvmp.part", ".a.pvmp.lock", ".a.pvmp.12345678-zz-12345678.part"])
def test_other_names_are_no_parts(found):
    assert not is_abandoned_part(found, "a.pvmp")


def params(**given):
    defaults = {name: spec.get("default") for name, spec in STORE_ARGUMENTS.items()}
    return {**defaults, "destination": "https://host/x", **given}


@pytest.mark.parametrize(
    ("text", "rate"), [(None, None), ("", None), ("20M", 20 * 1024 * 1024), ("5000000", 5_000_000), ("1K", 1024)]
)
def test_the_rate_limit(text, rate):
    assert store_options(params(rate_limit=text)).rate_limit == rate


@pytest.mark.parametrize("text", ["fast", "20 apples", "100", "-5M"])
def test_what_is_no_rate_limit(text):
    with pytest.raises(TaskError, match="rate_limit"):
        store_options(params(rate_limit=text))


def test_the_options_go_through():
    options = store_options(
        params(username="u", password="p", ca_path="/ca", proxy="http://p", timeout=5, https_method="put")
    )
    assert options == StoreOptions("u", "p", None, "/ca", "http://p", None, 5.0, "put")
    assert store_retries(params(retries=7)).retries == 7


@pytest.mark.parametrize("wrong", [{"timeout": 0}, {"timeout": -1}])
def test_no_time_at_all_is_refused(wrong):
    with pytest.raises(TaskError, match="timeout"):
        store_options(params(**wrong))


def test_a_negative_number_of_retries_is_refused():
    with pytest.raises(TaskError, match="retries"):
        store_retries(params(retries=-1))


def test_every_secret_is_hidden():
    hidden = {name for name, spec in STORE_ARGUMENTS.items() if spec.get("no_log")}
    assert hidden == {"password", "token", "proxy"}
