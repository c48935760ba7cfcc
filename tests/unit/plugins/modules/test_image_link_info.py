# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module image_link_info, with real links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable

import pytest
from ansible_collections.macops.parallels.plugins.modules import image_link_info
from ansible_collections.macops.parallels.tests.support.link_server import LinkServer


@pytest.fixture(scope="module", name="server")
def fixture_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LinkServer]:
    # ansible-test runs each test in a process of its own, which ends before a server of its module is taken down.
    with LinkServer(folder=str(tmp_path_factory.mktemp("links"))) as server:
        yield server


@pytest.fixture(name="look")
def fixture_look(server: LinkServer, run_module_main: Callable[..., Any]) -> Callable[..., Any]:
    def look(url: str, **arguments: Any) -> Any:
        return run_module_main(
            image_link_info.main, **{"url": url, "ca_path": server.ca_path, "retries": 0, **arguments}
        )

    return look


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize("proof", ["headers", "full"])
def test_a_direct_link(look: Callable[..., Any], server: LinkServer, check_mode: bool, proof: str) -> None:
    end = look(
        server.url("/image.pvmp"),
        size=server.image.size,
        sha256=f" {server.image.sha256().upper()}\n",
        proof=proof,
        require=True,
        _ansible_check_mode=check_mode,
    )
    assert not end.failed
    assert (end.result["verdict"], end.result["changed"], end.result["proof"]) == ("direct", False, proof)
    assert end.result["size"] == server.image.size


def test_every_result_is_documented(look: Callable[..., Any], server: LinkServer) -> None:
    documented = set(re.findall(r"^(\w+):$", image_link_info.RETURN, re.MULTILINE))
    for path in ("/image.pvmp", "/page"):
        assert set(look(server.url(path)).result) == documented | {"changed"}


def test_it_does_not_fail_by_itself(look: Callable[..., Any], server: LinkServer) -> None:
    end = look(server.url("/page"))
    assert (end.failed, end.result["verdict"], end.result["changed"]) == (False, "html", False)


def test_require_fails_with_the_verdict_and_the_advice(look: Callable[..., Any], server: LinkServer) -> None:
    end = look(server.url("/status/404"), require=True)
    assert end.failed
    assert "(not_found)" in end.result["msg"]
    assert "add the MIME type application/octet-stream for .pvmp" in end.result["msg"]
    assert end.result["advice"] in end.result["msg"]
    assert end.result["chain"] == [{"url": server.url("/status/404"), "status": 404}]


def test_a_local_file(look: Callable[..., Any], server: LinkServer, tmp_path: Path) -> None:
    path = tmp_path / "image.pvmp"
    path.write_bytes(b"".join(server.image.blocks(0, server.image.size)))
    assert look(server.url("/image.pvmp"), path=str(path), proof="sample").result["verdict"] == "direct"
    path.write_bytes(b"another image")
    assert look(server.url("/image.pvmp"), path=str(path)).result["verdict"] == "wrong_size"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"url": "no address"}, "not a valid address"),
        ({"sha256": "abc"}, "64 hexadecimal digits"),
        ({"timeout": 0}, "timeout is too low. Set it to 1 or more"),
        ({"retries": -1}, "retries is too low. Set it to 0 or more"),
        ({"min_validity": -1}, "min_validity is too low. Set it to 0 or more"),
        ({"size": 0}, "size is too low. Set it to 1 or more"),
        ({"proof": "none"}, "value of proof must be one of: headers, sample, full"),
        ({"path": "/nowhere/image.pvmp"}, "cannot be read"),
        ({"ca_path": "/nowhere/ca.pem"}, "/nowhere/ca.pem"),
    ],
)
def test_arguments_that_make_no_sense(
    look: Callable[..., Any], server: LinkServer, arguments: dict[str, Any], message: str
) -> None:
    end = look(**{"url": server.url("/image.pvmp"), **arguments})
    assert end.failed
    assert message in end.result["msg"]
    assert "exception" not in end.result


@pytest.mark.parametrize(
    ("report", "kept"),
    [
        ({"verdict": "direct", "proof": "full"}, True),
        ({"verdict": "direct", "proof": "sample"}, False),
        ({"verdict": "not_found", "proof": "full"}, False),
        ({"verdict": "wrong_sha256", "proof": "full"}, False),
        ({"failed": True, "msg": "The link could not be checked."}, False),
        ({}, False),
    ],
)
def test_which_report_a_later_run_may_take(report: dict[str, Any], kept: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that nobody fetched: not one that says what may have been mended since."""
    given: dict[str, Any] = {}
    monkeypatch.setattr(image_link_info, "run_long_module", lambda *_args, **options: given.update(options))
    monkeypatch.setattr(image_link_info, "AnsibleModule", lambda **_options: None)
    image_link_info.main()
    assert given["keeps_answer"](report) is kept


def test_a_password_in_the_link_is_kept_out_of_all_output(look: Callable[..., Any]) -> None:
    module = SimpleNamespace(no_log_values=set())
    image_link_info._hide_credentials(module, "https://jane:hunter2@localhost/image.pvmp")
    assert module.no_log_values == {"hunter2"}
    end = look("https://jane:hunter2@localhost/image.pvmp")
    assert end.result["verdict"] == "insecure"
    assert "hunter2" not in str(end.result)
