# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""XML of servers: no DTD in any encoding, no flood of elements."""

from __future__ import annotations

import time

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.xml import (
    HostileXml,
    parse_xml,
    require_harmless,
)

BOMB = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
DOCUMENTS = {
    "laughs": f'<!DOCTYPE x [<!ENTITY e0 "ha">{BOMB}]><x>&e11;</x>',
    "external": '<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>',
    "entity": '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>',
    "empty": "<!DOCTYPE x><x/>",
    "late": f"<!--{'-+' * 1000}-->\n<?pi?>\n<!DOCTYPE x><x/>",
    "lower": "<!DOCTYPE\nx\n[\n]\n>\n<x/>",
}
ENCODINGS = [
    "utf-8",
    "utf-8-sig",
    "utf-16",
    "utf-16-le",
    "utf-16-be",
    "iso-8859-1",
    "us-ascii",
    "windows-1252",
    "koi8-r",
]


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_dtd_is_refused_in_any_encoding(document, encoding):
    declared = {"utf-8-sig": "utf-8", "utf-16-le": "utf-16", "utf-16-be": "utf-16"}.get(encoding, encoding)
    mark = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(encoding, b"")
    for text in (document, f'<?xml version="1.0" encoding="{declared}"?>{document}'):
        begun = time.monotonic()
        with pytest.raises(ValueError, match=r"DOCTYPE|not well-formed"):
            parse_xml(mark + text.encode(encoding))
        assert time.monotonic() - begun < 2
    with pytest.raises(HostileXml, match="it contains a DOCTYPE"):
        require_harmless(mark + f'<?xml version="1.0" encoding="{declared}"?>{document}'.encode(encoding))


@pytest.mark.parametrize("encoding", ["utf-7", "utf-32", "cp037", "shift_jis", "hz", "no-such", "idna"])
def test_other_encodings_cannot_be_parsed(encoding):
    text = f'<?xml version="1.0" encoding="{encoding}"?>{DOCUMENTS["empty"]}'
    with pytest.raises(ValueError):
        parse_xml(text.encode("utf-8" if encoding in ("no-such", "idna", "hz") else encoding))


def test_what_a_reader_with_its_own_encoding_would_see():
    document = b'<?xml version="1.0" encoding="utf-16"?><!DOCTYPE x><x/>'
    with pytest.raises(HostileXml):
        require_harmless(document, "utf-8")


@pytest.mark.parametrize("text", ["<x/>", '<?xml version="1.0" encoding="utf-8"?>\n<!-- a --><x a="b">ü<y/></x>\n'])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_other_documents_are_parsed(text, encoding):
    data = text.replace('"utf-8"', f'"{encoding}"').encode(encoding)
    assert parse_xml(data).tag == "x"
    assert require_harmless(data) == text.count("<x") + text.count("<y")


@pytest.mark.parametrize("size", [100, 65536, 200_000])
def test_the_words_of_a_dtd_in_the_text_are_no_dtd(size):
    assert parse_xml(b"<x><![CDATA[<!DOCTYPE x>" + b"y" * size + b"]]></x>").text.startswith("<!DOCTYPE x>")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (b"<x>" + b"<a/>" * 400_000 + b"</x>", "more than 400000 elements"),
        (b" " * 9000 + b"<x/>", "no element in its first 8192 bytes"),
        (b"<!--" + b"a" * 9000 + b"--><!DOCTYPE x><x/>", "no element in its first 8192 bytes"),
    ],
)
def test_floods(document, words):
    with pytest.raises(HostileXml, match=words):
        parse_xml(document)


@pytest.mark.parametrize(
    "document", [b"", b" ", b"x", b"<x>", b"<x></y>", b"<a" * 5000, b"\xff" * 100, b"<x/><!DOCTYPE x>"]
)
def test_what_is_not_xml(document):
    with pytest.raises(ValueError):
        parse_xml(document)
