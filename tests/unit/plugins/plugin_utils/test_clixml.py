# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Standard error of Windows PowerShell as people read it."""

from __future__ import annotations

import pytest
from ansible_collections.macops.parallels.plugins.plugin_utils._clixml import plain_errors

START = b'#< CLIXML\r\n<Objs Version="1.1.0.1" xmlns="http://schemas.microsoft.com/powershell/2004/04">'


@pytest.mark.parametrize(
    ("stderr", "plain"),
    [
        (b"", b""),
        (b"plain text\r\n", b"plain text\r\n"),
        (START + b'<S S="Error">no_x000D__x000A_</S><S S="Error">more</S></Objs>', b"no\r\nmore"),
        (START + b'<S S="Error">_xD83D__xDE00_ gr\xc3\xbcn _x005F_x</S></Objs>', "\U0001f600 grün _x".encode()),
        (START + b'<Obj S="progress"><MS><PR N="Record"/></MS></Obj><S S="Warning">w</S></Objs>', b""),
        (b"before\n" + START + b'<S S="Error">a</S></Objs>\r\nafter', b"before\naafter"),
        (START + b'<S S="Error">a</S></Objs>' + START + b'<S S="Error">b</S></Objs>', b"ab"),
        (START + b'<S S="Error">half', START + b'<S S="Error">half'),  # it broke off
    ],
)
def test_errors(stderr: bytes, plain: bytes) -> None:
    assert plain_errors(stderr) == plain


def test_a_document_that_is_none_is_shown_as_it_is() -> None:
    hostile = b'<Objs ><!DOCTYPE a [<!ENTITY x "y">]><S S="Error">&x;</S></Objs>'
    assert plain_errors(b"#< CLIXML\n" + hostile) == hostile
