# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backend a destination names, and the options that all modules with a store share."""

from __future__ import annotations

import unicodedata

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common import machine
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._stores.base import (
    LONGEST_NAME,
    Partial,
    Stored,
    StoreOptions,
    check_name,
    is_part_of,
    left_parts,
    part_name,
)
from ansible_collections.macops.parallels.plugins.module_utils._stores.body import Content
from ansible_collections.macops.parallels.plugins.module_utils._stores.file import FileStore
from ansible_collections.macops.parallels.plugins.module_utils._stores.https.store import HttpsStore
from ansible_collections.macops.parallels.plugins.module_utils._stores.options import (
    STORE_ARGUMENTS,
    store_options,
    store_retries,
)
from ansible_collections.macops.parallels.plugins.module_utils._stores.registry import open_store


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
        (" https://host/folder", HttpsStore, "https://host/folder"),
        ("https://host/folder/ \n", HttpsStore, "https://host/folder"),
        ("\tfile:///srv/images", FileStore, "file:///srv/images"),
    ],
)
def test_the_scheme_names_the_backend(destination, kind, url):
    store = open_store(destination, StoreOptions())
    assert isinstance(store, kind)
    assert store.url == url


@pytest.mark.parametrize(
    ("destination", "sentence"),
    [
        ("http://host/folder", "must not start with http://"),
        ("ftp://host/folder", "'ftp://' is not a supported destination. Use one that starts with: https://, "),
        ("/srv/images", "is not a URL"),
        ("", "is not a URL"),
        ("https://someone:hush@host/x", "must not contain a user name or a password"),
        ("https://hush@host/x", "must not contain a user name or a password"),
        ("https://host/x?sig=hush", "without '\\?' or '#'"),
        ("https://host/x#hush", "without '\\?' or '#'"),
        ("https:///x", "no host name"),
        ("https://host:hush/x", "not a valid URL"),
        ("file://server/share", "three slashes"),
        ("file:relative", "three slashes"),
        (" ", "is not a URL"),
        (" http://host/folder", "must not start with http://"),
        (" https://someone:hush@host/x", "must not contain a user name or a password"),
        ("https://host/fol\nder", "contains a control character, such as a line break"),
        ("https://ho\tst/hush", "contains a control character"),
        ("https://host/\x1b[2J", "contains a control character"),
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
    with pytest.raises(TaskError, match="is not a valid file name"):
        check_name(name)


OURS = Content(100, ("0123456789abcdef", "fedcba9876543210"))


def left(*names, size=50):
    return left_parts([Stored(name, size) for name in names], "a.pvmp", OURS)


def test_a_part_tells_what_it_is_a_part_of():
    part = part_name("a.pvmp", OURS)
    assert part.startswith(".a.pvmp.0123456789abcdef-")
    assert part.endswith(".part")
    assert part != part_name("a.pvmp", OURS)
    assert is_part_of(part, "a.pvmp", OURS)
    assert is_part_of(part_name("a.pvmp", Content(100, OURS.marks[1:])), "a.pvmp", OURS)
    assert not is_part_of(part, "b.pvmp", OURS)
    assert not is_part_of(part_name("a.pvmp"), "a.pvmp", OURS)


def test_a_part_of_this_process_is_not_left():
    assert left(part_name("a.pvmp", OURS), part_name("a.pvmp")) == (None, [])


class TestAProcessThatIsGone:
    @pytest.fixture(autouse=True)
    def gone(self, monkeypatch):
        monkeypatch.setattr("os.getpid", lambda: 2**22 + 5)  # above the largest process number

    def test_its_part_is_gone_on_with(self):
        part = part_name("a.pvmp", OURS)
        assert left(part) == (Partial(part, 50), [])
        assert left(part, size=100) == (Partial(part, 100), [])

    @pytest.mark.parametrize("size", [0, 101])
    def test_a_part_of_another_size_is_not(self, size):
        part = part_name("a.pvmp", OURS)
        assert left(part, size=size) == (None, [part])

    def test_the_largest_is(self):
        small, large = part_name("a.pvmp", OURS), part_name("a.pvmp", OURS)
        found = [Stored(large, 60), Stored(small, 50)]
        assert left_parts(found, "a.pvmp", OURS) == (Partial(large, 60), [small])

    def test_a_part_of_other_bytes_is_useless(self):
        other = part_name("a.pvmp", Content(100, ("0" * 16,)))
        assert left(other) == (None, [other])

    def test_small_files_are_useless_whatever_their_name(self):
        catalog = part_name("catalog.json")
        assert left(catalog) == (None, [catalog])

    def test_a_part_of_another_image_is_left_alone(self):
        assert left(part_name("b.pvmp", OURS)) == (None, [])

    def test_a_part_whose_name_is_listed_in_another_form(self):
        name = "Büro.pvmp"
        part = unicodedata.normalize("NFD", part_name(name, OURS))
        assert is_part_of(part, name, OURS)
        assert left_parts([Stored(part, 50)], name, OURS) == (Partial(part, 50), [])
        other = unicodedata.normalize("NFD", part_name(name, Content(100, ("0" * 16,))))
        assert left_parts([Stored(other, 50)], name, OURS) == (None, [other])

    def test_a_part_of_another_machine_is_left_alone(self, monkeypatch):
        part = part_name("a.pvmp", OURS)
        monkeypatch.setattr(machine, "hardware_id", lambda: "another machine")
        assert left(part) == (None, [])

    def test_another_host_name_does_not_matter(self, monkeypatch):
        """A Mac gets it from DHCP, and another one in each network."""
        part = part_name("a.pvmp", OURS)
        monkeypatch.setattr("socket.gethostname", lambda: "another-name")
        assert left(part) == (Partial(part, 50), [])

    @pytest.mark.parametrize("unknown", ["before", "now", "both"])
    def test_a_machine_that_is_not_known_leaves_everything_alone(self, monkeypatch, unknown):
        with monkeypatch.context() as patch:
            if unknown != "now":
                patch.setattr(machine, "hardware_id", lambda: None)
            parts = [part_name("a.pvmp", OURS), part_name("a.pvmp", Content(100, ("0" * 16,))), part_name("b.json")]
        if unknown != "before":
            monkeypatch.setattr(machine, "hardware_id", lambda: None)
        assert left(*parts) == (None, [])


@pytest.mark.parametrize(
    "found", ["a.pvmp", ".a.pvmp.part", ".a.pvmp.lock", ".a.pvmp.12345678-1-12345678.part", ".a.pvmp.small-x-1-2.part"]
)
def test_other_names_are_no_parts(found):
    assert left(found) == (None, [])


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


@pytest.mark.parametrize(("text", "size"), [(None, None), ("64M", 64 * 1024 * 1024), ("1048576", 1024 * 1024)])
def test_the_part_size(text, size):
    assert store_options(params(part_size=text)).part_size == size


@pytest.mark.parametrize("text", ["big", "100K", "-1G"])
def test_what_is_no_part_size(text):
    with pytest.raises(
        TaskError, match=f"part_size is not valid: '{text}'. Set it to a number of bytes, at least 1M, such as 64M"
    ):
        store_options(params(part_size=text))


def test_the_options_go_through():
    numbers = {"timeout": 5, "part_size": "2M", "rate_limit": "1M", "concurrency": 3, "s3_tags": {"owner": 7}}
    texts = {name: f"the {name}" for name in STORE_ARGUMENTS if name not in (*numbers, "destination", "retries")}
    expected = {"timeout": 5.0, "part_size": 2 * 1024 * 1024, "rate_limit": 1024 * 1024, "s3_tags": {"owner": "7"}}
    assert store_options(params(**numbers, **texts)) == StoreOptions(**{**texts, **numbers, **expected})
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
    assert hidden == {
        "password",
        "token",
        "proxy",
        "secret_key",
        "session_token",
        "account_key",
        "sas_token",
        "private_key_passphrase",
        "client_secret",
    }


@pytest.mark.parametrize("letter", ["n", "ü", "\N{GRINNING FACE}"])
def test_the_longest_name_leaves_space_for_those_beside_it(tmp_path, letter):
    name = letter * (LONGEST_NAME // len(letter.encode()))
    check_name(name)
    longest = part_name(name + ".provenance.json.sig")
    (tmp_path / longest).write_bytes(b"")
    store = open_store(tmp_path.as_uri(), StoreOptions())
    store.write(name + ".provenance.json.sig", b"x", if_absent=True)
    for more in (1, 59, 200):
        with pytest.raises(TaskError, match=f"has [0-9]+ bytes. Choose a name of at most {LONGEST_NAME} bytes"):
            check_name(name + letter * more)
