# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which networks addresses are in, and that a redirect leads into none that the first server is not in."""

from __future__ import annotations

import socket
from types import SimpleNamespace

import pytest
from ansible_collections.macops.parallels.plugins.module_utils._common.errors import TaskError
from ansible_collections.macops.parallels.plugins.module_utils._http import session
from ansible_collections.macops.parallels.plugins.module_utils._http.networks import (
    Networks,
    WrongNetwork,
    addresses_within,
    network_of,
    reachable_from,
)
from ansible_collections.macops.parallels.plugins.module_utils._http.session import Http, Inward
from ansible_collections.macops.parallels.tests.support.scripted_server import ScriptedServer

OK = "HTTP/1.1 200 OK\nContent-Length: 0\n\n"


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("9.9.9.9", "public"),
        ("2606:4700:4700::1111", "public"),
        ("64:ff9b::909:909", "public"),
        ("2002:909:909::1", "public"),
        ("10.1.2.3", "private"),
        ("172.31.0.1", "private"),
        ("192.168.0.1", "private"),
        ("100.64.0.1", "private"),
        ("100.127.255.254", "private"),
        ("fc00::1", "private"),
        ("fd12:3456::1", "private"),
        ("fec0::1", "private"),
        ("::ffff:10.0.0.1", "private"),
        ("::10.0.0.1", "private"),
        ("2002:a00:1::1", "private"),
        ("64:ff9b::a00:1", "private"),
        ("64:ff9b:1::c0a8:1", "private"),
        ("169.254.169.254", "link_local"),
        ("::ffff:169.254.169.254", "link_local"),
        ("64:ff9b::a9fe:a9fe", "link_local"),
        ("2002:a9fe:a9fe::1", "link_local"),
        ("fe80::1%en0", "link_local"),
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("0.0.0.0", "loopback"),  # nosec B104 # nothing listens
        ("::", "loopback"),
    ],
)
def test_networks_of_addresses(address, network):
    assert network_of(address) == network


@pytest.mark.parametrize(
    ("network", "reachable"),
    [
        ("public", {"public"}),
        ("private", {"private", "public"}),
        ("loopback", {"loopback", "private", "public"}),
        ("link_local", {"link_local", "private", "public"}),
        ("unknown", None),
    ],
)
def test_where_a_redirect_may_lead(network, reachable):
    assert reachable_from(network) == reachable


def resolving(monkeypatch, **names):
    """Let names have addresses; each time other ones, where there are several lists."""
    found = {name.replace("_", "."): list(lists) for name, lists in names.items()}
    whole = socket.getaddrinfo

    def getaddrinfo(host, port, *args, **options):
        if host not in found:
            return whole(host, port, *args, **options)
        addresses = found[host].pop(0) if len(found[host]) > 1 else found[host][0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize("addresses", [["10.0.0.1"], ["9.9.9.9", "10.0.0.1"], ["10.0.0.1", "9.9.9.9"]])
def test_one_address_in_another_network_is_enough(monkeypatch, addresses):
    resolving(monkeypatch, mixed_example=[addresses])
    with pytest.raises(WrongNetwork, match=r"its address 10\.0\.0\.1 is in a private network"):
        addresses_within("mixed.example", 443, {"public"})


@pytest.fixture
def inside():
    """Return a server that must see nobody."""
    with ScriptedServer(lambda connection: None) as server:
        yield server


def test_a_request_beyond_its_networks_is_not_sent(inside):
    for host in ("127.0.0.1", "localhost", "127.1", "0x7f000001"):
        with Http() as http, pytest.raises(Inward, match="is in a loopback network") as caught:
            http.request("GET", f"https://{host}:{inside.port}/", within={"public"})
        assert caught.value.details == {"network": "loopback"}
    assert inside.connections == 0


def test_a_name_whose_address_changes_after_the_check(monkeypatch, inside):
    resolving(monkeypatch, files_example=[["9.9.9.9"], ["127.0.0.1"]])
    assert Networks().of("https://files.example/") == "public"
    with Http() as http, pytest.raises(Inward):
        http.request("GET", f"https://files.example:{inside.port}/", within={"public"})
    assert inside.connections == 0


def keep_answering(connection):
    while connection.head():
        connection.say(OK)


def test_an_open_connection_is_checked_too():
    with ScriptedServer(keep_answering) as server, Http() as http:
        http.request("GET", server.url)
        http.request("GET", server.url, within={"loopback"})
        with pytest.raises(Inward):
            http.request("GET", server.url, within={"public"})
    assert server.connections == 1


def test_several_addresses_are_tried(monkeypatch):
    def serve(connection):
        connection.head()
        connection.say(OK)

    with ScriptedServer(serve) as server:
        resolving(monkeypatch, files_example=[["127.0.0.9", "127.0.0.1"]])
        url = f"http://files.example:{server.port}/"
        with Http(timeout=5) as http:
            assert http.request("GET", url, within={"loopback"}).status_code == 200


def test_behind_a_proxy_the_name_is_checked():
    with Http(proxy="http://127.0.0.1:1") as http:
        for host in ("169.254.169.254", "[::ffff:10.0.0.1]", "localhost"):
            with pytest.raises(Inward):
                http.request("GET", f"https://{host}/", within={"public"})
        assert http.network_of(SimpleNamespace(url="https://10.0.0.1/")) == "private"


@pytest.mark.parametrize(
    ("home", "reached"), [("public", False), ("private", False), ("loopback", True), ("unknown", True)]
)
def test_redirects_of_store_reads(monkeypatch, tmp_path, home, reached):
    """The redirect leads to another server of this machine, from wherever the first one is."""
    monkeypatch.setattr(Http, "network_of", lambda self, response: home)
    asked = []

    def answer(connection):
        while head := connection.head():
            asked.append(head.split()[1])
            there = f"https://localhost:{server.port}/there"
            moved = f"HTTP/1.1 302 Found\nLocation: {there}\nContent-Length: 0\n\n"
            connection.say(moved if asked[-1] == "/here" else OK)

    with ScriptedServer(answer, tls=tmp_path / "tls") as server, Http(ca_path=server.ca_path) as http:
        if reached:
            assert http.follow("GET", f"{server.url}/here").status_code == 200
        else:
            with pytest.raises(TaskError, match=r"redirects to https://localhost:\d+/there, which is in a loopback"):
                http.follow("GET", f"{server.url}/here")
    assert asked == (["/here", "/there"] if reached else ["/here"])


def test_a_redirect_to_another_server_only_where_that_is_expected(tmp_path):
    def answer(connection):
        while head := connection.head():
            same = "/same" in head.split()[1]
            target = "/end" if same else f"https://localhost:{server.port}/end"
            moved = f"HTTP/1.1 302 Found\nLocation: {target}\nContent-Length: 0\n\n"
            connection.say(OK if "/end" in head.split()[1] else moved)

    with ScriptedServer(answer, tls=tmp_path / "tls") as server, Http(ca_path=server.ca_path) as http:
        never = {"leaves": lambda response: False}
        assert http.follow("GET", f"{server.url}/same", **never).status_code == 200
        with pytest.raises(TaskError, match="which is another server"):
            http.follow("GET", f"{server.url}/other", **never)
        assert http.follow("GET", f"{server.url}/other").status_code == 200


def test_a_proxy_hides_where_an_answer_came_from():
    assert session.Networks(lambda host: []).of("https://x.example/") == "unknown"
